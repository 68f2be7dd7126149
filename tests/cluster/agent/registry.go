package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log"
	"math/big"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

// The ports of the registry's servers; the start script leads the names of registries to them.
const (
	registryPlain     = "127.0.0.1:5000"
	registryUntrusted = "127.0.0.1:5443"
	registrySilent    = "127.0.0.1:5444"
)

// serveRegistry stands in for every image registry and holds next to nothing, so that pulls fail as on a real one.
func serveRegistry() {
	handler := http.HandlerFunc(answerPull)
	go silence(registrySilent)
	go func() {
		certificate, err := selfSigned()
		if err != nil {
			log.Fatal(err)
		}
		server := http.Server{Addr: registryUntrusted, Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
		log.Fatal(server.ListenAndServeTLS("", ""))
	}()
	log.Fatal(http.ListenAndServe(registryPlain, handler))
}

// silence takes connections and never says a word.
func silence(address string) {
	listener, err := net.Listen("tcp", address)
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
			buffer := make([]byte, 4096)
			for {
				if _, err := connection.Read(buffer); err != nil {
					return
				}
			}
		}()
	}
}

// selfSigned makes a certificate that nobody trusts.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(10, 0, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}, err
}

func answerPull(w http.ResponseWriter, r *http.Request) {
	repository := strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case repository == "/v2":
		w.WriteHeader(http.StatusOK)
	case strings.Contains(repository, "private"):
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		answer(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	case strings.Contains(repository, "limited"):
		answer(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
	case strings.Contains(repository, "broken"):
		answer(w, http.StatusInternalServerError, "UNKNOWN", "internal error")
	case strings.Contains(repository, "foreign"):
		foreignImage().serve(w, r)
	case strings.Contains(repository, "large"):
		largeImage().serve(w, r)
	default:
		notFound(w)
	}
}

func notFound(w http.ResponseWriter) {
	answer(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
}

func answer(w http.ResponseWriter, status int, code, message string) {
	type registryError struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may be gone, and a HEAD request takes no body.
	_ = json.NewEncoder(w).Encode(map[string][]registryError{"errors": {{code, message}}})
}

// serve answers requests for the manifest by any tag, and for everything by its digest.
func (image heldImage) serve(w http.ResponseWriter, r *http.Request) {
	wanted := path.Base(r.URL.Path)
	for _, part := range image {
		if part.digest == wanted || (part == image[0] && !strings.Contains(wanted, ":")) {
			w.Header().Set("Content-Type", part.mediaType)
			w.Header().Set("Docker-Content-Digest", part.digest)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(part.data))
			return
		}
	}
	notFound(w)
}
