package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
)

// adminPassword is the first user's in these tests.
const adminPassword = "correct horse battery"

// atHome is a box with the set-up behind it, and its console at home.
func atHome(t *testing.T, kind string, width, height int) (*appliancetest.Lab, *appliancetest.Daemon, *appliancetest.Terminal) {
	t.Helper()
	lab := appliancetest.New(t, 1)
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "zone.hosts", "meet.example", "--commit")
	daemon.Admin(t, "config", "set", "box.hostname", "meet-1", "--commit")
	term := daemon.Console(t, kind, width, height)
	term.Wait(t, "This box is new")
	term.Press(t, "enter", "enter")
	term.Type(t, adminPassword)
	term.Press(t, "enter")
	term.Type(t, adminPassword)
	term.Press(t, "enter")
	term.Wait(t, "| Home", "9 Users")
	return lab, daemon, term
}

// TestNetnsConsoleFirst goes by keys alone from the carton to the first meeting, and counts them.
func TestNetnsConsoleFirst(t *testing.T) {
	lab := appliancetest.New(t, 1)
	daemon := lab.Start(t)
	term := daemon.Console(t, "linux", 80, 24)
	step := func(shown []string, keys ...string) {
		t.Helper()
		term.Wait(t, shown...)
		term.Press(t, keys...)
	}
	golden(t, term, "locked", term.Wait(t, "This box is new", "Fingerprint"))
	term.Press(t, "enter")
	golden(t, term, "first-user", term.Wait(t, "The first user"))
	term.Press(t, "enter")
	term.Type(t, adminPassword)
	step([]string{"**********"}, "enter")
	term.Type(t, adminPassword)
	step([]string{"Enter go on"}, "enter")
	golden(t, term, "welcome", term.Wait(t, "three steps"))
	term.Press(t, "enter")
	step([]string{"Set-up 1 of 3", "Host name"}, "clear")
	term.Type(t, "meet-1")
	step([]string{"meet-1"}, "enter", "clear")
	term.Type(t, "Acme")
	step([]string{"Acme"}, "enter")
	term.Type(t, "meet.example")
	golden(t, term, "names", term.Wait(t, "meet.example"))
	term.Press(t, "enter")
	step([]string{"Set-up 2 of 3", "10.88.0.1/24"}, "enter", "enter", "clear")
	term.Type(t, "10.88.0.1/24 10.88.7.1/24")
	step([]string{"10.88.7.1/24"}, "enter")
	term.Type(t, "10.88.0.2")
	golden(t, term, "network", term.Wait(t, "10.88.0.2", "Enter review"))
	term.Press(t, "enter")
	review := term.Wait(t, "Review the change", "box.hostname")
	if !strings.Contains(review, "WARNING: "+lab.Clients[0].BoxIface+" loses fd88:1::1/64") {
		t.Errorf("no warning of what will be cut:\n%s", review)
	}
	term.Press(t, "enter")
	golden(t, term, "trial", term.Wait(t, "on trial", "until the box goes back to revision 1", "UNCONFIRMED", "10.88.7.1/24 c0"))
	term.Press(t, "k")
	golden(t, term, "meeting-form", term.Wait(t, "New meeting", "First meeting", "is kept"))
	term.Press(t, "enter", "enter", "enter")
	shown := term.Wait(t, "Host key", "https://meet.example/j/")
	golden(t, term, "meeting", shown)
	if term.Keys > 40 {
		t.Errorf("%d key presses from the carton to the first meeting", term.Keys)
	}
	t.Logf("%d key presses from the carton to the first meeting", term.Keys)

	number := regexp.MustCompile(`/j/(\d+)`).FindStringSubmatch(shown)
	if number == nil || !strings.Contains(string(daemon.Admin(t, "meeting", "list")), number[1]) {
		t.Errorf("the box does not know the meeting of the screen:\n%s", shown)
	}
	if out := lab.Box.Run(t, "ip", "-o", "address"); !strings.Contains(out, "10.88.7.1/24") || strings.Contains(out, "fd88:1::1") {
		t.Errorf("the box's addresses:\n%s", out)
	}
	if status := string(daemon.Admin(t, "status")); strings.Contains(status, "UNCONFIRMED") || !strings.Contains(status, "meet-1") {
		t.Errorf("status:\n%s", status)
	}
	if history := string(daemon.Admin(t, "config", "history")); !strings.Contains(history, "admin") {
		t.Errorf("the history does not name the person:\n%s", history)
	}
}

