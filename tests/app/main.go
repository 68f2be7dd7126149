// Command app is the application that the cluster tests run: environment variables decide how it behaves and how it
// fails. README.md lists them.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(command(os.Args[1], os.Args[2:]))
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, syscall.SIGINT)
	if err := serve(terminated); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(terminated <-chan os.Signal) error {
	app, err := newApp()
	if err != nil {
		return err
	}
	if err := beforeStart(); err != nil {
		return err
	}
	misbehave()
	listeners := list("LISTEN", "0.0.0.0:8080")
	if host, _ := os.Hostname(); host == text("EXCEPTION") {
		listeners = list("EXCEPTION_LISTEN", "127.0.0.1:8080")
	}
	time.Sleep(duration("START_DELAY"))

	failed := make(chan error, len(listeners))
	var servers []*http.Server
	for _, entry := range listeners {
		server, err := listen(app, entry, failed)
		if err != nil {
			return err
		}
		if server != nil {
			servers = append(servers, server)
		}
		// As most servers do: the address alone. What is no TCP socket says so.
		address := entry
		for _, prefix := range []string{"tcp6:", "tls:", "grpc:", "grpcs:", "tcp:"} {
			address = strings.TrimPrefix(address, prefix)
		}
		fmt.Println("listening on", address)
	}

	for {
		select {
		case err := <-failed:
			return err
		case <-terminated:
			if text("IGNORE_SIGTERM") != "" {
				fmt.Println("ignoring SIGTERM")
				continue
			}
			time.Sleep(duration("SHUTDOWN_DELAY"))
			shutdown(servers)
			return nil
		}
	}
}

func shutdown(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var wait sync.WaitGroup
	for _, server := range servers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if server.Shutdown(ctx) != nil {
				server.Close()
			}
		}()
	}
	wait.Wait()
}

// listen opens one entry of LISTEN, "[KIND:]ADDRESS", and serves it; what is not HTTP has no server to shut down.
func listen(app *app, entry string, failed chan<- error) (*http.Server, error) {
	kind, address := "http", entry
	for _, known := range []string{"http", "tcp6", "tls", "grpc", "grpcs", "tcp", "udp"} {
		if rest, found := strings.CutPrefix(entry, known+":"); found {
			kind, address = known, rest
		}
	}
	if kind == "udp" {
		return nil, echoUDP(address, failed)
	}
	listener, err := open(kind == "tcp6", address)
	if err != nil {
		return nil, err
	}
	if kind == "tcp" {
		go holdConnections(listener, failed)
		return nil, nil
	}
	server := &http.Server{Handler: app.handler}
	if kind == "grpc" {
		server.Handler = http.HandlerFunc(app.grpcHealth)
		server.Protocols = new(http.Protocols)
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	if kind == "grpcs" {
		server.Handler = http.HandlerFunc(app.grpcHealth)
	}
	go func() {
		serve := server.Serve
		if kind == "tls" || kind == "grpcs" {
			if server.TLSConfig, err = selfSigned(); err != nil {
				failed <- err
				return
			}
			serve = func(listener net.Listener) error { return server.ServeTLS(listener, "", "") }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return server, nil
}
