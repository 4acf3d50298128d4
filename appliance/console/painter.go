package console

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// frame is a whole screen.
type frame struct {
	lines   []line
	cursorX int // -1: hidden
	cursorY int
	anew    bool // as if the terminal showed anything at all
}

// painter brings the terminal to the latest frame. It writes lines that have changed, each whole and at its own address, and never the last column.
type painter struct {
	out     io.Writer
	charset Charset
	wake    chan struct{}

	mu      sync.Mutex // guards what follows: the app writes it, runPainter reads it
	next    frame
	pending bool
	ask     bool // for the terminal's size
}

func newPainter(out io.Writer, charset Charset) *painter {
	return &painter{out: out, charset: charset, wake: make(chan struct{}, 1)}
}

// show hands over a frame. It never waits for the terminal.
func (p *painter) show(f frame) {
	p.mu.Lock()
	f.anew = f.anew || p.pending && p.next.anew
	p.next, p.pending = f, true
	p.mu.Unlock()
	p.poke()
}

// probe asks the terminal for its size, by its cursor that wants to be far out.
func (p *painter) probe() {
	p.mu.Lock()
	p.ask = true
	p.mu.Unlock()
	p.poke()
}

func (p *painter) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be done.
func (p *painter) take() (f frame, pending, ask bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, pending, ask = p.next, p.pending, p.ask
	p.pending, p.ask = false, false
	return f, pending, ask
}

// runPainter paints until ctx ends.
func (p *painter) runPainter(ctx context.Context) {
	var shown []string
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		f, pending, ask := p.take()
		if ask {
			_, _ = io.WriteString(p.out, "\x1b7\x1b[999;999H\x1b[6n\x1b8")
		}
		if pending {
			var text string
			text, shown = paint(f, shown, p.charset)
			_, _ = io.WriteString(p.out, text) // a terminal that is gone ends the reader, and with it the console
		}
	}
}

// The sequences that leave. All are a VT220's; but for the last, which other terminals ignore or know.
const (
	// ASCII in both halves, no scrolling region, addresses from the top, replace mode, no attributes.
	sequenceReset   = "\x0f\x1b(B\x1b[r\x1b[?6l\x1b[4l\x1b[m"
	sequenceClear   = "\x1b[2J"
	sequenceRest    = "\x1b[K"
	sequenceHide    = "\x1b[?25l"
	sequenceShow    = "\x1b[?25h"
	sequencePlain   = "\x1b[m"
	sequenceUnicode = "\x1b%G" // of the Linux console, which may have been left in another character set
)

// paint returns what brings a terminal that shows some lines to a frame, and what it shows then.
func paint(f frame, shown []string, charset Charset) (string, []string) {
	text := new(strings.Builder)
	text.WriteString(sequenceHide + sequenceReset) // each time: who knows in what state somebody else has left the terminal
	if f.anew || len(shown) != len(f.lines) {
		if charset != ASCII {
			text.WriteString(sequenceUnicode)
		}
		if len(shown) != len(f.lines) {
			text.WriteString(sequenceClear)
		}
		shown = make([]string, len(f.lines))
		for i := range shown {
			shown[i] = "\x00" // like no line
		}
	}
	for i, l := range f.lines {
		if now := l.sequence(); now != shown[i] {
			fmt.Fprintf(text, "\x1b[%d;1H%s%s%s", i+1, now, sequencePlain, sequenceRest)
			shown[i] = now
		}
	}
	if f.cursorX >= 0 {
		fmt.Fprintf(text, "\x1b[%d;%dH%s", f.cursorY+1, f.cursorX+1, sequenceShow)
	}
	return text.String(), shown
}

// leave gives the terminal back.
func (p *painter) leave() {
	_, _ = io.WriteString(p.out, sequenceReset+"\x1b[H"+sequenceClear+sequenceShow)
}