// sequences are those that a VT220 knows and the console uses, and two of the Linux console: all that may leave.
var sequences = regexp.MustCompile(`\x1b(\[(\d+;1|\d+;\d+|)H|\[(|1|4|7)m|\[2?J|\[K|\[\?25[lh]|\[\?6l|\[4l|\[r|\(B|%G|7|8|\[999;999H|\[6n)`)

// onlyKnown complains of what a VT220 would not understand.
func onlyKnown(t *testing.T, written string, utf8 bool) {
	t.Helper()
	rest := sequences.ReplaceAllString(written, "")
	rest = strings.ReplaceAll(rest, "\x0f", "")
	for i, r := range rest {
		if r < 0x20 || r == 0x7f || r > 0x7e && !utf8 {
			t.Errorf("%q was written: %q", r, rest[max(0, i-20):min(len(rest), i+20)])
			return
		}
	}
}

// broken says what is wrong with a screen: something in its last column, or not its head and foot at their places.
func broken(shown string, width, height int) string {
	lines := strings.Split(shown, "\n")
	for len(lines) < height {
		lines = append(lines, "")
	}
	if len(lines) > height {
		return "too many lines"
	}
	for _, l := range lines {
		if len([]rune(l)) > width-1 {
			return "a line is too long: " + l
		}
	}
	if !strings.Contains(lines[0], " | ") || !strings.Contains(lines[height-1], "Esc back") && !strings.Contains(lines[height-1], "Ctrl-L") {
		return "head or foot are not where they belong"
	}
	return ""
}

// body is a screen without the time in its head.
func body(shown string) string {
	first, rest, _ := strings.Cut(shown, "\n")
	title, _, _ := strings.Cut(first, "  ")
	return title + rest
}

// places is every screen that keys lead to from home without changing anything, with what it shows.
var places = []struct {
	keys   string
	shows  string
	golden bool // it shows the same in every run
}{
	{"1", "| Meetings", true}, {"n", "| New meeting", true}, {"2", "| Network", false}, {"2 enter", "| Network: ", false}, {"2 v", "add a VLAN", false}, {"2 r", "| Routes and rules", false},
	{"3", "| Zone and sites", true}, {"3 1", "Names in links", true}, {"3 2", "There are no sites", false}, {"3 2 n", "Subnet", false}, {"3 3", "Client's address", false}, {"3 3 enter", "best first", false}, {"3 4", "| Host name", false},
	{"4", "self-signed", true}, {"4 enter", "Fingerprint", false}, {"4 r", "| Request a certificate", true}, {"4 i", "| Install a certificate", true}, {"4 m", "Directory", true},
	{"5", "Profile  rfc4594", true}, {"5 p", "Enforce", true}, {"5 v", "Send to", false}, {"5 w", "Nothing was measured yet", false},
	{"6", "| Diagnostics", true}, {"6 1", "| Reach a host", false}, {"6 2", "| Reach a port", false}, {"6 3", "| Look up a name", false}, {"6 4", "| Ask a time server", false}, {"6 5", "| Fetch a page", false},
	{"6 6", "Open here: UDP", false}, {"6 8", "| Verify marks", false}, {"6 9", "| Capture", true}, {"6 0", "Rules", false}, {"6 l", "first user made", false}, {"6 l f", "| Filter the log", false}, {"6 p", "box.log_level", false},
	{"7", "| Configuration", true}, {"7 1", "version: 1", false}, {"7 2", "| Set a key", true}, {"7 4", "REVISION", false}, {"7 4 enter", "Against the one before it", false}, {"7 4 down enter b", "| Go back", false},
	{"8", "In service.", true}, {"8 1", "| Drain", true}, {"8 3", "does not drain", false}, {"8 4", "Type reboot", true}, {"8 5", "Type off", false},
	{"9", "You are admin", false}, {"9 n", "| New user", true}, {"9 p", "| Password of admin", false}, {"9 enter", "New password", false}, {"9 d", "Type remove", false}, {"a", "| Alarms", false}, {"7 5", "| Who did what", false},
	{"0", "There are none on the box", true}, {"0 m", "| Make a backup", true}, {"0 p", "makes none", false},
}

