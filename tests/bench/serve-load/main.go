// Sessions without a cluster, their applications, and clients that check each answer.
//
//	serve-load answer PORT                            applications at every address of this machine, which answer with that address
//	serve-load api PORT SESSIONS APPLICATION-PORT     the API of a cluster with these sessions
//	serve-load first ADDRESS RATE PREFIX COUNT        asks for so many new sessions
//	serve-load ask ADDRESS CONNECTIONS RATE SECONDS SESSIONS APPLICATION-PORT
//
// SESSIONS is a file with a line `ID ADDRESS` for each. `first` sends a first request for each of PREFIX-1 and so on, RATE a second, and prints a
// line `ID ADDRESS SECONDS` for each answer. `ask` sends requests for random sessions on kept connections: RATE a second, or as many as are
// answered where it is 0. ADDRESS `direct` goes to the applications themselves. Prints JSON: requests, how many failed or came from another
// application, and times in microseconds.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func number(at int) int {
	n, err := strconv.Atoi(os.Args[at])
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func main() {
	switch os.Args[1] {
	case "answer":
		answer(os.Args[2])
	case "api":
		api(os.Args[2], sessions(os.Args[3]), number(4))
	case "first":
		first(os.Args[2], number(3), os.Args[4], number(5))
	case "ask":
		ask(os.Args[2], number(3), number(4), number(5), sessions(os.Args[6]), os.Args[7])
	default:
		log.Fatal("answer, api, first or ask")
	}
}

type session struct{ id, address string }

func sessions(file string) (all []session) {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	words := strings.Fields(string(text))
	for pair := range slices.Chunk(words, 2) {
		all = append(all, session{pair[0], pair[1]})
	}
	return
}

// answer does as little as a server can, so that the proxies before it are what is measured.
func answer(port string) {
	listener, err := net.Listen("tcp4", "0.0.0.0:"+port)
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer connection.Close()
			host, _, _ := net.SplitHostPort(connection.LocalAddr().String())
			reply := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(host), host))
			reader := bufio.NewReader(connection)
			for {
				line, err := reader.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					if _, err := connection.Write(reply); err != nil {
						return
					}
				}
			}
		}()
	}
}

type object = map[string]any

