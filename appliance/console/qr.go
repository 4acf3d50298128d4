package console

import (
	"fmt"
	"net/url"
	"strings"

	tea "charm.land/bubbletea/v2"
	"rsc.io/qr"
)

// quiet is the margin of a code in modules. The standard has 4; cameras are content with 2, and on a dark screen a code of 24 rows has room for 1.
const quiet = 2

// upper writes scheme and host in capitals, which mean the same and make the code smaller by a third.
func upper(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" {
		return link
	}
	return strings.ToUpper(u.Scheme+"://"+u.Host) + u.RequestURI()[:len(u.RequestURI())-boolInt(u.Path == "" && u.RawQuery == "")]
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// code draws a QR code: light on dark, since that is how a terminal is, so light modules are drawn and dark ones are left out. With blocks a row of
// text has two rows of modules; without, each module is two cells, inverse or not.
func code(text string, margin int, withBlocks bool) ([]line, error) {
	c, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil, err
	}
	light := func(x, y int) bool { return !c.Black(x-margin, y-margin) }
	size := c.Size + 2*margin
	var out []line
	if withBlocks {
		for y := 0; y < size; y += 2 {
			row := new(strings.Builder)
			for x := range size {
				above, below := light(x, y), y+1 < size && light(x, y+1)
				row.WriteString(map[[2]bool]string{{true, true}: "█", {true, false}: "▀", {false, true}: "▄", {false, false}: " "}[[2]bool{above, below}])
			}
			out = append(out, plain(row.String()))
		}
		return out, nil
	}
	for y := range size {
		var row line
		for x := range size {
			how := style(0)
			if light(x, y) {
				how = inverse
			}
			if n := len(row); n > 0 && row[n-1].style == how {
				row[n-1].text += "  "
				continue
			}
			row = append(row, span{"  ", how})
		}
		out = append(out, row)
	}
	return out, nil
}

// codeWidth is how many cells wide the lines of code are.
func codeWidth(lines []line) (n int) {
	if len(lines) > 0 {
		for _, s := range lines[0] {
			n += len([]rune(s.text))
		}
	}
	return n
}

// codeScreen shows a QR code as large as it is, without head and foot.
type codeScreen struct {
	text   string
	most   int // parts: a link is of no use in parts
	about  []string
	blocks bool
	part   int
	parts  []string
}

// newCode shows a link as a code; newCodes shows a text in as many codes as it takes.
func newCode(a *app, link string, about ...string) tea.Cmd {
	return a.push(&codeScreen{text: link, about: about, most: 1, blocks: a.charset != ASCII})
}

func newCodes(a *app, text string, about ...string) tea.Cmd {
	return a.push(&codeScreen{text: text, about: about, most: maxParts, blocks: a.charset != ASCII})
}

// maxParts bounds how many codes a person scans one after the other.
const maxParts = 24

func (*codeScreen) whole()        {}
func (*codeScreen) title() string { return "QR code" }
func (*codeScreen) keys() string  { return "" }

func (c *codeScreen) update(_ *app, k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch k.String() {
	case "b":
		c.blocks, c.part = !c.blocks, 0
	case "enter", "right", " ", "space", "down":
		if c.part+1 >= len(c.parts) {
			return nil, false
		}
		c.part++
	case "left", "up":
		if c.part == 0 {
			return nil, k.String() == "up"
		}
		c.part--
	default:
		return nil, false
	}
	return nil, true
}

// besides is the width of the words beside the code.
const besides = 30

func (c *codeScreen) view(_ *app, width, height int) []line {
	lines, margin := c.fitting(width, height)
	if lines == nil {
		how := "The code does not fit onto this terminal."
		if !c.blocks {
			how = "Without block characters the code does not fit onto this terminal: b draws it with them."
		}
		out := []line{nil}
		for _, t := range append([]string{how, "", "Esc back", ""}, c.about...) {
			out = append(out, plainLines(wrap(t, width))...)
		}
		return out
	}
	words := append([]string{}, c.about...)
	if len(c.parts) > 1 {
		words = append(words, "", fmt.Sprintf("Part %d of %d: scan one after the other and put them together.", c.part+1, len(c.parts)), "", "Enter next   Up previous")
	}
	how := "b  if this is no code but a mess of characters"
	if !c.blocks {
		how = "b  draws it with block characters, smaller"
	}
	words = append(words, "", how, "Esc back")
	var beside []string
	for _, w := range words {
		beside = append(beside, wrap(w, max(8, width-codeWidth(lines)-2))...)
	}
	for i := range lines {
		if at := i - margin; at >= 0 && at < len(beside) {
			lines[i] = append(lines[i], span{text: "  " + beside[at]})
		}
	}
	return lines
}

// fitting returns the code of the current part, in as few parts as fit into the screen.
func (c *codeScreen) fitting(width, height int) ([]line, int) {
	for count := 1; count <= c.most; count++ {
		parts := split(c.text, count)
		for margin := quiet; margin > 0; margin-- {
			lines, err := code(parts[0], margin, c.blocks)
			if err != nil || len(lines) > height || codeWidth(lines)+besides > width {
				continue
			}
			c.parts, c.part = parts, min(c.part, len(parts)-1)
			lines, err = code(parts[c.part], margin, c.blocks)
			if err == nil {
				return lines, margin
			}
		}
	}
	return nil, 0
}

// split cuts a text into so many parts.
func split(text string, count int) (parts []string) {
	size := (len(text) + count - 1) / count
	for len(text) > size {
		parts, text = append(parts, text[:size]), text[size:]
	}
	return append(parts, text)
}
