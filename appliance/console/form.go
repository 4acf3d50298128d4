package console

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// field is one thing to fill in: text, or one of some options.
type field struct {
	name    string // label
	help    string // shown while the field is the current one
	value   []rune
	at      int // place of the cursor in value
	secret  bool
	several bool     // Enter begins a new line; Tab goes on
	options []string // one of these, else text
	chosen  int
	shown   func(*form) bool // nil: always
}

// maxField bounds what is typed into a field of one line, and of several.
const (
	maxField   = 255
	maxSeveral = 64 << 10
)

func textField(name, value, help string) *field {
	return &field{name: name, value: []rune(value), at: len([]rune(value)), help: help}
}

func secretField(name, help string) *field { return &field{name: name, help: help, secret: true} }

func choice(name string, options []string, chosen, help string) *field {
	f := &field{name: name, options: options, help: help}
	for i, o := range options {
		if o == chosen {
			f.chosen = i
		}
	}
	return f
}

// text is what was typed or chosen.
func (f *field) text() string {
	if f.options != nil {
		return f.options[f.chosen]
	}
	if f.several {
		return string(f.value)
	}
	return strings.TrimSpace(string(f.value))
}

// press edits the field; false where the key is none of editing.
func (f *field) press(k tea.KeyPressMsg) bool {
	name := k.String()
	if f.options != nil {
		switch name {
		case "right", "space", " ":
			f.chosen = (f.chosen + 1) % len(f.options)
		case "left":
			f.chosen = (f.chosen + len(f.options) - 1) % len(f.options)
		default:
			return f.choose(k.Text)
		}
		return true
	}
	switch name {
	case "left":
		f.at = max(0, f.at-1)
	case "right":
		f.at = min(len(f.value), f.at+1)
	case "home", "ctrl+a":
		f.at = 0
	case "end", "ctrl+e":
		f.at = len(f.value)
	case "backspace":
		if f.at > 0 {
			f.value = append(f.value[:f.at-1], f.value[f.at:]...)
			f.at--
		}
	case "delete", "ctrl+d":
		if f.at < len(f.value) {
			f.value = append(f.value[:f.at], f.value[f.at+1:]...)
		}
	case "ctrl+u":
		f.value, f.at = nil, 0
	case "enter":
		if !f.several {
			return false
		}
		f.insert("\n")
	default:
		if k.Text == "" || k.Mod != 0 {
			return false
		}
		f.insert(k.Text)
	}
	return true
}

// choose takes the next option that begins with a letter.
func (f *field) choose(letter string) bool {
	if letter == "" {
		return false
	}
	for i := range f.options {
		next := (f.chosen + 1 + i) % len(f.options)
		if strings.HasPrefix(strings.ToLower(f.options[next]), strings.ToLower(letter)) {
			f.chosen = next
			return true
		}
	}
	return true // a letter is no key of the screen while a choice is made
}

func (f *field) insert(text string) {
	most := maxField
	if f.several {
		most = maxSeveral
	}
	if len(f.value) >= most {
		return
	}
	if f.at == len(f.value) { // what is pasted comes letter by letter
		f.value = append(f.value, []rune(text)...)
	} else {
		f.value = append(f.value[:f.at:f.at], append([]rune(text), f.value[f.at:]...)...)
	}
	f.at += len([]rune(text))
}

// form is a screen of fields. Enter goes to the next field, and from the last one does it.
type form struct {
	name   string
	intro  string
	fields []*field
	now    int
	verb   string // what Enter does at the end
	done   func(a *app, f *form) tea.Cmd
	x, y   int // of the cursor
}

func (f *form) title() string { return f.name }

func (f *form) keys() string {
	if f.current().several {
		return "Tab next field   Ctrl-U clear   Esc back   (Enter begins a new line)"
	}
	if f.last() {
		return "Enter " + f.verb + "   Up/Down field   Esc back"
	}
	if f.current().options != nil {
		return "Left/Right choose   Enter next   Up/Down field   Esc back"
	}
	return "Enter next   Up/Down field   Ctrl-U clear   Esc back"
}

func (f *form) cursor() (x, y int) { return f.x, f.y }

func (f *form) current() *field { return f.fields[f.now] }

// text returns what is in a field.
func (f *form) text(name string) string {
	for _, one := range f.fields {
		if one.name == name {
			return one.text()
		}
	}
	return ""
}

// step returns the next field in a direction that is shown, or the one it was called with.
func (f *form) step(from, by int) int {
	for i := from + by; i >= 0 && i < len(f.fields); i += by {
		if f.fields[i].shown == nil || f.fields[i].shown(f) {
			return i
		}
	}
	return from
}

func (f *form) last() bool { return f.step(f.now, 1) == f.now }

func (f *form) update(a *app, k tea.KeyPressMsg) (tea.Cmd, bool) {
	if f.current().press(k) {
		return nil, true
	}
	switch k.String() {
	case "up", "shift+tab":
		f.now = f.step(f.now, -1)
	case "down":
		f.now = f.step(f.now, 1)
	case "enter", "tab":
		if !f.last() {
			f.now = f.step(f.now, 1)
		} else if k.String() == "enter" || f.current().several {
			return f.done(a, f), true
		}
	case "esc", "ctrl+g", "ctrl+c":
		return nil, false
	}
	return nil, true
}

func (f *form) view(_ *app, width, height int) (out []line) {
	if f.intro != "" {
		out = append(plainLines(wrap(f.intro, width)), nil)
	}
	label := 0
	for _, one := range f.fields {
		label = max(label, len(one.name))
	}
	f.x, f.y = -1, -1
	for i, one := range f.fields {
		if one.shown != nil && !one.shown(f) {
			continue
		}
		mark, how := "  ", style(0)
		if i == f.now {
			mark, how = "> ", bold
		}
		head := mark + one.name + strings.Repeat(" ", label-len(one.name)) + "  "
		shown, at := one.show(width-len(head)-2, i == f.now)
		if i == f.now {
			f.x, f.y = len(head)+at, len(out)
		}
		out = append(out, line{{head, how}, {shown, underline}})
	}
	out = append(out, nil)
	help := wrap(f.current().help, width-2)
	for _, t := range help[:min(len(help), max(0, height-len(out)))] {
		out = append(out, plain("  "+t))
	}
	return out
}

// show is the field as a line of a width, and the place of the cursor in it.
func (f *field) show(width int, current bool) (string, int) {
	if f.options != nil {
		if current {
			return "< " + f.options[f.chosen] + " >", 2
		}
		return f.options[f.chosen], 0
	}
	value, at := f.value, f.at
	if f.several {
		for i := at - 1; i >= 0; i-- {
			if value[i] == '\n' {
				value, at = value[i+1:], at-i-1
				break
			}
		}
	}
	begin := max(0, at-width+1)
	value = value[begin:]
	text := string(value[:min(len(value), width)])
	if f.secret {
		text = strings.Repeat("*", len([]rune(text)))
	}
	return text + strings.Repeat("_", max(0, min(width, 30)-len([]rune(text)))), at - begin
}
