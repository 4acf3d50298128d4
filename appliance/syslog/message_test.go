package syslog

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// rfc5424Example is example 3 of RFC 5424, section 6.5, with text.
func TestRFC5424(t *testing.T) {
	m := Message{Facility: 20, Severity: Notice, Time: time.Date(2003, 10, 11, 22, 14, 15, 3_000_000, time.UTC), Host: "mymachine.example.com", App: "evntslog",
		ID: "ID47", DataID: "exampleSDID@32473", Data: []Param{{"iut", "3"}, {"eventSource", "Application"}, {"eventID", "1011"}}, Text: "An application event log entry..."}
	want := `<165>1 2003-10-11T22:14:15.003000Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] ` +
		"\xef\xbb\xbfAn application event log entry..."
	if got := string(m.Append(nil)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got, want := string(Message{}.Append(nil)), "<0>1 - - - - - -"; got != want {
		t.Errorf("an empty message is %q, want %q", got, want)
	}
	hostile := Message{Host: "a b\nc", App: "ä", ID: strings.Repeat("x", 50), DataID: "id", Data: []Param{{`a="b]`, "q\"b]s\\\xff"}}}
	if got, want := string(hostile.Append(nil)), `<0>1 - a_b_c _ - `+strings.Repeat("x", 32)+` [id a__b_="q\"b\]s\\`+"\uFFFD"+`"]`; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := string(appendFrame(nil, Message{})); got != "16 <0>1 - - - - - -" {
		t.Errorf("framed: %q", got)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("host", "app", "id", "name", "value", "text")
	f.Add("", "", "", "", "]\"\\", strings.Repeat("ä", 5000))
	f.Fuzz(func(t *testing.T, host, app, id, name, value, text string) {
		m := Message{Facility: Audit, Severity: Notice, Time: time.Unix(1, 0), Host: host, App: app, ID: id, DataID: "x@1", Data: []Param{{name, value}, {"last", value}}, Text: text}
		frame := appendFrame(nil, m)
		length, rest, ok := bytes.Cut(frame, []byte(" "))
		if n, err := strconv.Atoi(string(length)); !ok || err != nil || n != len(rest) || n > MaxMessage {
			t.Fatalf("%d bytes behind the length %q", len(rest), length)
		}
		if !utf8.Valid(rest) || bytes.Count(rest[:bytes.IndexByte(rest, '[')], []byte(" ")) != 6 {
			t.Fatalf("%q", rest)
		}
	})
}
