package console

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// entry is a line of a menu.
type entry struct {
	key  string
	name string
	help string
	open func(a *app) tea.Cmd
}

// menu is a screen of things to choose from, by key or by cursor.
type menu struct {
	name    string
	intro   func(a *app, width int) []line
	entries []entry
	now     int
}

func (m *menu) title() string { return m.name }
func (m *menu) keys() string  { return "Key or Up/Down and Enter   Esc back" }

func (m *menu) update(a *app, k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch name := k.String(); name {
	case "up":
		m.now = max(0, m.now-1)
	case "down":
		m.now = min(len(m.entries)-1, m.now+1)
	case "enter", "right":
		return m.entries[m.now].open(a), true
	default:
		for i, e := range m.entries {
			if e.key == name {
				m.now = i
				return e.open(a), true
			}
		}
		return nil, false
	}
	return nil, true
}

func (m *menu) view(a *app, width, _ int) (out []line) {
	if m.intro != nil {
		out = append(m.intro(a, width), nil)
	}
	label := 0
	for _, e := range m.entries {
		label = max(label, len(e.name))
	}
	for i, e := range m.entries {
		text := fmt.Sprintf(" %s  %-*s  ", e.key, label, e.name)
		if i == m.now {
			out = append(out, line{{">" + text, inverse}, {" " + e.help, 0}})
			continue
		}
		out = append(out, line{{" " + text, 0}, {" " + e.help, 0}})
	}
	return out
}

// action is what a key does on a page or a table.
type action struct {
	key  string
	name string
	do   func(a *app) tea.Cmd
}

func actionKeys(actions []action) string {
	out := new(strings.Builder)
	for _, act := range actions {
		fmt.Fprintf(out, "%s %s   ", act.key, act.name)
	}
	return out.String()
}

func press(a *app, actions []action, name string) (tea.Cmd, bool) {
	for _, act := range actions {
		if strings.ToLower(act.key) == name {
			return act.do(a), true
		}
	}
	return nil, false
}

// page is text to read, as long as it may be.
type page struct {
	name    string
	lines   func(a *app, width int) []line
	fetch   func(a *app) tea.Cmd // nil: the lines are there
	actions []action
	at      int
	long    bool // there is more than fits
	shown   int
}

func (p *page) title() string { return p.name }

func (p *page) keys() string {
	text := actionKeys(p.actions)
	if p.long {
		text += "Up/Down scroll   "
	}
	return text + "Esc back"
}

func (p *page) look(a *app) tea.Cmd {
	if p.fetch == nil {
		return nil
	}
	return p.fetch(a)
}

func (p *page) update(a *app, k tea.KeyPressMsg) (tea.Cmd, bool) {
	if cmd, taken := press(a, p.actions, k.String()); taken {
		return cmd, true
	}
	switch k.String() {
	case "up":
		p.at--
	case "down":
		p.at++
	case "pgup":
		p.at -= p.shown
	case "pgdown", " ", "space":
		p.at += p.shown
	case "home":
		p.at = 0
	case "end":
		p.at = 1 << 30
	default:
		return nil, false
	}
	return nil, true
}

func (p *page) view(a *app, width, height int) []line {
	lines := p.lines(a, width)
	p.shown, p.long = height, len(lines) > height
	p.at = min(max(0, p.at), max(0, len(lines)-height))
	return lines[p.at:min(len(lines), p.at+height)]
}

// table is rows of which one is chosen.
type table struct {
	name    string
	head    []string
	empty   string // what is said where there are no rows
	intro   func(a *app, width int) []line
	fetch   func(a *app) tea.Cmd
	rows    [][]string
	loaded  bool
	open    func(a *app, row int) tea.Cmd // nil: rows are only read
	actions []action
	now, at int
}

func (t *table) title() string { return t.name }

func (t *table) keys() string {
	text := actionKeys(t.actions)
	if t.open != nil && len(t.rows) > 0 {
		text = "Enter open   " + text
	}
	return text + "Esc back"
}

func (t *table) look(a *app) tea.Cmd { return t.fetch(a) }

// set replaces the rows.
func (t *table) set(rows [][]string) {
	t.rows, t.loaded = rows, true
	t.now = min(t.now, max(0, len(rows)-1))
}

func (t *table) update(a *app, k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch name := k.String(); name {
	case "up":
		t.now = max(0, t.now-1)
	case "down":
		t.now = max(0, min(len(t.rows)-1, t.now+1))
	case "pgup":
		t.now = max(0, t.now-10)
	case "pgdown":
		t.now = max(0, min(len(t.rows)-1, t.now+10))
	case "enter", "right":
		if t.open == nil || len(t.rows) == 0 {
			return nil, name == "enter"
		}
		return t.open(a, t.now), true
	default:
		return press(a, t.actions, name)
	}
	return nil, true
}

func (t *table) view(a *app, width, height int) (out []line) {
	if t.intro != nil {
		out = append(t.intro(a, width), nil)
	}
	switch {
	case !t.loaded:
		return append(out, plain("  ..."))
	case len(t.rows) == 0:
		return append(out, plainLines(wrap(t.empty, width))...)
	}
	texts := columns(append([][]string{t.head}, t.rows...), a.charset, width-2)
	out = append(out, styled(bold, "  "+texts[0]))
	texts = texts[1:]
	room := max(1, height-len(out))
	t.at = min(max(t.at, t.now-room+1), t.now)
	t.at = max(0, min(t.at, len(texts)-room))
	for i := t.at; i < min(len(texts), t.at+room); i++ {
		if i == t.now && t.open != nil {
			out = append(out, styled(inverse, fmt.Sprintf("> %-*s", width-2, texts[i])))
			continue
		}
		out = append(out, plain("  "+texts[i]))
	}
	return out
}

// word asks for a word before something is done that cannot be undone: no stray byte types it.
func word(name, warning, word string, done func(a *app, f *form) tea.Cmd) *form {
	return &form{name: name, intro: warning, verb: name, fields: []*field{textField("Type "+word, "", "Nothing is done before you have typed the word and pressed Enter.")},
		done: func(a *app, f *form) tea.Cmd {
			if f.fields[0].text() != word {
				a.say("Nothing was done: that was not the word %s.", word)
				a.drop(f)
				return nil
			}
			return done(a, f)
		}}
}
