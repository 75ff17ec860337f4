package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var staticFiles embed.FS

// assets are the static files, by the last part of their URL. It names what is in
// the file, as style.0123456789ab.css does: a file that has changed has another
// URL, so that a browser may keep this one for ever.
type assets map[string]asset

type asset struct {
	name    string // in the directory static
	etag    string
	content []byte
}

func loadAssets() (assets, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	all := assets{}
	for _, entry := range entries {
		content, err := staticFiles.ReadFile(path.Join("static", entry.Name()))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		hash := hex.EncodeToString(sum[:6])
		ext := path.Ext(entry.Name())
		name := strings.TrimSuffix(entry.Name(), ext) + "." + hash + ext
		all[name] = asset{entry.Name(), `"` + hash + `"`, content}
	}
	return all, nil
}

// url is where a file is found.
func (a assets) url(name string) (string, error) {
	for file, asset := range a {
		if asset.name == name {
			return "/static/" + file, nil
		}
	}
	return "", fmt.Errorf("no static file %q", name)
}

// ServeHTTP serves the files.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asset, ok := a[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("ETag", asset.etag)
	// The zero time: the ETag alone tells whether the browser has the file.
	http.ServeContent(w, r, asset.name, time.Time{}, bytes.NewReader(asset.content))
}
