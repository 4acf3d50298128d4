package console

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// Bounds of the decoder.
const (
	readSize    = 4096
	maxSequence = 24                     // bytes of one escape sequence; what is longer is no key
	escapeAfter = 150 * time.Millisecond // a lone escape is the key: at 9600 bit/s the next byte takes 1 ms
)

// probedMsg is the terminal's answer to a question for its size.
type probedMsg struct{ width, height int }

// burstMsg is what came faster than a person types.
type burstMsg []tea.Msg

// Bounds of what a person does: so many keys in so short a time are a paste or a garbled line, until it has been silent for a while. A line of
// 9600 bit/s brings 240 in that time.
const (
	burstKeys  = 100
	burstTime  = 250 * time.Millisecond
	burstQuiet = 300 * time.Millisecond
)

// torrent tells a person from what is none.
type torrent struct {
	began, last time.Time
	keys        int
	on          bool
}

// too takes so many keys and says whether they are too many.
func (r *torrent) too(keys int, now time.Time) bool {
	if keys == 0 {
		return r.on
	}
	if now.Sub(r.last) > burstQuiet {
		r.on = false
	}
	if now.Sub(r.began) > burstTime {
		r.began, r.keys = now, 0
	}
	r.last = now
	if r.keys += keys; r.keys > burstKeys {
		r.on = true
	}
	return r.on
}

// decoder makes keys of what a terminal sends. What it does not know, it leaves out.
type decoder struct {
	chunks chan chunk
	rest   []byte // the beginning of a sequence or of a character
}

type chunk struct {
	data []byte
	err  error
}

// newDecoder reads in the background.
func newDecoder(in io.Reader) *decoder {
	d := &decoder{chunks: make(chan chunk)}
	go d.runReader(in)
	return d
}

// runReader reads until the terminal is gone.
func (d *decoder) runReader(in io.Reader) {
	for {
		buf := make([]byte, readSize)
		n, err := in.Read(buf)
		d.chunks <- chunk{buf[:n], err}
		if err != nil {
			return
		}
	}
}

// next waits for input and returns what it means.
func (d *decoder) next() ([]tea.Msg, error) {
	var late <-chan time.Time
	if len(d.rest) > 0 {
		late = time.After(escapeAfter)
	}
	select {
	case c := <-d.chunks:
		messages, rest := decode(append(d.rest, c.data...), false)
		d.rest = bytes.Clone(rest)
		return messages, c.err
	case <-late:
		messages, _ := decode(d.rest, true)
		d.rest = nil
		return messages, nil
	}
}

// decode returns what bytes mean, and what may be a beginning. With late, nothing more comes for the moment.
func decode(b []byte, late bool) (messages []tea.Msg, rest []byte) {
	for len(b) > 0 {
		m, n := decodeOne(b, late)
		if n == 0 {
			return messages, b
		}
		if m != nil {
			messages = append(messages, m)
		}
		b = b[n:]
	}
	return messages, nil
}

// decodeOne returns the first thing, nil where it means nothing, and its length, 0 where more has to come.
func decodeOne(b []byte, late bool) (tea.Msg, int) {
	switch c := b[0]; {
	case c == 0x1b:
		return decodeEscape(b, late)
	case c == '\r' || c == '\n':
		return key(tea.KeyEnter), 1
	case c == '\t':
		return key(tea.KeyTab), 1
	case c == 0x7f || c == 0x08:
		return key(tea.KeyBackspace), 1
	case c == 0:
		return nil, 1
	case c < 0x1b:
		return tea.KeyPressMsg{Code: rune(c) + 'a' - 1, Mod: tea.ModCtrl}, 1
	case c < 0x20:
		return nil, 1
	case !late && !utf8.FullRune(b):
		return nil, 0
	}
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError || !unicode.IsPrint(r) {
		return nil, n
	}
	return tea.KeyPressMsg{Code: r, Text: string(r)}, n
}

// decodeEscape reads an escape sequence: CSI with parameters and one final, SS3 with one, or the key itself.
func decodeEscape(b []byte, late bool) (tea.Msg, int) {
	switch {
	case len(b) == 1 && !late:
		return nil, 0
	case len(b) == 1 || b[1] != '[' && b[1] != 'O':
		return key(tea.KeyEscape), 1
	case b[1] == 'O' && len(b) == 2:
		if late {
			return nil, 2
		}
		return nil, 0
	case b[1] == 'O':
		return final(b[2], ""), 3
	}
	if len(b) > 2 && b[2] == '[' { // F1 to F5 of the Linux console
		if len(b) == 3 && !late {
			return nil, 0
		}
		return nil, min(4, len(b))
	}
	for i := 2; i < len(b); i++ {
		switch {
		case b[i] >= 0x40 && b[i] <= 0x7e:
			return final(b[i], string(b[2:i])), i + 1
		case b[i] < 0x20 || b[i] > 0x7e || i >= maxSequence: // garbled: leave out what came so far
			return nil, i
		}
	}
	if late {
		return nil, len(b)
	}
	return nil, 0
}

var finals = map[byte]rune{'A': tea.KeyUp, 'B': tea.KeyDown, 'C': tea.KeyRight, 'D': tea.KeyLeft, 'H': tea.KeyHome, 'F': tea.KeyEnd, 'M': tea.KeyEnter}

// tildes are the keys of the editing keypad, of the VT220 and of the Linux console.
var tildes = map[string]rune{"1": tea.KeyHome, "2": tea.KeyInsert, "3": tea.KeyDelete, "4": tea.KeyEnd, "5": tea.KeyPgUp, "6": tea.KeyPgDown, "7": tea.KeyHome, "8": tea.KeyEnd}

// final is what a sequence means by its last byte.
func final(c byte, parameters string) tea.Msg {
	switch {
	case c == '~' && tildes[parameters] != 0:
		return key(tildes[parameters])
	case c == 'Z':
		return tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift}
	case c == 'R':
		rows, columns, _ := strings.Cut(parameters, ";")
		height, err := strconv.Atoi(rows)
		width, err2 := strconv.Atoi(columns)
		if err != nil || err2 != nil {
			return nil
		}
		return probedMsg{width, height}
	case finals[c] != 0 && parameters == "":
		return key(finals[c])
	}
	return nil
}

func key(code rune) tea.Msg { return tea.KeyPressMsg{Code: code} }
