package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
)

//go:embed index.html favicon.svg app/*.js views/*.js style/*.css
var files embed.FS

// assetsPath is where everything but the page lies, followed by the digest.
const assetsPath = "/assets/"

// contentSecurityPolicy permits this server's files and nothing else. Controllers and routers of a zone may be other hosts, which only the lookup
// tells, hence the schemes in connect-src.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; " +
	"connect-src 'self' https: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler serves the browser client: the page at "/" and "/j/NUMBER", its assets, and the page with status 404 everywhere else.
func Handler() http.Handler {
	site := newSite(files)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", site.servePage)
	mux.HandleFunc("GET /j/{number}", site.servePage)
	mux.HandleFunc("GET "+assetsPath, site.serveAsset)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, site.prefix+"favicon.svg", http.StatusFound)
	})
	mux.HandleFunc("GET /", site.serveUnknown)
	return mux
}

// site is the embedded client, prepared once: it does not change afterwards.
type site struct {
	prefix string // assetsPath + digest + "/"
	page   []byte
	etag   string // of the page
	assets map[string][]byte
}

// newSite reads all assets, digests them and writes their path into the page. An embedded file that cannot be read is a fault of the build.
func newSite(fsys fs.FS) *site {
	s := &site{assets: make(map[string][]byte)}
	var names []string
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		s.assets[name] = body
		names = append(names, name)
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("web: embedded files: %v", err))
	}
	slices.Sort(names)
	digest := sha256.New()
	for _, name := range names {
		fmt.Fprintf(digest, "%s\x00%d\x00", name, len(s.assets[name]))
		digest.Write(s.assets[name])
	}
	sum := hex.EncodeToString(digest.Sum(nil))[:20]
	s.prefix = assetsPath + sum + "/"
	s.etag = `"` + sum + `"`
	s.page = s.fillPage(names)
	delete(s.assets, "index.html")
	return s
}

// fillPage writes into the page where its assets are. Modules are named there so that the browser fetches all of them at once instead of one level
// of imports after the other.
func (s *site) fillPage(names []string) []byte {
	var preload strings.Builder
	for _, name := range names {
		if path.Ext(name) == ".js" && name != "app/early.js" {
			fmt.Fprintf(&preload, "<link rel=\"modulepreload\" href=\"%s%s\">\n", s.prefix, name)
		}
	}
	page := bytes.ReplaceAll(s.assets["index.html"], []byte("{{assets}}/"), []byte(s.prefix))
	return bytes.Replace(page, []byte("<!-- preload -->\n"), []byte(preload.String()), 1)
}

func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	s.pageHeaders(w.Header())
	w.Header().Set("ETag", s.etag)
	if r.Header.Get("If-None-Match") == s.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(s.page)
}

// serveUnknown answers a wrong address with the page, which says so in the person's language.
func (s *site) serveUnknown(w http.ResponseWriter, _ *http.Request) {
	s.pageHeaders(w.Header())
	w.WriteHeader(http.StatusNotFound)
	w.Write(s.page)
}

func (s *site) pageHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), autoplay=(self), geolocation=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

func (s *site) serveAsset(w http.ResponseWriter, r *http.Request) {
	name, ours := strings.CutPrefix(r.URL.Path, s.prefix)
	body, known := s.assets[name]
	if !ours || !known {
		w.Header().Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", contentType(name))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Write(body)
}

// contentType does not ask the machine's table of types, which may be missing or wrong.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
