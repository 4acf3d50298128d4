package console

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// names is what messages are, in words.
func names(messages []tea.Msg) string {
	var out []string
	for _, m := range messages {
		switch m := m.(type) {
		case tea.KeyPressMsg:
			out = append(out, m.String())
		case probedMsg:
			out = append(out, "size")
		}
	}
	return strings.Join(out, " ")
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		bytes, means, rest string
		late               bool
	}{
		{"ab", "a b", "", false},
		{"\r\n\t\x7f\x08", "enter enter tab backspace backspace", "", false},
		{"\x1b[A\x1b[B\x1bOC\x1b[D", "up down right left", "", false},
		{"\x1b[5~\x1b[6~\x1b[3~\x1b[1~\x1b[Z", "pgup pgdown delete home shift+tab", "", false},
		{"\x0c\x03\x15", "ctrl+l ctrl+c ctrl+u", "", false},
		{"é한", "é 한", "", false},
		{"\xe2\x96", "", "\xe2\x96", false},
		{"\xe2\x96", "", "", true},
		{"\xff\xfea", "a", "", false},
		{"\x1b", "", "\x1b", false},
		{"\x1b", "esc", "", true},
		{"\x1b\x1b", "esc", "\x1b", false},
		{"\x1bq", "esc q", "", false},
		{"\x1b[", "", "\x1b[", false},
		{"\x1b[", "", "", true},
		{"\x1b[24;80R", "size", "", false},
		{"\x1b[200~x\x1b[201~", "x", "", false},
		{"\x1b[1;5A\x1b[15~\x1b[[A\x1bOPy", "y", "", false},
		{"\x1b[1;2\x07z", "ctrl+g z", "", false},
		{"\x1b[" + strings.Repeat("1", 100) + "~", strings.TrimSpace(strings.Repeat("1 ", 78)) + " ~", "", false},
	} {
		got, rest := decode([]byte(c.bytes), c.late)
		if names(got) != c.means || string(rest) != c.rest {
			t.Errorf("%q: %q and %q left, want %q and %q", c.bytes, names(got), rest, c.means, c.rest)
		}
	}
}

// TestDecodeInPieces: what a slow line cuts in two means the same.
func TestDecodeInPieces(t *testing.T) {
	reader, writer := io.Pipe()
	d := newDecoder(reader)
	go func() {
		for _, b := range []byte("\x1b[A한\x1b[6~q") {
			_, _ = writer.Write([]byte{b})
		}
		writer.Close()
	}()
	var all []tea.Msg
	for {
		got, err := d.next()
		all = append(all, got...)
		if err != nil {
			break
		}
	}
	if names(all) != "up 한 pgdown q" {
		t.Errorf("it means %q", names(all))
	}
}

// TestTorrent: typing and a held key are a person's, a paste and a garbled line are not.
func TestTorrent(t *testing.T) {
	for name, c := range map[string]struct {
		keys  int // at once
		every time.Duration
		want  bool
	}{"typing": {1, 80 * time.Millisecond, false}, "a held key": {3, 33 * time.Millisecond, false}, "9600 bit/s": {1, time.Second / 960, true}, "a paste": {4096, time.Millisecond, true}} {
		var r torrent
		now, got := time.Unix(0, 0), false
		for range 2000 {
			now = now.Add(c.every)
			got = r.too(c.keys, now)
		}
		if got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if r.too(1, now.Add(time.Second)) {
			t.Errorf("%s: a key after a second of silence is no person's", name)
		}
	}
}

// FuzzDecode: whatever comes, little is kept waiting, and nothing once it is late.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"abc", "\x1b[A", "\x1b[200~", "\x1b]0;title", "\xe2\x96\x88", "\x1b[24;80R", "\x1bO", "\x1b[[A"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, rest := decode(bytes.Clone(b), false)
		if len(rest) > maxSequence {
			t.Errorf("%d bytes wait", len(rest))
		}
		if len(whole) > len(b) {
			t.Errorf("%d keys of %d bytes", len(whole), len(b))
		}
		if _, rest = decode(rest, true); len(rest) > 0 {
			t.Errorf("%q waits for ever", rest)
		}
	})
}
