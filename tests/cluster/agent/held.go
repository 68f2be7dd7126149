package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
)

// heldImage is an image that the registry does hold: what its tag leads to, then what that leads to.
type heldImage []content

type content struct{ mediaType, digest, data string }

const (
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar"
	largeSize   = 4 << 20
)

func newContent(mediaType string, data []byte) content {
	return content{mediaType, fmt.Sprintf("sha256:%x", sha256.Sum256(data)), string(data)}
}

func newJSON(mediaType string, document any) content {
	data, err := json.Marshal(document)
	if err != nil {
		panic(err) // made of maps and strings
	}
	return newContent(mediaType, data)
}

func (c content) descriptor() map[string]any {
	return map[string]any{"mediaType": c.mediaType, "digest": c.digest, "size": len(c.data)}
}

// foreignImage is built for another machine than this one.
func foreignImage() heldImage {
	architecture := "s390x"
	if runtime.GOARCH == architecture {
		architecture = "amd64"
	}
	manifest := newContent(ociManifest, []byte("{}")) // nobody asks for it
	entry := manifest.descriptor()
	entry["platform"] = map[string]string{"os": "linux", "architecture": architecture}
	return heldImage{newJSON(ociIndex, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{entry}})}
}

// largeImage is more than a full disk takes.
func largeImage() heldImage {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	err := archive.WriteHeader(&tar.Header{Name: "data", Mode: 0o644, Size: largeSize})
	if err == nil {
		_, err = archive.Write(make([]byte, largeSize))
	}
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		panic(err) // it is written to memory
	}
	data := newContent(ociLayer, layer.Bytes())
	config := newJSON(ociConfig, map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{data.digest}},
	})
	manifest := newJSON(ociManifest, map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest, "config": config.descriptor(), "layers": []any{data.descriptor()},
	})
	return heldImage{manifest, config, data}
}
