package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func pull(t *testing.T, path string) (int, string, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	answerPull(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Code, recorder.Header().Get("Content-Type"), string(body)
}

func TestPullsFailAsOnARealRegistry(t *testing.T) {
	for path, want := range map[string]int{
		"/v2/":                          200,
		"/v2/acme/app/manifests/1":      404,
		"/v2/private/app/manifests/1":   401,
		"/v2/limited/app/manifests/1":   429,
		"/v2/broken/app/manifests/1":    500,
		"/v2/large/app/blobs/sha256:00": 404,
	} {
		if code, _, _ := pull(t, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

func TestHeldImagesLeadToTheirParts(t *testing.T) {
	_, mediaType, _ := pull(t, "/v2/foreign/app/manifests/1")
	if mediaType != ociIndex {
		t.Error(mediaType)
	}
	code, mediaType, body := pull(t, "/v2/large/app/manifests/1")
	if code != 200 || mediaType != ociManifest {
		t.Fatal(code, mediaType)
	}
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct {
			Digest string
			Size   int
		}
	}
	if err := json.Unmarshal([]byte(body), &manifest); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := pull(t, "/v2/large/app/blobs/"+manifest.Config.Digest); code != 200 {
		t.Error("its config", code)
	}
	if code, _, body := pull(t, "/v2/large/app/blobs/"+manifest.Layers[0].Digest); code != 200 || len(body) != manifest.Layers[0].Size {
		t.Error("its layer", code, len(body))
	}
}
