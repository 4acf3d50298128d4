package update

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Errors of fetching.
var (
	ErrFetch    = errors.New("the bundle cannot be fetched")
	ErrNoSource = errors.New("there is no bundle")
)

// Fetch says what to bring from where.
type Fetch struct {
	Client *http.Client
	URL    string
	Path   string // where the bundle goes; what an interrupted Fetch has left there is gone on with
	Trust  Trust
	// Admit is asked as soon as the head is there, and refuses what is not to be fetched any further.
	Admit    func(*Bundle) error
	Progress func(done, total int64)
}

// Bounds of fetching.
const (
	fetchTries  = 6 // in a row that bring nothing
	fetchPause  = time.Second
	fetchStall  = 30 * time.Second // without a byte
	maxResource = 200              // bytes of a validator that is kept
)

// resource is what a part of a bundle belongs to.
type resource struct {
	URL       string `json:"url"`
	Validator string `json:"validator"` // an ETag, or when it was last modified
}

// errRestart says that what is there is not the beginning of what comes.
var errRestart = errors.New("it has changed meanwhile")

// Run fetches with as many requests as it takes, each going on where the one before ended (RFC 9110, section 14.2). The file is complete, and its signatures
// are good; its sums are not checked.
func (f Fetch) Run(ctx context.Context) error {
	best := int64(0)
	for failed := 0; ; {
		reached, err := f.request(ctx)
		var final *finalError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &final):
			f.Discard()
			return final.err
		case reached > best:
			best, failed = reached, 0
		}
		if failed++; failed >= fetchTries {
			return fmt.Errorf("%w: %w", ErrFetch, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(failed) * fetchPause):
		}
	}
}

// Discard removes what was fetched.
func (f Fetch) Discard() { _, _ = os.Remove(f.Path), os.Remove(f.noteFile()) }

func (f Fetch) noteFile() string { return f.Path + ".from" }

// finalError is one that another request does not change.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// Head fetches the head of a bundle and nothing more.
func (f Fetch) Head(ctx context.Context) (*Bundle, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchStall)
	defer cancel()
	request, err := f.newRequest(ctx)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=0-%d", MaxHead-1))
	answer, err := f.Client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	defer answer.Body.Close()
	if err := refusedBy(answer); err != nil {
		return nil, err
	}
	return OpenHead(answer.Body, f.Trust)
}

func (f Fetch) newRequest(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, &finalError{fmt.Errorf("%w: %q is no http:// or https:// address", ErrNoSource, f.URL)}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return nil, &finalError{err}
	}
	request.Header.Set("Accept-Encoding", "identity") // offsets count what is stored
	return request, nil
}

func refusedBy(answer *http.Response) error {
	switch s := answer.StatusCode; {
	case s == http.StatusOK || s == http.StatusPartialContent:
		return nil
	case s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusTooManyRequests && s != http.StatusRequestedRangeNotSatisfiable:
		return &finalError{fmt.Errorf("%w: %s answers %q", ErrNoSource, answer.Request.URL.Host, answer.Status)}
	}
	return fmt.Errorf("%s answers %q", answer.Request.URL.Host, answer.Status)
}

// request makes one request and returns how many bytes are there then.
func (f Fetch) request(ctx context.Context) (reached int64, err error) {
	file, err := os.OpenFile(f.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, &finalError{err}
	}
	defer file.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := f.newRequest(ctx)
	if err != nil {
		return 0, err
	}
	at := f.resume(file, request)
	stall := time.AfterFunc(fetchStall, cancel)
	defer stall.Stop()
	answer, err := f.Client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if at, err = f.accept(file, answer, at); err != nil {
		return 0, err
	}
	return f.body(file, answer, at, func() { stall.Reset(fetchStall) })
}

// resume asks for what is missing, where it is known what the beginning belongs to.
func (f Fetch) resume(file *os.File, request *http.Request) int64 {
	var was resource
	raw, err := os.ReadFile(f.noteFile())
	if err != nil || json.Unmarshal(raw, &was) != nil || was.URL != f.URL || was.Validator == "" {
		return 0
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return 0
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-", size))
	request.Header.Set("If-Range", was.Validator)
	return size
}

// accept compares an answer with what was asked, and says where its bytes belong.
func (f Fetch) accept(file *os.File, answer *http.Response, at int64) (int64, error) {
	switch {
	case answer.StatusCode == http.StatusPartialContent && at > 0 && strings.HasPrefix(answer.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(at, 10)+"-"):
		return at, nil
	case answer.StatusCode == http.StatusRequestedRangeNotSatisfiable && at > 0:
		if b, err := f.head(file); err == nil && b.Size() == at {
			return at, nil // everything is there
		}
		f.Discard()
		return 0, errRestart
	}
	if err := refusedBy(answer); err != nil {
		return 0, err
	}
	if answer.StatusCode != http.StatusOK {
		f.Discard()
		return 0, errRestart
	}
	validator := answer.Header.Get("ETag")
	if validator == "" || strings.HasPrefix(validator, "W/") {
		validator = answer.Header.Get("Last-Modified")
	}
	if len(validator) > maxResource {
		validator = ""
	}
	note, err := json.Marshal(resource{f.URL, validator})
	if err == nil {
		err = errors.Join(file.Truncate(0), os.WriteFile(f.noteFile(), note, 0o600))
	}
	if err != nil {
		return 0, &finalError{err}
	}
	return 0, nil
}

func (f Fetch) head(file *os.File) (*Bundle, error) {
	return OpenHead(io.NewSectionReader(file, 0, int64(MaxHead)), f.Trust)
}

// body writes what comes, from a place on. Once the head is there, who signed it, and whether it is wanted, decides about the rest.
func (f Fetch) body(file *os.File, answer *http.Response, at int64, moved func()) (reached int64, err error) {
	var bundle *Bundle
	buffer := make([]byte, 1<<20)
	for {
		if bundle == nil && (at >= int64(MaxHead) || err == io.EOF || f.whole(file, at)) {
			b, headErr := f.head(file)
			if headErr == nil && f.Admit != nil {
				headErr = f.Admit(b)
			}
			if headErr != nil {
				return at, &finalError{headErr}
			}
			bundle = b
		}
		switch {
		case bundle != nil && at > bundle.Size():
			return at, &finalError{fmt.Errorf("%w: more bytes come than belong to it", ErrDamaged)}
		case bundle != nil && at == bundle.Size():
			return at, f.keep(file)
		case err == io.EOF:
			return at, io.ErrUnexpectedEOF
		case err != nil:
			return at, err
		}
		var n int
		n, err = answer.Body.Read(buffer)
		moved()
		if n > 0 {
			if _, err := file.WriteAt(buffer[:n], at); err != nil {
				return at, &finalError{fmt.Errorf("keeping what was fetched: %w", err)}
			}
			at += int64(n)
			if bundle != nil && f.Progress != nil {
				f.Progress(at, bundle.Size())
			}
		}
	}
}

// whole says whether a small bundle is there as a whole.
func (f Fetch) whole(file *os.File, at int64) bool {
	b, err := f.head(file)
	return err == nil && b.Size() <= at
}

// keep brings the file to the disk and forgets where it came from: it is complete.
func (f Fetch) keep(file *os.File) error {
	if err := file.Sync(); err != nil {
		return &finalError{err}
	}
	return ignoreMissing(os.Remove(f.noteFile()))
}
