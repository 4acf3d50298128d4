package web

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func get(h http.Handler, path string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPages asks for the page by right and wrong addresses.
func TestPages(t *testing.T) {
	h := Handler()
	for path, status := range map[string]int{"/": 200, "/j/482913756": 200, "/j/482913756/more": 404, "/nowhere": 404, "/assets/": 404, "/assets/x/app/main.js": 404} {
		if w := get(h, path, nil); w.Code != status {
			t.Errorf("%s: status %d, want %d", path, w.Code, status)
		}
	}
	page := get(h, "/", nil)
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := page.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	again := get(h, "/j/123", http.Header{"If-None-Match": {page.Header().Get("ETag")}})
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("the page that the browser has: status %d with %d bytes", again.Code, again.Body.Len())
	}
}

// TestAssets follows every reference of the page and asks for what modules import: all are there, with their type, to be kept for ever.
func TestAssets(t *testing.T) {
	h := Handler()
	page := get(h, "/", nil).Body.String()
	if strings.Contains(page, "{{") || strings.Contains(page, "<!-- preload") {
		t.Errorf("the page was not filled in:\n%s", page)
	}
	references := regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(references) < 20 {
		t.Errorf("the page names %d files only", len(references))
	}
	imports := regexp.MustCompile(`(?m)^(?:import|export) .*?from '([^']+)';`)
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	for _, reference := range references {
		path := reference[1]
		w := get(h, path, nil)
		if w.Code != 200 || w.Header().Get("Content-Type") != types[filepath.Ext(path)] || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %v", path, w.Code, w.Header())
		}
		for _, imported := range imports.FindAllStringSubmatch(w.Body.String(), -1) {
			target := filepath.Join(filepath.Dir(path), imported[1])
			if !strings.Contains(page, `"`+target+`"`) {
				t.Errorf("%s imports %s, which the page does not name", path, imported[1])
			}
		}
	}
}

// TestNothingForeign holds the policy: no inline code or style, no other host, no markup made of text.
func TestNothingForeign(t *testing.T) {
	site := newSite(files)
	foreign := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+="|javascript:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://[a-z0-9]+\.[a-z]`)
	namespace := "http://www.w3.org/2000/svg"
	for name, body := range site.assets {
		text := strings.ReplaceAll(string(body), namespace, "")
		if found := foreign.FindString(text); found != "" {
			t.Errorf("%s contains %q", name, found)
		}
		if lines := strings.Count(text, "\n"); strings.HasSuffix(name, ".js") && lines >= 400 {
			t.Errorf("%s has %d lines, want fewer than 400", name, lines)
		}
	}
}

// TestModules runs the tests of the modules that need no browser.
func TestModules(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("node is not installed: apt-get install nodejs")
		}
		t.Skip("node is not installed: apt-get install nodejs")
	}
	tests, err := filepath.Glob("testdata/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests of modules: %v", err)
	}
	command := exec.Command(node, append([]string{"--test", "--test-reporter=spec"}, tests...)...)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
