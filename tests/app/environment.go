package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// What the environment variables say. A value that can't be read ends the process: a test with a slip must not pass.

func text(name string) string { return os.Getenv(name) }

func list(name, otherwise string) []string {
	value := text(name)
	if value == "" {
		value = otherwise
	}
	var out []string
	for _, part := range strings.Split(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func number(name string, otherwise int) int {
	if text(name) == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text(name))
	if err != nil {
		slip(name)
	}
	return value
}

// duration takes Go's format; a bare number is seconds.
func duration(name string) time.Duration {
	value := text(name)
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return time.Duration(seconds * float64(time.Second))
	}
	parsed, err := time.ParseDuration(value)
	if err != nil {
		slip(name)
	}
	return parsed
}

// escaped decodes \n, \t, \x1b, \u202e and the like.
func escaped(name string) string {
	value, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(text(name)) + `"`)
	if err != nil {
		slip(name)
	}
	return value
}

func slip(name string) {
	fmt.Fprintf(os.Stderr, "app: %s=%q can't be read\n", name, text(name))
	os.Exit(64)
}
