package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/time/rate"

	"meetzone/storage"
)

// Kind says which bounds an entry falls under.
type Kind string

// The kinds.
const (
	Done    Kind = "done"    // it was done, or failed
	Refused Kind = "refused" // it was not permitted
)

// Bounds.
const (
	maxText  = 500     // bytes of each text of an entry
	maxBytes = 2 << 20 // of all entries of a kind, roughly
)

// keep is how many entries of each kind are kept.
var keep = map[Kind]int{Done: 4000, Refused: 1000}

// Entry is something that somebody did to the box.
type Entry struct {
	Seq    uint64    `json:"-"`
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`
	From   string    `json:"from,omitempty"` // whose process asked, where that is another
	Verb   string    `json:"verb"`
	Detail string    `json:"detail,omitempty"`
	Kind   Kind      `json:"kind"`
	Result string    `json:"result"`           // "done", or the code of the error
	Missed int       `json:"missed,omitempty"` // refusals before this one that were not written down
}

func (e Entry) size() int {
	return 100 + len(e.Who) + len(e.From) + len(e.Verb) + len(e.Detail) + len(e.Result)
}

// Config says where entries are kept.
type Config struct {
	Store *storage.Store
}

// Validate names what is missing.
func (c Config) Validate() error {
	if c.Store == nil {
		return errors.New("audit: store: missing")
	}
	return nil
}

// Log is all entries.
type Log struct {
	store *storage.Store
	table *storage.Table[uint64, Entry]

	appending sync.Mutex        // held while an entry is written; guards what follows
	kinds     map[Kind]*entries // what there is
	refusals  *rate.Limiter     // how many are written down
	missed    int               // how many were not

	mu      sync.Mutex // guards what follows
	last    uint64     // the newest entry
	changed chan struct{}
}

// entries are those of a kind, oldest first.
type entries struct {
	seqs  []uint64
	bytes int
}

// Open reads what there is.
func Open(cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	table, err := storage.OpenTable[uint64, Entry](cfg.Store, "audit")
	if err != nil {
		return nil, err
	}
	l := &Log{store: cfg.Store, table: table, kinds: map[Kind]*entries{Done: {}, Refused: {}}, refusals: rate.NewLimiter(rate.Every(2*time.Second), 30), changed: make(chan struct{})}
	for seq, e := range table.All() {
		l.of(e.Kind).add(seq, e.size())
		l.last = seq
	}
	return l, nil
}

// of returns the entries of a kind; a kind that this version does not know counts as done.
func (l *Log) of(k Kind) *entries { return cmp.Or(l.kinds[k], l.kinds[Done]) }

func (e *entries) add(seq uint64, size int) { e.seqs, e.bytes = append(e.seqs, seq), e.bytes+size }

// Append writes an entry. It returns when the entry is on the disk. Refusals that come too often are only counted.
func (l *Log) Append(ctx context.Context, e Entry) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if e.Kind == Refused && !l.refusals.Allow() {
		l.missed++
		return nil
	}
	e = e.clean()
	if e.Kind == Refused {
		e.Missed = l.missed
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	l.mu.Lock()
	seq := l.last + 1
	l.mu.Unlock()
	kind := l.of(e.Kind)
	gone, bytes := kind.tooMany(keep[e.Kind], e.size(), l.sizeOf)
	err := l.store.Update(ctx, func(tx *storage.Tx) error {
		records := l.table.In(tx)
		for _, old := range gone {
			if err := records.Delete(old); err != nil {
				return err
			}
		}
		return records.Put(seq, e)
	})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if e.Kind == Refused {
		l.missed = 0
	}
	kind.seqs, kind.bytes = kind.seqs[len(gone):], kind.bytes-bytes
	kind.add(seq, e.size())
	l.mu.Lock()
	l.last = seq
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	return nil
}

// tooMany returns the oldest entries that have to go for one more.
func (e *entries) tooMany(most, size int, sizeOf func(uint64) int) (gone []uint64, bytes int) {
	for len(gone) < len(e.seqs) && (len(e.seqs)-len(gone) >= most || e.bytes-bytes+size > maxBytes) {
		bytes += sizeOf(e.seqs[len(gone)])
		gone = e.seqs[:len(gone)+1]
	}
	return gone, bytes
}

func (l *Log) sizeOf(seq uint64) int {
	e, _, _ := l.table.Get(seq)
	return e.size()
}

// clean bounds an entry's texts, and takes out what no log should have.
func (e Entry) clean() Entry {
	for _, text := range []*string{&e.Who, &e.From, &e.Verb, &e.Detail, &e.Result} {
		*text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(*text, "?"))
		if len(*text) > maxText {
			*text = strings.ToValidUTF8((*text)[:maxText], "") + "…"
		}
	}
	return e
}

// Last returns the number of the newest entry; 0 where there is none.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// After returns at most so many entries behind a number, oldest first.
func (l *Log) After(seq uint64, most int) []Entry {
	var list []Entry
	for key, e := range l.table.All() {
		if key <= seq {
			continue
		}
		if len(list) >= most {
			break
		}
		e.Seq = key
		list = append(list, e)
	}
	return list
}

// Newest returns the last so many entries, oldest first.
func (l *Log) Newest(most int) []Entry {
	keys := l.table.Keys()
	if len(keys) <= most {
		return l.After(0, most)
	}
	return l.After(keys[len(keys)-most-1], most)
}

// Wait returns when there is an entry behind a number, or ctx ends.
func (l *Log) Wait(ctx context.Context, seq uint64) error {
	for {
		l.mu.Lock()
		last, changed := l.last, l.changed
		l.mu.Unlock()
		if last > seq {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
