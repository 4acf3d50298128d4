package syslog

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Severity is how bad it is (RFC 5424, table 2).
type Severity int

// The severities that are used.
const (
	Error   Severity = 3
	Warning Severity = 4
	Notice  Severity = 5
	Info    Severity = 6
	Debug   Severity = 7
)

// Facility is where it comes from (RFC 5424, table 1).
type Facility int

// The facilities that are used.
const (
	Daemon Facility = 3
	Audit  Facility = 13
)

// Bounds, in bytes. A server has to take 2048, and should take 8192 (RFC 5425, section 4.3.1).
const (
	MaxMessage = 8192
	maxText    = 4096
	maxValue   = 1024
)

// Message is one message.
type Message struct {
	Facility Facility
	Severity Severity
	Time     time.Time
	Host     string
	App      string // the program
	ProcID   string
	ID       string // what kind of message it is
	DataID   string // SD-ID of Data; needed where there is any
	Data     []Param
	Text     string

	// Sent is called, where it is set, when the message was handed to the connection.
	Sent func()
}

// Param is one member of the structured data.
type Param struct{ Name, Value string }

// Append writes the message as RFC 5424, section 6, has it. What cannot be written is replaced.
func (m Message) Append(b []byte) []byte {
	start := len(b)
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(m.Facility)*8+int64(m.Severity), 10)
	b = append(b, ">1 "...)
	if m.Time.IsZero() {
		b = append(b, '-')
	} else {
		b = m.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	}
	for _, field := range []struct {
		text string
		most int
	}{{m.Host, 255}, {m.App, 48}, {m.ProcID, 128}, {m.ID, 32}} {
		b = append(append(b, ' '), word(field.text, field.most, "")...)
	}
	b = append(b, ' ')
	b = m.appendData(b)
	if m.Text != "" {
		b = append(b, " \xef\xbb\xbf"...) // the BOM says UTF-8 (section 6.4)
		b = append(b, cut(strings.ToValidUTF8(m.Text, "\uFFFD"), min(maxText, max(0, MaxMessage-(len(b)-start))))...)
	}
	return b
}

// appendData writes the structured data, and leaves out members that would make it too long.
func (m Message) appendData(b []byte) []byte {
	if len(m.Data) == 0 || m.DataID == "" {
		return append(b, '-')
	}
	start := len(b)
	b = append(append(b, '['), word(m.DataID, 48, "=]\"")...)
	for _, p := range m.Data {
		value := paramEscapes.Replace(cut(strings.ToValidUTF8(p.Value, "\uFFFD"), maxValue))
		if len(b)-start+len(value) > MaxMessage/2 {
			break
		}
		b = append(append(append(b, ' '), word(p.Name, 32, "=]\"")...), `="`...)
		b = append(append(b, value...), '"')
	}
	return append(b, ']')
}

var paramEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// word makes printable US-ASCII without spaces of a text; "-" of nothing.
func word(s string, most int, not string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(not, r) {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// cut shortens a text without breaking a letter.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size > 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

// appendFrame writes a message behind its length (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
func appendFrame(b []byte, m Message) []byte {
	text := m.Append(nil)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	return append(append(b, ' '), text...)
}
