package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
)

// beforeStart is what goes wrong before an application listens.
func beforeStart() error {
	if text("LOG_LINES") != "" {
		fmt.Println(escaped("LOG_LINES"))
	}
	for _, name := range list("REQUIRE_ENV", "") {
		if text(name) == "" {
			return fmt.Errorf("required environment variable %s is not set", name)
		}
	}
	for _, path := range list("REQUIRE_FILE", "") {
		if _, err := os.ReadFile(path); err != nil {
			return err
		}
	}
	for _, path := range list("WRITE_FILE", "") {
		if err := os.WriteFile(path, []byte("written\n"), 0o644); err != nil {
			return err
		}
	}
	for _, address := range list("DIAL", "") {
		if err := dial(address, text("WAIT") == "forever"); err != nil {
			return err
		}
	}
	return nil
}

func dial(address string, forever bool) error {
	for {
		connection, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err == nil {
			return connection.Close()
		}
		if !forever {
			return err
		}
		fmt.Fprintln(os.Stderr, err)
		time.Sleep(2 * time.Second)
	}
}

// misbehave starts what goes wrong later on.
func misbehave() {
	if text("LOG_EVERY") != "" {
		go func() {
			for n := 1; ; n++ {
				fmt.Println("still here", n)
				time.Sleep(duration("LOG_EVERY"))
			}
		}()
	}
	for range number("CPU", 0) {
		go func() {
			runtime.LockOSThread()
			for n := uint(0); ; n++ {
				burned = n
			}
		}()
	}
	if megabytes := number("MEMORY", 0); megabytes > 0 {
		go func() {
			time.Sleep(duration("MEMORY_AFTER"))
			for range megabytes {
				block := make([]byte, 1<<20)
				for i := 0; i < len(block); i += 4096 {
					block[i] = 1 // else the kernel gives no page
				}
				held = append(held, block)
			}
			fmt.Println("holding", megabytes, "MiB")
		}()
	}
	if text("EXIT_AFTER") != "" || text("PANIC") != "" || text("TRACEBACK") != "" {
		go func() {
			time.Sleep(duration("EXIT_AFTER"))
			if text("PANIC") != "" {
				panic(escaped("PANIC"))
			}
			if text("TRACEBACK") != "" {
				fmt.Fprintln(os.Stderr, escaped("TRACEBACK"))
				os.Exit(number("EXIT_CODE", 1))
			}
			os.Exit(number("EXIT_CODE", 0))
		}()
	}
}

var (
	held   [][]byte
	burned uint
)
