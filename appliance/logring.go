package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"meetzone/appliance/adminapi"
)

// Bounds of what is kept of the log in memory.
const (
	logLines    = 2000
	logLineSize = 500 // bytes; what is longer is cut
)

// logRing keeps the end of the log for those who may not read the journal: the console, and whoever asks over the admin API.
type logRing struct {
	mu    sync.Mutex // guards what follows
	lines []adminapi.LogLine
	next  uint64 // number of the next line, from 1

	also atomic.Pointer[func(adminapi.LogLine)] // gets every line; nil: nobody
}

func newLogRing() *logRing { return &logRing{next: 1} }

// over returns a handler that keeps what it hands on.
func (l *logRing) over(h slog.Handler) slog.Handler { return &keepingHandler{Handler: h, ring: l} }

// keep adds a line and forgets the oldest.
func (l *logRing) keep(line adminapi.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line.Seq = l.next
	l.next++
	if len(l.lines) < logLines {
		l.lines = append(l.lines, line)
		return
	}
	l.lines[(line.Seq-1)%logLines] = line
}

// since returns the lines that are wanted, oldest first.
func (l *logRing) since(q adminapi.LogQuery, least slog.Level) adminapi.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := adminapi.Log{Lines: []adminapi.LogLine{}, Next: l.next - 1}
	match := strings.ToLower(q.Match)
	for _, line := range l.lines {
		level := slog.LevelInfo
		if level.UnmarshalText([]byte(line.Level)) == nil && line.Seq > q.After && level >= least && strings.Contains(strings.ToLower(line.Text), match) {
			out.Lines = append(out.Lines, line)
		}
	}
	slices.SortFunc(out.Lines, func(a, b adminapi.LogLine) int { return int(a.Seq) - int(b.Seq) })
	return out
}

// tail returns the last so many lines.
func (l *logRing) tail(most int) []adminapi.LogLine {
	lines := l.since(adminapi.LogQuery{}, slog.LevelDebug).Lines
	return lines[max(0, len(lines)-most):]
}

// keepingHandler writes each record into the ring as well. The text is that of a line of the journal.
type keepingHandler struct {
	slog.Handler
	ring   *logRing
	prefix string
	attrs  string
}

// Handle implements slog.Handler.
func (h *keepingHandler) Handle(ctx context.Context, r slog.Record) error {
	text := new(strings.Builder)
	text.WriteString(r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		text.WriteString(attrText(h.prefix, a))
		return text.Len() < logLineSize
	})
	line := adminapi.LogLine{Time: r.Time, Level: r.Level.String(), Text: text.String()}
	line.Text = strings.ToValidUTF8(line.Text[:min(len(line.Text), logLineSize)], "")
	h.ring.keep(line)
	if also := h.ring.also.Load(); also != nil {
		(*also)(line)
	}
	return h.Handler.Handle(ctx, r)
}

func attrText(prefix string, a slog.Attr) string {
	return " " + prefix + a.Key + "=" + a.Value.Resolve().String()
}

// WithAttrs implements slog.Handler.
func (h *keepingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.Handler = h.Handler.WithAttrs(attrs)
	for _, a := range attrs {
		next.attrs += attrText(h.prefix, a)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (h *keepingHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.Handler = h.Handler.WithGroup(name)
	next.prefix += name + "."
	return &next
}
