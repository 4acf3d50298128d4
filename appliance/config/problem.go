package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a document, said to a person.
type Problem struct {
	Path string // "zone.limits.meetings"; "" is the document itself
	Line int    // in the text that was parsed; 0 unknown
	Text string // what is wrong and what to do
}

// String returns path, line and text.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Path)
	if p.Line > 0 {
		if p.Path != "" {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "(line %d)", p.Line)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is everything that is wrong at once. As an error it is never empty.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// asError returns nil where there is no problem.
func (p Problems) asError() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