func (s session) objects(port int) (object, object) {
	sum := sha256.Sum256([]byte(s.id))
	name := s.id + "-" + hex.EncodeToString(sum[:8])
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	labels := object{"podlife.dev/session": name, "app.kubernetes.io/managed-by": "podlife"}
	lease := object{
		"metadata": object{
			"name": name, "namespace": "bench", "uid": "record-" + name, "resourceVersion": "1", "labels": labels,
			"annotations": object{
				"podlife.dev/id": s.id, "podlife.dev/phase": "Active", "podlife.dev/template": "0123456789abcdef", "podlife.dev/generation": "1",
			},
		},
		"spec": object{"holderIdentity": "bench", "acquireTime": now, "renewTime": now, "leaseDurationSeconds": 3600},
	}
	pod := object{
		"metadata": object{
			"name": name + "-g1", "namespace": "bench", "uid": "pod-" + name, "resourceVersion": "1", "labels": labels,
			"ownerReferences": []object{{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": name, "uid": "record-" + name}},
		},
		"spec":   object{"containers": []object{{"name": "app", "image": "app", "ports": []object{{"containerPort": port}}}}},
		"status": object{"phase": "Running", "podIP": s.address},
	}
	return lease, pod
}

// api answers lists, holds watches open, and takes every write.
func api(port string, all []session, applications int) {
	var leases, pods []object
	for _, one := range all {
		lease, pod := one.objects(applications)
		leases, pods = append(leases, lease), append(pods, pod)
	}
	reply := func(w http.ResponseWriter, value any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(value)
	}
	list := func(kind string, items []object) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				var created object
				json.NewDecoder(r.Body).Decode(&created)
				created["metadata"].(object)["resourceVersion"] = "1"
				reply(w, created)
			case r.URL.Query().Get("watch") == "true":
				w.Header().Set("Content-Type", "application/json")
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			default:
				reply(w, object{"kind": kind, "apiVersion": "v1", "metadata": object{"resourceVersion": "1"}, "items": items})
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/apis/coordination.k8s.io/v1/namespaces/bench/leases", list("LeaseList", leases))
	mux.HandleFunc("/api/v1/namespaces/bench/pods", list("PodList", pods))
	mux.HandleFunc("/apis/coordination.k8s.io/v1/namespaces/bench/leases/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
			return
		}
		for _, lease := range leases {
			if lease["metadata"].(object)["name"] == r.PathValue("name") {
				reply(w, lease)
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		json.NewEncoder(w).Encode(object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"})
	})
	mux.HandleFunc("/api/v1/namespaces/bench", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, object{"kind": "Namespace", "apiVersion": "v1", "metadata": object{"name": "bench"}})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, mux))
}

type result struct {
	times         []time.Duration
	failed, wrong int
}

// client keeps a connection to one address, or to each application.
type client struct {
	to          string
	connections map[string]*bufio.ReadWriter
	raw         map[string]net.Conn
}

func newClient(to string) client {
	return client{to, map[string]*bufio.ReadWriter{}, map[string]net.Conn{}}
}

func (c *client) ask(of session, port string) (string, error) {
	target, path := c.to, "/api/v1/session/"+of.id+"/x"
	if c.to == "direct" {
		target, path = of.address+":"+port, "/x"
	}
	connection := c.connections[target]
	if connection == nil {
		raw, err := net.Dial("tcp4", target)
		if err != nil {
			return "", err
		}
		connection = bufio.NewReadWriter(bufio.NewReader(raw), bufio.NewWriter(raw))
		c.connections[target], c.raw[target] = connection, raw
	}
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: gateway\r\n\r\n", path)
	body, keeps, err := read(connection)
	if err != nil || !keeps {
		c.raw[target].Close()
		delete(c.connections, target)
	}
	return body, err
}

func read(connection *bufio.ReadWriter) (body string, keeps bool, err error) {
	if err = connection.Flush(); err != nil {
		return
	}
	length, keeps, status := -1, true, ""
	for {
		line, err := connection.ReadSlice('\n')
		if err != nil {
			return "", false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		text := strings.ToLower(string(line))
		switch {
		case status == "":
			status = text
		case strings.HasPrefix(text, "content-length: "):
			length, _ = strconv.Atoi(text[16:])
		case text == "connection: close":
			keeps = false
		}
	}
	if length < 0 || !strings.Contains(status, " 200") {
		return "", false, fmt.Errorf("%s, length %d", status, length)
	}
	bytes := make([]byte, length)
	_, err = io.ReadFull(connection, bytes)
	return string(bytes), keeps, err
}

func first(to string, rate int, prefix string, count int) {
	var group sync.WaitGroup
	var failed atomic.Bool
	ticks := time.NewTicker(time.Second / time.Duration(rate))
	for n := range count {
		<-ticks.C
		group.Go(func() {
			one, begun := newClient(to), time.Now()
			of := session{id: fmt.Sprintf("%s-%d", prefix, n+1)}
			body, err := one.ask(of, "")
			if err != nil {
				failed.Store(true)
				log.Printf("%s: %v", of.id, err)
				return
			}
			fmt.Printf("%s %s %.3f\n", of.id, body, time.Since(begun).Seconds())
		})
	}
	group.Wait()
	if failed.Load() {
		os.Exit(1)
	}
}

func ask(to string, connections, rate, seconds int, all []session, port string) {
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	results := make([]result, connections)
	var group sync.WaitGroup
	begun := time.Now()
	for c := range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			r := &results[c]
			one := newClient(to)
			random := rand.New(rand.NewSource(int64(c)))
			var pause time.Duration
			if rate > 0 {
				pause = time.Duration(float64(time.Second) * float64(connections) / float64(rate))
			}
			due := begun.Add(time.Duration(random.Float64() * float64(pause)))
			for time.Now().Before(end) {
				if pause > 0 {
					time.Sleep(time.Until(due))
				}
				n := random.Intn(len(all))
				if to == "direct" {
					// A share of its own: a connection of each client to each application would be too many open files.
					if n += c%connections - n%connections; n >= len(all) {
						n = c % len(all)
					}
				}
				start := time.Now()
				if pause > 0 {
					// From when it was due: a client that waits for a slow answer measures that, too.
					start = due
					due = due.Add(pause)
				}
				body, err := one.ask(all[n], port)
				r.times = append(r.times, time.Since(start))
				switch {
				case err != nil:
					r.failed++
				case body != all[n].address:
					r.wrong++
				}
			}
		}()
	}
	group.Wait()
	var sum result
	for _, r := range results {
		sum.times = append(sum.times, r.times...)
		sum.failed += r.failed
		sum.wrong += r.wrong
	}
	slices.Sort(sum.times)
	at := func(share float64) int64 {
		if len(sum.times) == 0 {
			return 0
		}
		return sum.times[int(share*float64(len(sum.times)-1))].Microseconds()
	}
	json.NewEncoder(os.Stdout).Encode(object{
		"requests": len(sum.times), "failed": sum.failed, "wrong": sum.wrong,
		"perSecond": int(float64(len(sum.times)) / time.Since(begun).Seconds()),
		"p50":       at(0.5), "p95": at(0.95), "p99": at(0.99),
	})
}
