package main

import (
	"encoding/json"
	"log"
	"net/http"
	"strings"
)

// serveRegistry stands in for every image registry and holds no image, so that pulls fail as on a real one.
func serveRegistry(address string) {
	log.Fatal(http.ListenAndServe(address, http.HandlerFunc(refusePull)))
}

func refusePull(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case path == "/v2":
		w.WriteHeader(http.StatusOK)
	case strings.Contains(path, "private"):
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		answer(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	case strings.Contains(path, "limited"):
		answer(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
	case strings.Contains(path, "broken"):
		answer(w, http.StatusInternalServerError, "UNKNOWN", "internal error")
	default:
		answer(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
	}
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
