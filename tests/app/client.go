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
	// abreast is how many ask at once. With one alone, three answers in a row are mere luck where one of two pods fails: it comes to one
	// row in eight, with four to one in four thousand.
	abreast = 4
)

// client asks a URL every 100 ms until the context ends, several times at once and each time on a new connection, however long the answers take.
// It prints for each time of asking its start in milliseconds since 1970, and 1 where all answers were successes that contain the text, else 0.
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
			answered := 1
			if !allAnswer(url, wanted) {
				answered = 0
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

func allAnswer(url, wanted string) bool {
	outcomes := make(chan bool, abreast)
	for range abreast {
		go func() { outcomes <- answers(url, wanted) }()
	}
	all := true
	for range abreast {
		all = <-outcomes && all
	}
	return all
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
