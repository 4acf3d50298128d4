package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/term"
)

// newLogger writes records with their fields to the journal under systemd, and text to the error output otherwise.
func newLogger(level *slog.LevelVar) *slog.Logger {
	if ours, err := journal.StderrIsJournalStream(); err == nil && ours && journal.Enabled() {
		return slog.New(&journalHandler{level: level})
	}
	short := term.IsTerminal(int(os.Stderr.Fd()))
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if short && len(groups) == 0 && a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().Format(time.TimeOnly))
		}
		return a
	}}))
}

// journalHandler sends each record to the journal's own socket, attributes as fields, so that `journalctl MEETING=...` finds them.
type journalHandler struct {
	level  slog.Leveler
	prefix string // of the open groups
	attrs  []slog.Attr
}

// Enabled implements slog.Handler.
func (h *journalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	fields := map[string]string{"SYSLOG_IDENTIFIER": "meetzone"}
	text := r.Message
	add := func(a slog.Attr) bool {
		value := a.Value.Resolve().String()
		fields[fieldName(h.prefix+a.Key)] = value
		text += " " + a.Key + "=" + value
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return journal.Send(text, priority(r.Level), fields)
}

// WithAttrs implements slog.Handler.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = append(slices.Clone(h.attrs), attrs...)
	return &next
}

// WithGroup implements slog.Handler.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.prefix += name + "_"
	return &next
}

// fieldName makes a journal field of a key: upper case letters, digits and underscores, not beginning with an underscore or digit.
func fieldName(key string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
	return "MZ_" + name
}

func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
