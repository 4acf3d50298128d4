package update

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// server serves a bundle; each of the first requests for a body breaks after some bytes.
type server struct {
	content atomic.Pointer[[]byte]
	tag     atomic.Pointer[string]
	breaks  atomic.Int32
	after   int
	whole   atomic.Int32 // bodies from the start
	rest    atomic.Int32 // bodies from somewhere else
	sent    atomic.Int64
	plain   bool // knows no ranges
}

func newServer(t *testing.T, content []byte, after int) (*server, string) {
	s := &server{after: after}
	s.put(content, `"one"`)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL + "/b"
}

func (s *server) put(content []byte, tag string) { s.content.Store(&content); s.tag.Store(&tag) }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if asked := r.Header.Get("Range"); asked == "" {
		s.whole.Add(1)
	} else if !strings.HasPrefix(asked, "bytes=0-") {
		s.rest.Add(1)
	}
	if s.plain {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", *s.tag.Load())
	http.ServeContent(&breakingWriter{w, s, s.breaks.Add(-1) >= 0, 0}, r, "b", time.Time{}, bytes.NewReader(*s.content.Load()))
}

// breakingWriter ends the connection in the middle of a body.
type breakingWriter struct {
	http.ResponseWriter
	s      *server
	breaks bool
	n      int
}

func (w *breakingWriter) Write(b []byte) (int, error) {
	if w.breaks && w.n+len(b) > w.s.after {
		n, _ := w.ResponseWriter.Write(b[:max(0, w.s.after-w.n)])
		w.s.sent.Add(int64(n))
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := w.ResponseWriter.Write(b)
	w.n += n
	w.s.sent.Add(int64(n))
	return n, err
}

func (r *rig) fetch(address string) Fetch {
	return Fetch{Client: http.DefaultClient, URL: address, Path: filepath.Join(r.folder, "fetched"), Trust: r.trust()}
}

func TestFetchGoesOnWhereItBroke(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle(newImage(t, "1.1.0", 2<<20), nil)
	s, address := newServer(t, bundle, 300_000)
	s.breaks.Store(3)
	f := r.fetch(address)
	var last int64
	f.Progress = func(done, total int64) {
		if done < last || total != int64(len(bundle)) {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(got, bundle) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if s.whole.Load() != 1 || s.rest.Load() < 3 {
		t.Errorf("%d times from the start, %d times gone on", s.whole.Load(), s.rest.Load())
	}
	if sent := s.sent.Load(); sent > int64(len(bundle))+100_000 {
		t.Errorf("%d bytes were sent for %d", sent, len(bundle))
	}
}

// TestFetchOfSomethingElse: the bundle is replaced by another between two requests, so that the beginning is thrown away.
func TestFetchOfSomethingElse(t *testing.T) {
	r := newRig(t)
	first, second := r.bundle(newImage(t, "1.1.0", 1<<20), nil), r.bundle(newImage(t, "1.2.0", 1<<20), nil)
	s, address := newServer(t, first, 300_000)
	s.breaks.Store(fetchTries)
	f := r.fetch(address)
	ctx := t.Context()
	if _, err := f.request(ctx); err == nil {
		t.Fatal("the first request was to break")
	}
	s.breaks.Store(0)
	s.put(second, `"two"`)
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(got, second) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestFetchRefuses(t *testing.T) {
	r := newRig(t)
	good := r.bundle(newImage(t, "1.1.0", 4<<20), nil)
	t.Run("no server", func(t *testing.T) {
		if err := r.fetch("ftp://example.org/b").Run(t.Context()); !errors.Is(err, ErrNoSource) {
			t.Error(err)
		}
	})
	t.Run("no such file", func(t *testing.T) {
		h := httptest.NewServer(http.NotFoundHandler())
		defer h.Close()
		if err := r.fetch(h.URL).Run(t.Context()); !errors.Is(err, ErrNoSource) {
			t.Error(err)
		}
	})
	t.Run("not wanted, by its head", func(t *testing.T) {
		s, address := newServer(t, good, 0)
		f := r.fetch(address)
		f.Admit = func(*Bundle) error { return ErrFloor }
		if err := f.Run(t.Context()); !errors.Is(err, ErrFloor) {
			t.Error(err)
		}
		if _, err := os.Stat(f.Path); err == nil {
			t.Error("something is left behind")
		}
		_ = s
	})
	t.Run("signed by others", func(t *testing.T) {
		other := newRig(t)
		_, address := newServer(t, good, 0)
		if err := other.fetch(address).Run(t.Context()); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
	})
	t.Run("truncated on the server", func(t *testing.T) {
		_, address := newServer(t, good[:len(good)-4096], 0)
		f := r.fetch(address)
		if err := f.Run(t.Context()); err == nil {
			t.Error("it is taken")
		}
	})
	t.Run("head only", func(t *testing.T) {
		s, address := newServer(t, good, 0)
		b, err := r.fetch(address).Head(t.Context())
		if err != nil || b.Manifest.Version != "1.1.0" {
			t.Fatalf("%v", err)
		}
		if sent := s.sent.Load(); sent > int64(MaxHead) {
			t.Errorf("%d bytes were sent for a head", sent)
		}
	})
}
