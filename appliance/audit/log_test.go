package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"meetzone/storage"
	"meetzone/storage/storagetest"
)

func open(t *testing.T, s *storage.Store) *Log {
	t.Helper()
	l, err := Open(Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func put(t *testing.T, l *Log, kind Kind, verb string) {
	t.Helper()
	if err := l.Append(t.Context(), Entry{Who: "ada", Verb: verb, Kind: kind, Result: "done"}); err != nil {
		t.Fatal(err)
	}
}

func TestEntriesOutliveTheDaemon(t *testing.T) {
	cfg := storage.Config{Path: t.TempDir() + "/s.db"}
	s := storagetest.Open(t, cfg)
	l := open(t, s)
	put(t, l, Done, "config commit")
	put(t, l, Done, "drain")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, storagetest.Open(t, cfg))
	put(t, l, Done, "undrain")
	list := l.Newest(10)
	if len(list) != 3 || list[0].Verb != "config commit" || list[2].Seq != 3 || list[2].Time.IsZero() {
		t.Errorf("%+v", list)
	}
	if got := l.Newest(1); len(got) != 1 || got[0].Verb != "undrain" {
		t.Errorf("the newest: %+v", got)
	}
	if got := l.After(1, 1); len(got) != 1 || got[0].Verb != "drain" {
		t.Errorf("after 1: %+v", got)
	}
}

func TestBounds(t *testing.T) {
	before := keep
	keep = map[Kind]int{Done: 5, Refused: 3}
	defer func() { keep = before }()
	cfg := storage.Config{Path: t.TempDir() + "/s.db"}
	s := storagetest.Open(t, cfg)
	l := open(t, s)
	l.refusals = rate.NewLimiter(rate.Inf, 0)
	for i := range 8 {
		put(t, l, Done, fmt.Sprint("done", i))
	}
	for i := range 50 { // however often somebody is refused, what was done stays
		put(t, l, Refused, fmt.Sprint("refused", i))
	}
	check := func(l *Log) {
		t.Helper()
		var got []string
		for _, e := range l.Newest(100) {
			got = append(got, e.Verb)
		}
		if want := "done3 done4 done5 done6 done7 refused47 refused48 refused49"; strings.Join(got, " ") != want {
			t.Errorf("kept %v, want %v", got, want)
		}
	}
	check(l)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, storagetest.Open(t, cfg))
	check(l)
	put(t, l, Done, "last")
	if list := l.Newest(100); len(list) != 8 || list[0].Verb != "done4" {
		t.Errorf("after opening again: %+v", list)
	}
}

func TestBytesAreBounded(t *testing.T) {
	l := open(t, storagetest.Open(t, storage.Config{}))
	long := strings.Repeat("x", 10_000)
	if err := l.Append(t.Context(), Entry{Who: long, Verb: "a\nb\x1b", Detail: "\xff", Kind: Done}); err != nil {
		t.Fatal(err)
	}
	e := l.Newest(1)[0]
	if len(e.Who) > maxText+4 || e.Verb != "a b " || e.Detail != "?" {
		t.Errorf("%d bytes, %q, %q", len(e.Who), e.Verb, e.Detail)
	}
	all := &entries{seqs: []uint64{1, 2, 3}, bytes: maxBytes}
	if gone, bytes := all.tooMany(100, 150, func(uint64) int { return 100 }); len(gone) != 2 || bytes != 200 {
		t.Errorf("%v go, %d bytes", gone, bytes)
	}
}

func TestManyRefusalsAreCounted(t *testing.T) {
	l := open(t, storagetest.Open(t, storage.Config{}))
	l.refusals = rate.NewLimiter(rate.Every(time.Hour), 2)
	for range 10 {
		put(t, l, Refused, "login")
	}
	l.refusals = rate.NewLimiter(rate.Inf, 0)
	put(t, l, Refused, "login")
	list := l.Newest(100)
	if len(list) != 3 || list[2].Missed != 8 {
		t.Errorf("%+v", list)
	}
}

func TestWait(t *testing.T) {
	l := open(t, storagetest.Open(t, storage.Config{}))
	came := make(chan error, 1)
	go func() { came <- l.Wait(context.Background(), 0) }()
	put(t, l, Done, "drain")
	if err := <-came; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, l.Last()); !errors.Is(err, context.Canceled) {
		t.Errorf("waited for nothing: %v", err)
	}
}
