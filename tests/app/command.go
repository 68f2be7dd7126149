package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: app                        serve as the environment says
       app probe ok|fail|hang     a command for exec probes and hooks
       app wait-for HOST:PORT     until it accepts a connection
       app get URL [HOST]         print the answer; fails unless its status is below 400
       app connect HOST:PORT      fails unless it accepts a connection within two seconds
       app client URL TEXT        every 100 ms, until it is ended: the time, and 1 if the answer has this text
       app sleep DURATION
       app read FILE | app write FILE TEXT`

// command is what a container without a shell can be told to do.
func command(name string, args []string) int {
	err := fmt.Errorf("%s", usage)
	switch {
	case name == "probe" && len(args) == 1:
		return probe(args[0])
	case name == "wait-for" && len(args) == 1:
		err = dial(args[0], true)
	case name == "connect" && len(args) == 1:
		var connection net.Conn
		if connection, err = net.DialTimeout("tcp", args[0], 2*time.Second); err == nil {
			connection.Close()
		}
	case name == "get" && (len(args) == 1 || len(args) == 2):
		err = get(args[0], append(args, "")[1])
	case name == "client" && len(args) == 2:
		ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		client(ended, os.Stdout, args[0], args[1])
		stop()
		err = nil
	case name == "sleep" && len(args) == 1:
		var length time.Duration
		if length, err = time.ParseDuration(args[0]); err == nil {
			time.Sleep(length)
		}
	case name == "read" && len(args) == 1:
		var data []byte
		if data, err = os.ReadFile(args[0]); err == nil {
			os.Stdout.Write(data)
		}
	case name == "write" && len(args) == 2:
		err = os.WriteFile(args[0], []byte(args[1]+"\n"), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func probe(kind string) int {
	switch kind {
	case "ok":
		fmt.Println("fine")
		return 0
	case "hang":
		time.Sleep(time.Hour)
	}
	fmt.Println("not fine")
	return 1
}

func get(url, host string) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if host != "" {
		request.Host = host
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
	if response.StatusCode >= 400 {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