// TestNetnsConsoleScreens looks at every screen at 80x24, then at 132x50, then at 80x24 again after the terminal has changed under it.
func TestNetnsConsoleScreens(t *testing.T) {
	_, _, term := atHome(t, "linux", 80, 24)
	golden(t, term, "home", term.Wait(t, "9 Users", "https://meet.example", "Running for"))
	for _, place := range places {
		for _, k := range strings.Fields(place.keys) {
			before := body(term.Text())
			term.Press(t, k)
			term.Until(t, "what "+k+" of "+place.keys+" leads to", func(shown string) bool {
				return body(shown) != before && !strings.Contains(shown, "\n  ...\n")
			})
		}
		for _, size := range [][2]int{{80, 24}, {132, 50}, {80, 24}} {
			term.Resize(t, size[0], size[1])
			shown := term.Until(t, place.keys+": "+place.shows, func(shown string) bool {
				return strings.Contains(shown, place.shows) && broken(shown, size[0], size[1]) == ""
			})
			if place.golden && size[0] == 80 {
				golden(t, term, strings.ReplaceAll("home "+place.keys, " ", "-"), shown)
			}
		}
		term.Press(t, "break")
		term.Wait(t, "| Home", "9 Users")
	}
	onlyKnown(t, term.Written(), true)
}

// TestNetnsConsoleGarbage throws at the console what lines and other programs throw at terminals.
func TestNetnsConsoleGarbage(t *testing.T) {
	_, daemon, term := atHome(t, "vt220", 80, 24)
	before := string(daemon.Admin(t, "config", "history"))
	noise := make([]byte, 1<<20)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	for name, garbage := range map[string]string{
		"noise":                   string(noise),
		"letters":                 strings.Repeat("the quick brown fox jumps over the lazy dog 0123456789\r\n", 20000)[:1<<20],
		"a paste without end":     "\x1b[200~" + strings.Repeat("x", 1000),
		"a string without end":    "\x1b]0;" + strings.Repeat("y", 1000),
		"a sequence without end":  "\x1b[" + strings.Repeat("1;", 1000),
		"the answer to a probe":   "\x1b[24;80R\x1b[32766;32766R\x1b[?62;1;2c",
		"half a character":        "\xe2\x96",
		"the rest of one":         "\x88\xff\xfe",
		"all keys with modifiers": "\x1b[1;5A\x1b[1;2D\x1b[15~\x1b[[A\x1bOP\x1bOS\x1b[27;5;13~",
	} {
		term.Type(t, garbage)
		term.Garble("\x1b[32766;32766H\x1b[6n[  123.456] kernel: something happened\r\n\x1b(0lqqk\x1b[?6h\x1b[5;10r\x1b[7m")
		shown := homeAfter(t, term, name)
		if strings.Contains(shown, "| Locked") {
			t.Fatalf("%s has logged out:\n%s", name, shown)
		}
		term.Press(t, "redraw")
		term.Until(t, "a whole screen after "+name, func(shown string) bool {
			return strings.Contains(shown, "| Home") && broken(shown, 80, 24) == "" && !strings.Contains(shown, "kernel: something")
		})
	}
	if out := string(daemon.Admin(t, "meeting", "list")); strings.Contains(out, "/j/") {
		t.Errorf("garbage has made a meeting:\n%s", out)
	}
	if out := string(daemon.Admin(t, "status")); strings.Contains(out, "Draining") {
		t.Errorf("garbage drains:\n%s", out)
	}
	if after := string(daemon.Admin(t, "config", "history")); after != before {
		t.Errorf("garbage has changed the configuration:\n%s", after)
	}
	onlyKnown(t, term.Written(), false)
}

// homeAfter presses Ctrl-C and Ctrl-L as a patient person does, twice a second: what comes without a pause is not taken for a person's.
func homeAfter(t *testing.T, term *appliancetest.Terminal, name string) (shown string) {
	t.Helper()
	for range 60 {
		time.Sleep(500 * time.Millisecond)
		term.Press(t, "break", "redraw")
		if shown = term.Text(); strings.Contains(shown, "| Home") || strings.Contains(shown, "| Locked") {
			return shown
		}
	}
	t.Fatalf("not home after %s:\n%s", name, shown)
	return ""
}

