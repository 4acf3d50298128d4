package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

// Times and sizes.
const (
	leastWidth, leastHeight = 80, 24
	mostWidth, mostHeight   = 500, 200
	drawAfter               = 20 * time.Millisecond // messages that come close together make one frame
	lookEvery               = 2 * time.Second       // at the box
	anewEvery               = time.Minute           // everything is drawn, in case somebody else has written on the screen
	callWithin              = 70 * time.Second      // a commit on slow hardware fits
	margins                 = 4                     // lines that are no screen's: head, what is told (2), keys
)

// screen is one page of the console. It belongs to the loop.
type screen interface {
	title() string
	// keys says which keys do what.
	keys() string
	// update takes a key. It returns false where the key means nothing to it.
	update(a *app, k tea.KeyPressMsg) (tea.Cmd, bool)
	// view returns at most height lines.
	view(a *app, width, height int) []line
}

// fresh is a screen that wants to look at the box when it comes up and every two seconds after.
type fresh interface {
	look(a *app) tea.Cmd
}

// cursed is a screen with a cursor, at a place of its view.
type cursed interface {
	cursor() (x, y int)
}

// whole is a screen without head and foot.
type whole interface {
	whole()
}

// app is the model.
type app struct {
	ctx           context.Context
	client        *adminapi.Client
	charset       Charset
	painter       *painter
	width, height int
	sized         bool // the kernel knows the size

	stack   []screen
	status  adminapi.Status
	known   bool      // status was fetched at least once
	seen    time.Time // of status
	silent  error     // why the last look at the box failed
	told    string    // at the foot
	bad     bool      // told is an error
	calls   int       // to the box that are under way
	polls   bool      // what is asked now is asked by no person, and keeps no session awake
	drawing bool      // a draw is due
	anew    bool
	painted time.Time        // the last frame that was drawn anew
	greeted bool             // the set-up was offered
	session adminapi.Session // who has logged in
}

// Messages of the loop.
type (
	drawMsg   struct{}
	tickMsg   struct{}
	sizeMsg   struct{ width, height int } // of Bubble Tea's own, which knows no terminal here, nobody takes notice
	answerMsg struct {
		of    screen
		apply func() tea.Cmd
	}
)

func newApp(client *adminapi.Client, charset Charset, p *painter) *app {
	return &app{client: client, charset: charset, painter: p, stack: []screen{new(gate)}, width: leastWidth, height: leastHeight, ctx: context.Background()}
}

// Init implements tea.Model.
func (a *app) Init() tea.Cmd { return tea.Batch(a.begin(), tick()) }

// begin finds out whether this user has to log in at all.
func (a *app) begin() tea.Cmd {
	return askAll(a, nil, a.client.Session, func(s adminapi.Session, err error) tea.Cmd {
		a.silent = err
		switch {
		case err == nil:
			return a.enter(s)
		case needsLogin(err):
			return a.lock()
		}
		return nil // the daemon does not answer: the next look tries again
	})
}

func tick() tea.Cmd { return tea.Tick(lookEvery, func(time.Time) tea.Msg { return tickMsg{} }) }

// View implements tea.Model. Frames go to the painter.
func (*app) View() tea.View { return tea.View{} }

// Update implements tea.Model.
func (a *app) Update(m tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch m := m.(type) {
	case tea.KeyPressMsg:
		cmd = a.press(m)
	case burstMsg:
		a.burst(m)
	case sizeMsg:
		a.sized = true
		a.resize(m.width, m.height)
	case probedMsg:
		if !a.sized && m.width >= 20 && m.height >= 5 {
			a.resize(m.width, m.height)
		}
	case tickMsg:
		a.anew = a.anew || time.Since(a.painted) > anewEvery
		a.polls = true
		cmd = tea.Batch(a.look(), tick())
		a.polls = false
	case answerMsg:
		a.calls--
		if m.of == nil || slices.Contains(a.stack, m.of) {
			cmd = m.apply()
		}
	case drawMsg:
		a.drawing = false
		a.draw()
		return a, nil
	default:
		return a, nil
	}
	if !a.drawing {
		a.drawing = true
		cmd = tea.Batch(cmd, tea.Tick(drawAfter, func(time.Time) tea.Msg { return drawMsg{} }))
	}
	return a, cmd
}

