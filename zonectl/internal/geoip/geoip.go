package geoip

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"meetzone/zonectl/internal/ranking"
)

// maxFile bounds the file; the largest that is sold has about 150 MB.
const maxFile = 512 << 20

// Config says which file to use.
type Config struct {
	Path       string        // "" is none: nothing is known of any address
	StaleAfter time.Duration // age of the data that raises an alarm; 0 is never
}

// File is a MaxMind DB file.
type File struct {
	cfg    Config
	reader atomic.Pointer[maxminddb.Reader] // nil: none usable
	broken atomic.Pointer[string]           // what went wrong in a record

	mu      sync.Mutex // guards what follows
	seen    stamp
	problem string
	since   time.Time
}

// stamp tells whether a file has changed.
type stamp struct {
	size     int64
	modified time.Time
}

// Open reads the file. What is wrong with it is told by Problem.
func Open(cfg Config) *File {
	f := &File{cfg: cfg}
	f.Refresh(time.Now())
	return f
}

// Where returns what is known of an address.
func (f *File) Where(addr netip.Addr) (where ranking.Where) {
	reader := f.reader.Load()
	if reader == nil || !addr.IsValid() {
		return where
	}
	var record struct {
		Country struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Location struct {
			Latitude  *float64 `maxminddb:"latitude"`
			Longitude *float64 `maxminddb:"longitude"`
		} `maxminddb:"location"`
	}
	if err := reader.Lookup(addr.Unmap()).Decode(&record); err != nil {
		text := err.Error()
		f.broken.Store(&text)
		return where
	}
	where.Country = record.Country.Code
	if latitude, longitude := record.Location.Latitude, record.Location.Longitude; latitude != nil && longitude != nil &&
		math.Abs(*latitude) <= 90 && math.Abs(*longitude) <= 180 {
		where.Place = ranking.Place{Known: true, Latitude: *latitude, Longitude: *longitude}
	}
	return where
}

// Problem says what is wrong with the file and since when, "" for nothing.
func (f *File) Problem() (text string, since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem, f.since
}

// Refresh reads the file again when it has changed, and looks at its age. A file that cannot be read leaves the one before in use.
func (f *File) Refresh(now time.Time) {
	if f.cfg.Path == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	problem := f.readLocked()
	if broken := f.broken.Load(); problem == "" && broken != nil {
		problem = fmt.Sprintf("The Geo-IP file %s has records that cannot be read (%s). Put a whole copy of it there.", f.cfg.Path, *broken)
	}
	if reader := f.reader.Load(); problem == "" && reader != nil && f.cfg.StaleAfter > 0 {
		if built := reader.Metadata.BuildTime(); now.Sub(built) > f.cfg.StaleAfter {
			problem = fmt.Sprintf("The Geo-IP file %s is of %s and may be wrong by now. Put a newer one there.", f.cfg.Path, built.UTC().Format(time.DateOnly))
		}
	}
	if problem != f.problem {
		f.problem, f.since = problem, now
	}
}

func (f *File) readLocked() (problem string) {
	info, err := os.Stat(f.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("The Geo-IP file %s is not there. Put it there, or reset geoip.file.", f.cfg.Path)
	}
	if err != nil {
		return fmt.Sprintf("The Geo-IP file cannot be looked at: %v.", err)
	}
	now := stamp{info.Size(), info.ModTime()}
	if now == f.seen {
		if f.reader.Load() == nil {
			return f.problem
		}
		return ""
	}
	reader, err := read(f.cfg.Path)
	if err != nil {
		if f.reader.Load() == nil {
			f.seen = now
		}
		return fmt.Sprintf("The Geo-IP file %s cannot be used: %v. Put a whole copy of it there.", f.cfg.Path, err)
	}
	f.seen = now
	f.broken.Store(nil)
	f.reader.Store(reader)
	return ""
}

func read(path string) (*maxminddb.Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	return maxminddb.OpenBytes(content)
}
