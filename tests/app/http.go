package main

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

type app struct {
	handler http.Handler
	started time.Time
}

func newApp() (*app, error) {
	app := &app{started: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, app.health()) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, app.readiness()) })
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getpid()) })
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/echo/", echo)
	mux.HandleFunc("/refuse", refuse)
	mux.HandleFunc("/stream", stream)
	mux.HandleFunc("/websocket", websocket)
	mux.HandleFunc("/status/{code}", answerStatus)
	mux.HandleFunc("/exit/{code}", exit)
	mux.HandleFunc("/reset", reset)
	mux.HandleFunc("/", app.answer)
	app.handler = app.hanging(mux)
	if text("ROUTES") != "" {
		routes, err := parseRoutes(list("ROUTES", ""))
		if err != nil {
			return nil, err
		}
		app.handler = app.hanging(ingress(routes))
	}
	return app, nil
}

// verdict is an HTTP status and why.
type verdict struct {
	status int
	why    string
}

func say(w http.ResponseWriter, v verdict) {
	w.WriteHeader(v.status)
	fmt.Fprintln(w, v.why)
}

func (a *app) failing() bool {
	return text("FAIL_AFTER") != "" && time.Since(a.started) >= duration("FAIL_AFTER")
}

func (a *app) health() verdict {
	if a.failing() {
		return verdict{http.StatusInternalServerError, "failing"}
	}
	status := number("HEALTH_STATUS", http.StatusOK)
	return verdict{status, http.StatusText(status)}
}

func (a *app) readiness() verdict {
	age := time.Since(a.started)
	switch {
	case a.failing():
		return verdict{http.StatusInternalServerError, "failing"}
	case age < duration("READY_AFTER"):
		return verdict{http.StatusServiceUnavailable, "not ready yet"}
	case text("FLAP_PERIOD") != "" && age/duration("FLAP_PERIOD")%2 == 1:
		return verdict{http.StatusServiceUnavailable, "not ready for now"}
	}
	if dependency := text("DEPENDS_ON"); dependency != "" {
		client := http.Client{Timeout: 2 * time.Second}
		response, err := client.Get(dependency)
		if err != nil {
			return verdict{http.StatusServiceUnavailable, err.Error()}
		}
		defer response.Body.Close()
		if response.StatusCode >= 400 {
			return verdict{http.StatusServiceUnavailable, dependency + " answers " + response.Status}
		}
	}
	status := number("READY_STATUS", http.StatusOK)
	return verdict{status, http.StatusText(status)}
}

func (a *app) answer(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(duration("LATENCY"))
	if a.failing() {
		say(w, verdict{http.StatusInternalServerError, "failing"})
		return
	}
	age := time.Since(a.started)
	if age < duration("ANSWER_AFTER") || text("ANSWER_PERIOD") != "" && age/duration("ANSWER_PERIOD")%2 == 1 {
		say(w, verdict{http.StatusServiceUnavailable, "not answering for now"})
		return
	}
	host, _ := os.Hostname()
	w.WriteHeader(number("ANSWER_STATUS", http.StatusOK))
	fmt.Fprintf(w, "app %s on %s\n", text("VERSION"), host)
}

// hanging leaves the requests whose path begins with HANG without an answer; "1" stands for all.
func (a *app) hanging(next http.Handler) http.Handler {
	prefix := text("HANG")
	if prefix == "1" {
		prefix = "/"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if prefix != "" && strings.HasPrefix(r.URL.Path, prefix) {
			<-r.Context().Done()
			return
		}
		next.ServeHTTP(w, r)
	})
}

func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "%s: %s\n", name, strings.Join(r.Header[name], ", "))
	}
}

// refuse repeats the request's header X-Token in its log and in a Status, as an application does that serves the Kubernetes API.
func refuse(w http.ResponseWriter, r *http.Request) {
	message := fmt.Sprintf("token %q is not known here", r.Header.Get("X-Token"))
	fmt.Println("error:", message)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": http.StatusConflict})
}

// stream sends a numbered line ten times a second until the client goes.
func stream(w http.ResponseWriter, r *http.Request) {
	for n := 1; ; n++ {
		if _, err := fmt.Fprintln(w, n); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// websocket sends a text message of one letter ten times a second, and reads nothing.
func websocket(w http.ResponseWriter, r *http.Request) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept := base64.StdEncoding.EncodeToString(key[:])
	_, err = fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept)
	for ; err == nil; time.Sleep(100 * time.Millisecond) {
		_, err = connection.Write([]byte{0x81, 1, 'x'})
	}
}

func answerStatus(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		code = http.StatusBadRequest
	}
	say(w, verdict{code, http.StatusText(code)})
}

func exit(_ http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil {
		code = 1
	}
	os.Exit(code)
}

// reset ends the connection without an answer.
func reset(w http.ResponseWriter, _ *http.Request) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		connection.Close()
	}
}

type route struct {
	host, path string
	proxy      http.Handler
}

// parseRoutes reads HOST/PATH=URL; no host, or *, stands for every host.
func parseRoutes(entries []string) (routes []route, err error) {
	for _, entry := range entries {
		from, to, found := strings.Cut(entry, "=")
		if !found {
			return nil, fmt.Errorf("ROUTES: %q is not HOST/PATH=URL", entry)
		}
		target, err := url.Parse(to)
		if err != nil {
			return nil, err
		}
		host, path, _ := strings.Cut(from, "/")
		proxy := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.SetXForwarded()
				r.Out.Host = r.In.Host
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				say(w, verdict{http.StatusBadGateway, err.Error()})
			},
		}
		routes = append(routes, route{host, "/" + path, proxy})
	}
	slices.SortStableFunc(routes, func(a, b route) int { return len(b.path) - len(a.path) })
	return routes, nil
}

// ingress sends a request along the longest path of its host.
func ingress(routes []route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		for _, route := range routes {
			everyHost := route.host == "" || route.host == "*"
			if (everyHost || route.host == host) && strings.HasPrefix(r.URL.Path, route.path) {
				route.proxy.ServeHTTP(w, r)
				return
			}
		}
		say(w, verdict{http.StatusNotFound, "default backend - 404"})
	})
}

// grpcHealth is grpc.health.v1.Health/Check, written by hand over HTTP/2: the whole of gRPC is not needed for one call.
func (a *app) grpcHealth(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	end := func(code int, message string) {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(code))
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", message)
	}
	if r.URL.Path != "/grpc.health.v1.Health/Check" {
		end(12, "unknown method "+r.URL.Path)
		return
	}
	service, err := requestedService(r.Body)
	if err != nil {
		end(3, err.Error())
		return
	}
	if service != "" && service != text("GRPC_SERVICE") {
		end(5, "unknown service")
		return
	}
	const serving, notServing = 1, 2
	status := byte(serving)
	if a.health().status != http.StatusOK || a.readiness().status != http.StatusOK {
		status = notServing
	}
	w.Write([]byte{0, 0, 0, 0, 2, 0x08, status}) // not compressed, 2 bytes, field 1 as a number
	end(0, "")
}

// requestedService reads the one field of a HealthCheckRequest.
func requestedService(body io.Reader) (string, error) {
	header := make([]byte, 5)
	if _, err := io.ReadFull(body, header); err != nil {
		return "", err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length > 1<<16 {
		return "", errors.New("too long")
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(body, message); err != nil || length == 0 {
		return "", err
	}
	size, read := binary.Uvarint(message[1:])
	if message[0] != 0x0a || read <= 0 || uint64(len(message)-1-read) < size {
		return "", errors.New("not a HealthCheckRequest")
	}
	return string(message[1+read:][:size]), nil
}
