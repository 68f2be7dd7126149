package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// between is the time from the start of one request to the next.
	between = 100 * time.Millisecond
	// patience is how long an answer may take.
	patience = time.Second
)

// client asks a URL on a new connection every 100 ms until the context ends, however long the answers take. It prints for each request the
// time of its start in milliseconds since 1970, and 1 where the answer was a success that contains the text, else 0.
func client(ctx context.Context, out io.Writer, url, wanted string) {
	var (
		lines   sync.Mutex
		pending sync.WaitGroup
	)
	ticks := time.NewTicker(between)
	defer ticks.Stop()
	for {
		pending.Add(1)
		go func() {
			defer pending.Done()
			begun := time.Now()
			answered := 0
			if answers(url, wanted) {
				answered = 1
			}
			lines.Lock()
			defer lines.Unlock()
			fmt.Fprintln(out, begun.UnixMilli(), answered)
		}()
		select {
		case <-ctx.Done():
			pending.Wait()
			return
		case <-ticks.C:
		}
	}
}

func answers(url, wanted string) bool {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode < 400 && strings.Contains(string(body), wanted)
}
