package appliancetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// Terminal is an emulated terminal with a program, or a machine at the end of a serial line, on it.
type Terminal struct {
	Keys int // pressed with Press: what Type types is not counted

	line    io.ReadWriter
	ended   chan struct{} // closed when nothing more comes
	mu      sync.Mutex    // guards what follows
	screen  *vt.Emulator
	written []byte // all that came, the end of it
	changed chan struct{}
}

// maxWritten bounds what a terminal remembers of what came.
const maxWritten = 4 << 20

// NewTerminal is one at the end of any line.
func NewTerminal(line io.ReadWriter, width, height int) *Terminal {
	term := &Terminal{line: line, ended: make(chan struct{}), screen: vt.NewEmulator(width, height), changed: make(chan struct{})}
	go term.runScreen()
	go func() { _, _ = io.Copy(line, term.screen) }() // what it answers to questions
	return term
}

// runScreen shows what comes.
func (term *Terminal) runScreen() {
	defer close(term.ended)
	buf := make([]byte, 64<<10)
	for {
		n, err := term.line.Read(buf)
		term.mu.Lock()
		_, _ = term.screen.Write(buf[:n])
		term.written = append(term.written, buf[:n]...)
		term.written = term.written[max(0, len(term.written)-maxWritten):]
		close(term.changed)
		term.changed = make(chan struct{})
		term.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Text is what the screen shows.
func (term *Terminal) Text() string {
	text, _ := term.look()
	return text
}

func (term *Terminal) look() (string, <-chan struct{}) {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.screen.String(), term.changed
}

// Styled is the screen with its attributes as escape sequences.
func (term *Terminal) Styled() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.screen.Render()
}

// Written is all that came, or the end of it.
func (term *Terminal) Written() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return string(term.written)
}

// Garble writes to the screen what the program on it knows nothing of, as the kernel does.
func (term *Terminal) Garble(text string) {
	term.mu.Lock()
	defer term.mu.Unlock()
	_, _ = term.screen.WriteString(text)
}

// Wait waits until the screen shows all of some texts, and returns it.
func (term *Terminal) Wait(t testing.TB, texts ...string) string {
	t.Helper()
	return term.Until(t, fmt.Sprintf("%q", texts), func(shown string) bool {
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				return false
			}
		}
		return true
	})
}

// Until waits until the screen is as it should be.
func (term *Terminal) Until(t testing.TB, what string, satisfied func(shown string) bool) string {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		shown, changed := term.look()
		if satisfied(shown) {
			return shown
		}
		select {
		case <-changed:
		case <-term.ended:
			t.Fatalf("the program has ended, and the screen never showed %s:\n%s", what, shown)
		case <-late:
			t.Fatalf("the screen does not show %s:\n%s", what, shown)
		}
	}
}

// keys are those that are no letters.
var keys = map[string]string{"enter": "\r", "esc": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "pgdown": "\x1b[6~", "pgup": "\x1b[5~",
	"clear": "\x15", "redraw": "\x0c", "back": "\x7f", "break": "\x03"}

// Press presses keys, by name or letter, and counts them.
func (term *Terminal) Press(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		term.Keys++
		text, named := keys[name]
		if !named {
			text = name
		}
		term.Type(t, text)
	}
}

// Type types a value.
func (term *Terminal) Type(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(term.line, text); err != nil {
		t.Fatalf("typing: %v", err)
	}
}

// Resize makes the terminal another size, and tells the program so.
func (term *Terminal) Resize(t testing.TB, width, height int) {
	t.Helper()
	term.mu.Lock()
	term.screen.Resize(width, height)
	term.mu.Unlock()
	if f, ok := term.line.(*os.File); ok {
		if err := pty.Setsize(f, &pty.Winsize{Rows: uint16(height), Cols: uint16(width)}); err != nil {
			t.Fatal(err)
		}
	}
}

// Ended is closed when the program has ended.
func (term *Terminal) Ended() <-chan struct{} { return term.ended }

// consoleUser is who the console runs as: in the daemon's group, and nobody else.
const consoleUser = 64812

// Console runs the console of the box on a terminal of a kind (TERM), as a user who may do nothing but open the admin socket and log in.
func (d *Daemon) Console(t testing.TB, kind string, width, height int, flags ...string) *Terminal {
	t.Helper()
	if err := os.Chmod(d.State, 0o710); err != nil { // the socket is there
		t.Fatal(err)
	}
	args := append([]string{"--reuid=" + strconv.Itoa(consoleUser), "--regid=" + strconv.Itoa(boxUser), "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
		filepath.Join(d.lab.bin, "appliance"), "console", "--admin", d.Socket}, flags...)
	cmd := d.lab.Box.Command(context.Background(), need(t, "setpriv"), args...)
	cmd.Env = []string{"TERM=" + kind, "PATH=" + os.Getenv("PATH")}
	return RunOnTerminal(t, cmd, width, height)
}

// Program is the path of a program of the product, built for the tests.
func Program(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(binaries(t), name)
}

// RunOnTerminal starts a program on a terminal of its own. With no size, the terminal does not say how large it is, like a serial line.
func RunOnTerminal(t testing.TB, cmd *exec.Cmd, width, height int) *Terminal {
	t.Helper()
	size := &pty.Winsize{Rows: uint16(height), Cols: uint16(width)}
	f, err := pty.StartWithSize(cmd, size)
	if err != nil {
		t.Fatal(err)
	}
	if width == 0 {
		width, height = 80, 24
	}
	term := NewTerminal(f, width, height)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = f.Close()
		<-term.ended
		_ = term.screen.Close()
	})
	return term
}
