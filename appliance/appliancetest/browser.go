package appliancetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
)

// Browser is one page of a browser.
type Browser interface {
	// Open loads a page.
	Open(url string) error
	// Eval runs a JavaScript expression, waits for it when it is a promise, and decodes its JSON value into into, unless that is nil.
	Eval(expression string, into any) error
	// Screenshot returns the page as PNG.
	Screenshot() ([]byte, error)
}

// Until evaluates a condition until it is true, and fails the test with the last value of report when that takes too long.
func Until(t testing.TB, b Browser, what, condition, report string, patience time.Duration) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var ok bool
		err := b.Eval("Boolean("+condition+")", &ok)
		if ok {
			return
		}
		if time.Now().After(deadline) {
			var state json.RawMessage
			_ = b.Eval(report, &state)
			t.Fatalf("%s: not within %v (%v); %s", what, patience, err, state)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// need finds a program, or ends the test with the reason.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing; make test installs it", program)
		}
		t.Skipf("%s is missing", program)
	}
	return path
}

// withHosts is the command that runs a program with lines of its own in /etc/hosts, and with a name server that says at once that it is none: browsers ask it for
// what is in the file as well, and wait. The program itself where there are no lines.
func withHosts(t testing.TB, hosts, program string) []string {
	t.Helper()
	if hosts == "" {
		return []string{program}
	}
	dir, binds := t.TempDir(), ""
	for name, content := range map[string]string{"hosts": "127.0.0.1 localhost\n" + hosts + "\n", "resolv.conf": "nameserver 127.0.0.1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		binds += "mount --bind " + filepath.Join(dir, name) + " /etc/" + name + " && "
	}
	return []string{need(t, "unshare"), "--mount", "sh", "-c", binds + `exec "$0" "$@"`, program}
}

// start runs a program in a namespace until the test ends, and returns the first line of its error output that holds marker. ended
// is closed when the program has closed its output.
func start(t testing.TB, cmd *exec.Cmd, marker string, patience time.Duration) (line string, ended <-chan struct{}) {
	t.Helper()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	found := make(chan string, 1)
	var log tail
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			log.add(lines.Text())
			if strings.Contains(lines.Text(), marker) {
				select {
				case found <- lines.Text():
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, pipe)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said at the end:\n%s", cmd.Args[0], log.String())
		}
	})
	select {
	case line := <-found:
		return line, done
	case <-done:
		t.Fatalf("%s ended early:\n%s", cmd.Path, log.String())
	case <-time.After(patience):
		t.Fatalf("%s never said %q:\n%s", cmd.Path, marker, log.String())
	}
	return "", nil
}

// tail keeps the last lines of an output.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (l *tail) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 60 {
		l.lines = append(l.lines[:0], l.lines[1:]...)
	}
	l.lines = append(l.lines, line)
}

// String returns what is kept.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// dialIn connects from inside a namespace; the connection may then be used anywhere.
func dialIn(t testing.TB, ns *nstest.NS, address string) (net.Conn, error) {
	var conn net.Conn
	var err error
	ns.Do(t, func() { conn, err = net.Dial("tcp", address) })
	return conn, err
}

// decode puts a JSON value into into.
func decode(raw []byte, into any) error {
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(into); err != nil {
		return fmt.Errorf("value %.200s: %w", raw, err)
	}
	return nil
}