func (a *app) resize(width, height int) {
	a.width, a.height = min(max(width, 1), mostWidth), min(max(height, 1), mostHeight)
	a.anew = true
}

// press does what a key means everywhere, or hands it to the screen.
func (a *app) press(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	if name == "ctrl+l" {
		a.anew = true
		if !a.sized {
			a.painter.probe()
		}
		return nil
	}
	a.told, a.bad = "", false
	if cmd, taken := a.top().update(a, k); taken {
		return cmd
	}
	switch name {
	case "esc", "ctrl+g", "q", "left":
		a.pop()
	case "ctrl+c":
		a.stack = a.stack[:1]
	}
	return nil
}

// burst takes what came faster than a person types: text for a field, and nothing that would do anything.
func (a *app) burst(messages []tea.Msg) {
	f, typing := a.top().(*form)
	taken := 0
	for _, m := range messages {
		k, ok := m.(tea.KeyPressMsg)
		if ok && typing && f.current().options == nil && (k.Text != "" || f.current().several && k.Code == tea.KeyEnter) && f.current().press(k) {
			taken++
		}
	}
	if left := len(messages) - taken; left > 0 {
		a.say("That came faster than a person types: %d keys were left out.", left)
	}
}

func (a *app) top() screen { return a.stack[len(a.stack)-1] }

// push shows a screen above the others.
func (a *app) push(s screen) tea.Cmd {
	a.stack = append(a.stack, s)
	if f, ok := s.(fresh); ok {
		return f.look(a)
	}
	return nil
}

// replace shows a screen in place of the one on top.
func (a *app) replace(s screen) tea.Cmd {
	a.pop()
	return a.push(s)
}

func (a *app) pop() {
	if len(a.stack) > 1 {
		a.stack = a.stack[:len(a.stack)-1]
	}
}

// drop takes a screen and those above it away.
func (a *app) drop(s screen) {
	if i := slices.Index(a.stack, s); i > 0 {
		a.stack = a.stack[:i]
	}
}

// say tells the person something at the foot, until the next key.
func (a *app) say(format string, arguments ...any) {
	a.told, a.bad = fmt.Sprintf(format, arguments...), false
}

// fail tells what went wrong.
func (a *app) fail(err error) {
	a.told, a.bad = sentence(err), true
}

// sentence is what a person is told, with what is wrong with a document.
func sentence(err error) string {
	var told *adminapi.Error
	if !errors.As(err, &told) {
		return err.Error()
	}
	text := told.Text
	for _, p := range told.Problems {
		text += " " + p.Path + ": " + p.Text + "."
	}
	if told.Advice != "" && len(told.Problems) == 0 {
		text += " " + told.Advice
	}
	return text
}

// ask calls the box and has done take the answer, if the screen that asked is still there. An error is told at the foot.
func ask[T any](a *app, of screen, call func(ctx context.Context) (T, error), done func(T) tea.Cmd) tea.Cmd {
	return askAll(a, of, call, func(value T, err error) tea.Cmd {
		if err != nil {
			a.fail(err)
			return nil
		}
		return done(value)
	})
}

// askAll is ask, where done takes the error as well.
func askAll[T any](a *app, of screen, call func(ctx context.Context) (T, error), done func(T, error) tea.Cmd) tea.Cmd {
	a.calls++
	parent := a.ctx
	if a.polls {
		parent = adminapi.Polling(parent)
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, callWithin)
		defer cancel()
		value, err := call(ctx)
		return answerMsg{of, func() tea.Cmd { return done(value, err) }}
	}
}

// nothing is what a call returns that returns nothing.
type nothing struct{}

// do is ask for calls that return nothing.
func do(a *app, of screen, call func(ctx context.Context) error, done func() tea.Cmd) tea.Cmd {
	return ask(a, of, func(ctx context.Context) (nothing, error) { return nothing{}, call(ctx) }, func(nothing) tea.Cmd { return done() })
}

