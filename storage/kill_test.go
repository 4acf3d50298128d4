package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meetzone/storage"
)

// What a child of these tests is asked to do instead of testing.
const (
	childVariable = "MEETZONE_STORAGE_CHILD"
	window        = 40 // records that the writer keeps
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		if err := writeForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type counted struct {
	Number uint64 `json:"number"`
	Filler string `json:"filler"`
}

// filler differs in length from record to record, so that pages split and merge.
func filler(n uint64) string { return strings.Repeat(strconv.FormatUint(n, 36), int(n*7919%700)) }

// writeForEver adds record after record, drops the oldest in the same transaction, and says so on standard output once it is acknowledged.
func writeForEver(path string) error {
	s, err := storage.Open(storage.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	records, err := storage.OpenTable[uint64, counted](s, "records")
	if err != nil {
		return err
	}
	next := uint64(1)
	if keys := records.Keys(); len(keys) > 0 {
		next = keys[len(keys)-1] + 1
	}
	for ; ; next++ {
		err := s.Update(context.Background(), func(tx *storage.Tx) error {
			in := records.In(tx)
			if next > window {
				if err := in.Delete(next - window); err != nil {
					return err
				}
			}
			return in.Put(next, counted{next, filler(next)})
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Println(next); err != nil {
			return err
		}
	}
}

// TestKill ends a writing process at random instants: everything that it has seen acknowledged is there, transactions are
// whole, and so is the file.
func TestKill(t *testing.T) {
	rounds := 200
	path := filepath.Join(t.TempDir(), "s.db")
	acknowledged, early := uint64(0), 0
	for round := range rounds {
		last, count := killOnce(t, path, time.Duration(rand.Int64N(int64(45*time.Millisecond))))
		if count == 0 {
			early++
		}
		acknowledged = max(acknowledged, last)
		verify(t, path, acknowledged)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d rounds, %d acknowledged writes, %d kills before the first", rounds, acknowledged, early)
	if early == rounds || acknowledged == 0 {
		t.Error("no process lived long enough to write; the test proves nothing")
	}
}

// killOnce runs a writer for so long after its start, and returns the last record it acknowledged and how many there were.
func killOnce(t *testing.T, path string, life time.Duration) (last uint64, count int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+path)
	var complaints strings.Builder
	child.Stderr = &complaints
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	kill := time.AfterFunc(life, func() { _ = child.Process.Kill() })
	defer kill.Stop()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // io.EOF: half a line is no acknowledgement
			break
		}
		if last, err = strconv.ParseUint(strings.TrimSpace(line), 10, 64); err != nil {
			t.Fatalf("the writer said %q", line)
		}
		count++
	}
	_, _ = io.Copy(io.Discard, out)
	_ = child.Wait()
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the writer ended by itself: %v: %s", child.ProcessState, complaints.String())
	}
	return last, count
}

func verify(t *testing.T, path string, acknowledged uint64) {
	t.Helper()
	s, err := storage.Open(storage.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	records := openTable[uint64, counted](t, s, "records")
	if err := s.Check(); err != nil {
		t.Errorf("the file is damaged: %v", err)
	}
	keys := records.Keys()
	if len(keys) == 0 {
		if acknowledged > 0 {
			t.Errorf("%d acknowledged writes are gone", acknowledged)
		}
		return
	}
	newest := keys[len(keys)-1]
	if newest < acknowledged {
		t.Errorf("%d was acknowledged, %d is the newest", acknowledged, newest)
	}
	if want := min(newest, window); uint64(len(keys)) != want || keys[0] != newest-want+1 {
		t.Errorf("%d records from %d to %d: a transaction is half there", len(keys), keys[0], newest)
	}
	for n, record := range records.All() {
		if record.Number != n || record.Filler != filler(n) {
			t.Errorf("record %d has the content of %d", n, record.Number)
		}
	}
}