// volatile is what differs from run to run and from machine to machine. In the golden screens # stands for each character of it.
var volatile = regexp.MustCompile(`(?m)` + strings.Join([]string{
	`\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)? UTC)?`, `\d\d-\d\d \d\d:\d\d`, `([0-9A-F]{2}[: ]){6,}[0-9A-F]{2}`, `zone-[a-z0-9]+`,
	`^(ALARM|No alarms|Clock  |Load  |Running for|Version  |Time  |Box  ).{0,42}`, `Certificate self-signed, .{0,20}`,
	`\b\d{9}\b`, `Host key  [A-Z0-9]+`,
}, "|"))

// countdown is what is left of two minutes.
var countdown = regexp.MustCompile(`\b(1m\d\d?s|2m0s)`)

// head is the first line of a screen: its length depends on the host's name.
var head = regexp.MustCompile(`^ \S+ \| (.*?) +#+`)

// atEnd is a mask at the end of a line, where the length of what is masked shows.
var atEnd = regexp.MustCompile(`(?m)#+$`)

// golden compares a screen with the one that is kept in testdata. With MEETZONE_GOLDEN set, it is written instead: look at it before you commit it.
func golden(t *testing.T, term *appliancetest.Terminal, name, shown string) {
	t.Helper()
	if strings.Contains(shown, "ALARM") && !strings.Contains(shown, "ALARM The clock is not synchronised.") {
		t.Logf("%s is not compared: an alarm of this machine stands on it", name)
		return
	}
	file := filepath.Join("testdata", "console", name+".txt")
	if os.Getenv("MEETZONE_GOLDEN") != "" {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(steady(shown)+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	term.Until(t, name+" as it is kept:\n"+string(want), func(shown string) bool { return steady(shown)+"\n" == string(want) })
}

// steady is a screen without what changes from run to run.
func steady(shown string) string {
	shown = volatile.ReplaceAllStringFunc(shown, func(text string) string { return strings.Repeat("#", len([]rune(text))) })
	shown = countdown.ReplaceAllString(shown, "LEFT")
	shown = atEnd.ReplaceAllString(shown, "#")
	return head.ReplaceAllString(shown, " # | $1 #")
}

// TestConsoleInRescue has a store with flipped bytes: by keys alone the last good copy takes its place, the console says what is lost, and then the
// daemon starts and the console is at home by itself.
func TestConsoleInRescue(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, whom the console lets in without a password")
	}
	r := newRescued(t)
	db := filepath.Join(r.flags.state, "meetzone.db")
	r.daemon(func() {
		r.command("config", "set", "zone.name", "Kept", "--commit")
		r.until("a good copy of it", func() bool { c, err := readCopy(r.flags.state); return err == nil && c.Revision == 2 })
	})
	text, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	for page := 0; page < len(text); page += 4096 {
		for i := range 16 {
			text[page+i] ^= 0xa5
		}
	}
	if err := os.WriteFile(db, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), r.flags); err == nil {
		t.Fatal("the daemon starts with a damaged store")
	}
	cmd := exec.Command(appliancetest.Program(t, "appliance"), "console", "--admin", r.socket)
	cmd.Env = []string{"TERM=vt220"}
	term := appliancetest.RunOnTerminal(t, cmd, 80, 24)
	ready := func(ctx context.Context, c *adminapi.Client) error { _, err := c.Rescue(ctx); return err }
	err = r.during(func(ctx context.Context) error { return runRescue(ctx, r.flags.state, r.socket, "") }, ready, func() {
		t.Logf("\n%s", term.Wait(t, "RESCUE: the box does not start", "THE STORE IS DAMAGED"))
		term.Press(t, "4")
		term.Wait(t, "with revision 2", "Type copy")
		term.Type(t, "copy")
		term.Press(t, "enter")
		term.Wait(t, "with revision 2 is in place", "LOST: Everything that was changed since")
		term.Press(t, "esc")
		term.Wait(t, "The store is whole.")
		term.Press(t, "2")
		term.Wait(t, "Type start")
		term.Type(t, "start")
		term.Press(t, "enter")
		term.Wait(t, "The daemon is started again")
	})
	if err != nil {
		t.Error(err)
	}
	r.daemon(func() { term.Wait(t, "| Home", "Kept") })
	onlyKnown(t, term.Written(), false)
}