// look fetches the status, and has the top screen look as well.
func (a *app) look() tea.Cmd {
	if a.calls > 8 { // the box is slow: do not heap up questions
		return nil
	}
	if r, rescues := a.stack[0].(*rescueScreen); rescues {
		return r.look(a)
	}
	if g, locked := a.stack[0].(*gate); locked {
		if a.silent != nil || !g.known {
			return a.begin()
		}
		return g.look(a)
	}
	cmd := askAll(a, nil, func(ctx context.Context) (adminapi.Status, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*lookEvery)
		defer cancel()
		return a.client.Status(ctx)
	}, func(s adminapi.Status, err error) tea.Cmd {
		if needsLogin(err) {
			a.say("You have been logged out.")
			return a.lock()
		}
		if told := new(adminapi.Error); errors.As(err, &told) && told.Code == adminapi.CodeUnknown {
			return a.begin() // a rescue answers in the daemon's place
		}
		if a.silent = err; err != nil {
			return nil
		}
		a.status, a.known, a.seen = s, true, time.Now()
		if s.New && !a.greeted && len(a.stack) == 1 && a.session.Role != adminapi.RoleView {
			a.greeted = true
			return a.push(newWelcome())
		}
		return nil
	})
	if f, ok := a.top().(fresh); ok {
		return tea.Batch(cmd, f.look(a))
	}
	return cmd
}

// draw makes a frame and hands it to the painter.
func (a *app) draw() {
	f := frame{cursorX: -1, anew: a.anew}
	if a.anew {
		a.painted = time.Now()
	}
	a.anew = false
	width := a.width - 1 // the last column makes some terminals wrap
	s := a.top()
	switch _, isWhole := s.(whole); {
	case a.height < 8 || width < 40:
		f.lines = []line{plain("Too small: 80x24 is needed.")}
	case isWhole:
		f.lines = s.view(a, width, a.height)
	default:
		f.lines = a.framed(s, width, &f)
	}
	f.lines = f.lines[:min(len(f.lines), a.height)]
	for i := range f.lines {
		f.lines[i] = f.lines[i].fit(width, a.charset, false)
	}
	for len(f.lines) < a.height {
		f.lines = append(f.lines, nil)
	}
	a.painter.show(f)
}

// framed is a screen with its head, what is told, and its keys.
func (a *app) framed(s screen, width int, f *frame) []line {
	body := a.height - margins
	lines := append(make([]line, 0, a.height), a.head(s, width))
	view := s.view(a, width, body)
	lines = append(lines, view[:min(len(view), body)]...)
	for len(lines) < 1+body {
		lines = append(lines, nil)
	}
	for _, l := range a.foot(width) {
		lines = append(lines, l.fit(width, a.charset, false))
	}
	if c, ok := s.(cursed); ok {
		if x, y := c.cursor(); x >= 0 && x < width && y >= 0 && y < body {
			f.cursorX, f.cursorY = x, y+1
		}
	}
	return append(lines, styled(inverse, " "+s.keys()).fit(width, a.charset, true))
}

// head is who this is, what is shown, and when.
func (a *app) head(s screen, width int) line {
	name := a.status.Hostname
	if name == "" {
		name = "meetzone"
	}
	left := fmt.Sprintf(" %s | %s", a.charset.clean(name), s.title())
	right := ""
	if a.known {
		right = a.now().UTC().Format("2006-01-02 15:04:05 UTC") + " "
	}
	if gap := width - a.charset.width(left) - len(right); gap > 0 {
		left += strings.Repeat(" ", gap) + right
	}
	return styled(inverse|bold, left).fit(width, a.charset, true)
}

// now is the box's time: the console has none of its own to show.
func (a *app) now() time.Time { return a.status.Clock.Time.Add(time.Since(a.seen)) }

// foot is what the person is told: the last outcome, else what cannot wait.
func (a *app) foot(width int) []line {
	text, how := a.told, style(0)
	switch {
	case a.told != "" && a.bad:
		how = bold
		text = "! " + text
	case a.told != "":
	case a.silent != nil:
		text, how = "! "+sentence(a.silent), bold
	case a.status.Waiting != nil:
		text = fmt.Sprintf("UNCONFIRMED: revision %d comes back in %s unless this one is kept. At home: k keeps it, u undoes it now.", a.status.Waiting.Before, a.left())
		how = bold
	}
	lines := []line{nil, nil}
	texts := wrap(text, width)
	for i := range min(2, len(texts)) {
		lines[i] = styled(how, texts[i])
	}
	if len(texts) > 2 {
		lines[1] = styled(how, strings.Join(texts[1:], " "))
	}
	return lines
}

// left is how long the unconfirmed revision still waits.
func (a *app) left() time.Duration {
	left := time.Duration(a.status.Waiting.LeftS)*time.Second - time.Since(a.seen)
	return max(0, left).Round(time.Second)
}
