package console

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// style is how text stands out without colour.
type style uint8

const (
	bold style = 1 << iota
	underline
	inverse
)

var marks = []struct {
	style    style
	sequence string
}{{bold, "\x1b[1m"}, {underline, "\x1b[4m"}, {inverse, "\x1b[7m"}}

// span is text of one style.
type span struct {
	text  string
	style style
}

// line is one row of the screen.
type line []span

func plain(text string) line                      { return line{{text: text}} }
func styled(s style, text string) line            { return line{{text, s}} }
func plainf(format string, arguments ...any) line { return plain(fmt.Sprintf(format, arguments...)) }

// sequence is the line as it is written to a terminal.
func (l line) sequence() string {
	out := new(strings.Builder)
	now := style(0)
	for _, s := range l {
		if s.style != now {
			out.WriteString(sequencePlain)
			for _, mark := range marks {
				if s.style&mark.style != 0 {
					out.WriteString(mark.sequence)
				}
			}
			now = s.style
		}
		out.WriteString(s.text)
	}
	return out.String()
}

// fit cuts a line to a width, and with fill makes it that wide in the style of its last span.
func (l line) fit(width int, charset Charset, fill bool) line {
	out, left := make(line, 0, len(l)), width
	for _, s := range l {
		text := charset.clean(s.text)
		if w := charset.width(text); w > left {
			text = charset.cut(text, left)
		}
		left -= charset.width(text)
		out = append(out, span{text, s.style})
	}
	if fill && left > 0 && len(out) > 0 {
		out[len(out)-1].text += strings.Repeat(" ", left)
	}
	return out
}

// clean makes text what the terminal can show: no control characters, since names and titles come from the network, and nothing that it has no
// glyph for.
func (c Charset) clean(text string) string {
	ok := true
	for i := range len(text) {
		ok = ok && text[i] >= 0x20 && text[i] < 0x7f
	}
	if ok {
		return text
	}
	text = spelled.Replace(text)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < 0x20 || r == 0x7f || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r):
			return -1
		case r < 0x7f,
			c >= Latin && (r >= 0xa1 && r <= 0xff && r != 0xad || strings.ContainsRune(blocks, r)),
			c == Unicode && unicode.IsPrint(r):
			return r
		}
		return replaced(r)
	}, text)
}

// spelled is what several characters stand for.
var spelled = strings.NewReplacer("→", "->", "…", "...", "€", "EUR")

// blocks are the elements of the QR code.
const blocks = "█▀▄"

// replaced is what stands for a character that the terminal lacks.
func replaced(r rune) rune {
	switch r {
	case '–', '—', '‐', '−':
		return '-'
	case '‘', '’':
		return '\''
	case '“', '”':
		return '"'
	case '\u00a0':
		return ' '
	case '×':
		return 'x'
	}
	return '?'
}

func (c Charset) width(text string) int {
	if c != Unicode {
		return len([]rune(text))
	}
	return runewidth.StringWidth(text)
}

// cut shortens cleaned text to a width; the mark at the end says so.
func (c Charset) cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	out, used := new(strings.Builder), 0
	for _, r := range text {
		w := c.width(string(r))
		if used+w > width-1 {
			break
		}
		out.WriteRune(r)
		used += w
	}
	return out.String() + ">"
}

// wrap breaks text into lines of a width, at spaces where there are any.
func wrap(text string, width int) (lines []string) {
	for _, paragraph := range strings.Split(text, "\n") {
		now := ""
		for _, word := range strings.Fields(paragraph) {
			for len([]rune(word)) > width {
				if now != "" {
					lines, now = append(lines, now), ""
				}
				lines, word = append(lines, string([]rune(word)[:width])), string([]rune(word)[width:])
			}
			switch {
			case now == "":
				now = word
			case len([]rune(now))+1+len([]rune(word)) <= width:
				now += " " + word
			default:
				lines, now = append(lines, now), word
			}
		}
		lines = append(lines, now)
	}
	return lines
}

// plainLines makes lines of texts.
func plainLines(texts []string) (out []line) {
	for _, t := range texts {
		out = append(out, plain(t))
	}
	return out
}

// columns aligns rows; the first is the head where head is set.
func columns(rows [][]string, charset Charset, width int) (texts []string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], charset.width(charset.clean(cell)))
		}
	}
	for len(widths) > 1 && sum(widths)+2*(len(widths)-1) > width { // narrow the widest
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= 6 {
			break
		}
		widths[widest]--
	}
	for _, row := range rows {
		out := new(strings.Builder)
		for i, cell := range row {
			cell = charset.clean(cell)
			if w := charset.width(cell); w > widths[i] {
				cell = charset.cut(cell, widths[i])
			}
			out.WriteString(cell)
			if i < len(row)-1 {
				out.WriteString(strings.Repeat(" ", widths[i]-charset.width(cell)+2))
			}
		}
		texts = append(texts, strings.TrimRight(out.String(), " "))
	}
	return texts
}

func sum(list []int) (total int) {
	for _, n := range list {
		total += n
	}
	return total
}
