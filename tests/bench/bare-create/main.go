// Creates pods at a steady rate and watches them until they are ready: the least that any client of the API has to do.
//
//	bare-create pod <LIST            print the pod in the output of `session template -o json`, without name, owner and labels
//	bare-create run FOLDER SERVER NAMESPACE PREFIX COUNT RATE <POD
//
// FOLDER has ca.crt, client.crt and client.key. Prints a line per pod: seconds until accepted, from there until scheduled, from there until all
// containers ran, from there until ready, and the sum.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const patience = 10 * time.Minute

type object = map[string]any

type pod struct {
	Metadata struct{ Name string }
	Spec     struct{ NodeName string }
	Status   struct {
		Conditions        []struct{ Type, Status string }
		ContainerStatuses []struct {
			State struct{ Running *struct{} }
		}
	}
}

// When each step of a pod was seen.
type steps struct{ begun, accepted, scheduled, started, ready time.Time }

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 && os.Args[1] == "pod" {
		printPod()
		return
	}
	if len(os.Args) != 8 || os.Args[1] != "run" {
		log.Fatal("usage: bare-create pod | run FOLDER SERVER NAMESPACE PREFIX COUNT RATE")
	}
	count, err := strconv.Atoi(os.Args[6])
	must(err)
	rate, err := strconv.ParseFloat(os.Args[7], 64)
	must(err)
	template, err := io.ReadAll(os.Stdin)
	must(err)
	run(client(os.Args[2]), os.Args[3]+"/api/v1/namespaces/"+os.Args[4]+"/pods", os.Args[5], template, count, rate)
}

func printPod() {
	var list struct{ Items []object }
	must(json.NewDecoder(os.Stdin).Decode(&list))
	for _, item := range list.Items {
		if item["kind"] == "Pod" {
			item["metadata"] = object{}
			must(json.NewEncoder(os.Stdout).Encode(item))
			return
		}
	}
	log.Fatal("there is no pod in the list")
}

func client(folder string) *http.Client {
	certificate, err := tls.LoadX509KeyPair(folder+"/client.crt", folder+"/client.key")
	must(err)
	authority, err := os.ReadFile(folder + "/ca.crt")
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
}

func run(client *http.Client, url, prefix string, template []byte, count int, rate float64) {
	var lock sync.Mutex
	all := map[string]*steps{}
	done := make(chan struct{})
	watch, err := client.Get(url + "?watch=true")
	must(err)
	go func() {
		decoder, left := json.NewDecoder(watch.Body), count
		for left > 0 {
			var event struct{ Object pod }
			must(decoder.Decode(&event))
			lock.Lock()
			if seen := all[event.Object.Metadata.Name]; seen != nil && seen.note(&event.Object, time.Now()) {
				left--
			}
			lock.Unlock()
		}
		close(done)
	}()
	start := time.Now()
	for number := range count {
		time.Sleep(time.Until(start.Add(time.Duration(float64(number) / rate * float64(time.Second)))))
		name := fmt.Sprintf("%s-%d", prefix, number)
		seen := &steps{begun: time.Now()}
		lock.Lock()
		all[name] = seen
		lock.Unlock()
		go func() {
			create(client, url, template, name)
			lock.Lock()
			seen.accepted = time.Now()
			lock.Unlock()
		}()
	}
	select {
	case <-done:
	case <-time.After(patience):
		log.Fatalf("not all %d pods are ready after %s", count, patience)
	}
	lock.Lock()
	defer lock.Unlock()
	for _, s := range all {
		// The watch may be faster than the answer.
		at := []time.Time{s.begun, s.accepted, s.scheduled, s.started, s.ready}
		for step := 1; step < len(at); step++ {
			if at[step].Before(at[step-1]) {
				at[step] = at[step-1]
			}
			fmt.Printf("%.3f ", at[step].Sub(at[step-1]).Seconds())
		}
		fmt.Printf("%.3f\n", at[len(at)-1].Sub(s.begun).Seconds())
	}
}

func create(client *http.Client, url string, template []byte, name string) {
	var body object
	must(json.Unmarshal(template, &body))
	body["metadata"] = object{"name": name}
	text, err := json.Marshal(body)
	must(err)
	answer, err := client.Post(url, "application/json", bytes.NewReader(text))
	must(err)
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusCreated {
		log.Fatalf("%s: %s", name, said)
	}
}

// Notes which steps a pod has taken; whether it has just become ready.
func (s *steps) note(pod *pod, now time.Time) bool {
	if s.scheduled.IsZero() && pod.Spec.NodeName != "" {
		s.scheduled = now
	}
	runs := len(pod.Status.ContainerStatuses) > 0
	for _, container := range pod.Status.ContainerStatuses {
		runs = runs && container.State.Running != nil
	}
	if s.started.IsZero() && runs {
		s.started = now
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" && s.ready.IsZero() {
			s.ready = now
			return true
		}
	}
	return false
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
