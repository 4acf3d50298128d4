package console

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"rsc.io/qr"
)

// TestPaint: a terminal that is brought from frame to frame shows what one does that was painted at once, also after others wrote on it.
func TestPaint(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const width, height = 40, 10
	screen := vt.NewEmulator(width, height)
	var shown []string
	for range 300 {
		f := frame{cursorX: random.IntN(width) - 1, cursorY: random.IntN(height)}
		for range height {
			l := line{}
			for range random.IntN(4) {
				l = append(l, span{strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(15)), style(random.IntN(8))})
			}
			f.lines = append(f.lines, l.fit(width-1, ASCII, random.IntN(2) == 0))
		}
		if random.IntN(10) == 0 {
			_, _ = screen.WriteString("\x1b[5;3Hkernel: something\r\n\x1b[7m\x1b[3;6r")
			f.anew = true
		}
		text, next := paint(f, shown, ASCII)
		shown = next
		_, _ = screen.WriteString(text)
		fresh := vt.NewEmulator(width, height)
		text, _ = paint(f, nil, ASCII)
		_, _ = fresh.WriteString(text)
		if screen.Render() != fresh.Render() {
			t.Fatalf("the screen shows\n%s\nnot\n%s", screen.String(), fresh.String())
		}
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct {
		charset    Charset
		text, want string
	}{
		{ASCII, "Zoé \x1b[2J한\u202e!", "Zo? [2J?!"},
		{Latin, "Zoé – 한\u00a0x", "Zoé - ? x"},
		{Unicode, "Zoé 한\u0007", "Zoé 한"},
		{ASCII, "a → b", "a -> b"},
	} {
		if got := c.charset.clean(c.text); got != c.want {
			t.Errorf("%d %q: %q, want %q", c.charset, c.text, got, c.want)
		}
	}
	if got := Unicode.cut("한국어 회의", 7); Unicode.width(got) > 7 || !strings.HasSuffix(got, ">") {
		t.Errorf("cut to %q", got)
	}
}

func TestCharset(t *testing.T) {
	for _, c := range []struct {
		term, lang string
		want       Charset
	}{{"linux", "", Latin}, {"vt220", "C.UTF-8", ASCII}, {"vt220", "", ASCII}, {"xterm", "en_US.UTF-8", Unicode}, {"xterm", "C", ASCII}} {
		got := CharsetOf(func(name string) string { return map[string]string{"TERM": c.term, "LANG": c.lang}[name] })
		if got != c.want {
			t.Errorf("TERM=%s LANG=%s: %d", c.term, c.lang, got)
		}
	}
}

// TestCode reads the drawn cells back and compares them with the code, both ways of drawing it.
func TestCode(t *testing.T) {
	const link = "HTTPS://MEET.EXAMPLE"
	want, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for _, blocks := range []bool{true, false} {
		lines, err := code(link, quiet, blocks)
		if err != nil {
			t.Fatal(err)
		}
		light := func(x, y int) bool {
			if blocks {
				r := []rune(lines[y/2][0].text)[x]
				return r == '█' || r == '▀' && y%2 == 0 || r == '▄' && y%2 == 1
			}
			at := 0
			for _, s := range lines[y] {
				if at += len(s.text); 2*x < at {
					return s.style == inverse
				}
			}
			return false
		}
		for y := range want.Size + 2*quiet {
			for x := range want.Size + 2*quiet {
				if light(x, y) == want.Black(x-quiet, y-quiet) {
					t.Fatalf("blocks %v: module %d,%d is wrong", blocks, x, y)
				}
			}
		}
	}
	if got := upper("https://meet.example:8443/j/Ab"); got != "HTTPS://MEET.EXAMPLE:8443/j/Ab" {
		t.Errorf("upper: %s", got)
	}
	if got := upper("https://meet.example"); got != "HTTPS://MEET.EXAMPLE" {
		t.Errorf("upper: %s", got)
	}
}

// TestCodeInParts: what fits into no code of the screen comes in parts that make the whole.
func TestCodeInParts(t *testing.T) {
	text := strings.Repeat("A request that is long. ", 25)
	c := &codeScreen{text: text, most: maxParts, blocks: true}
	lines := c.view(nil, 79, 24)
	if len(lines) > 24 || len(c.parts) < 2 || strings.Join(c.parts, "") != text {
		t.Errorf("%d lines, %d parts", len(lines), len(c.parts))
	}
	small := &codeScreen{text: "HTTPS://MEET.EXAMPLE", most: 1}
	if lines := small.view(nil, 79, 24); len(lines) > 24 || len(small.parts) != 1 {
		t.Errorf("without blocks: %d lines, %d parts", len(lines), len(small.parts))
	}
	for _, at := range []int{1, 39, 79} {
		for _, high := range []int{1, 5, 24} {
			if lines := (&codeScreen{text: text, most: maxParts}).view(nil, at, high); lines == nil {
				t.Errorf("nothing at %dx%d", at, high)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("word ", 50), strings.Repeat("x", 300), "two\nlines", " indent"} {
		for _, l := range wrap(text, 20) {
			if len([]rune(l)) > 20 {
				t.Errorf("%q is too long", l)
			}
		}
	}
}

func TestPasteIsBounded(t *testing.T) {
	began := time.Now()
	f := textField("x", "", "")
	f.several = true
	for range 200_000 {
		f.insert("x")
	}
	if len(f.value) != maxSeveral {
		t.Errorf("%d bytes were taken", len(f.value))
	}
	t.Logf("pasting took %v", time.Since(began))
}
