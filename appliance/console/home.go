package console

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

// home is the box in one look, and the way to everything else.
type home struct{}

func (home) title() string { return "Home" }

// ways is where the keys of the home screen lead.
var ways = []action{
	{"1", "Meetings", openMeetings}, {"2", "Network", openNetwork}, {"3", "Zone", openZone}, {"4", "Certificates", openCertificates}, {"5", "DSCP", openMarks},
	{"6", "Diagnostics", openDiagnostics}, {"7", "Configuration", openConfiguration}, {"8", "Maintenance", openMaintenance},
	{"9", "Users", openUsers}, {"0", "Backups", openBackups},
}

func (home) keys() string {
	return "0-9 open   n new meeting   q QR code   a alarms   o log out   Ctrl-L redraw"
}

func (h home) update(a *app, k tea.KeyPressMsg) (tea.Cmd, bool) {
	name := k.String()
	if cmd, taken := press(a, ways, name); taken {
		return cmd, true
	}
	switch {
	case name == "n":
		return newMeeting(a, ""), true
	case name == "q" && a.status.URL != "":
		return newCode(a, upper(a.status.URL), "Join at", a.status.URL, "", "SHA-256 of the certificate:", a.status.Fingerprint), true
	case name == "a":
		return a.push(alarmsPage()), true
	case name == "k" && a.status.Waiting != nil:
		return keep(a, nil), true
	case name == "u" && a.status.Waiting != nil:
		return undo(a, nil), true
	case name == "o":
		return a.push(leaveForm(a)), true
	case name == "left", name == "esc":
		return nil, true
	}
	return nil, false
}

// facts is the width of the left side where the code stands on the right one.
const facts = 46

func (h home) view(a *app, width, height int) []line {
	if !a.known {
		text := "Waiting for the daemon."
		if a.silent != nil {
			text = sentence(a.silent)
		}
		return append([]line{nil}, plainLines(wrap(text, width))...)
	}
	menu := h.menu(width)
	room := height - len(menu)
	picture := pictureOf(a, a.status.URL, width, room)
	left := width
	if picture != nil {
		left = width - codeWidth(picture) - 1
	}
	return append(beside(a, h.facts(a, left), picture, left, room), menu...)
}

// beside puts a picture to the right of lines, and makes of both as many lines as there is room.
func beside(a *app, lines, picture []line, left, room int) []line {
	lines = lines[:min(len(lines), room)]
	for len(lines) < room {
		lines = append(lines, nil)
	}
	for i, p := range picture {
		l := lines[i].fit(left, a.charset, false)
		lines[i] = append(append(l, span{text: strings.Repeat(" ", left+1-lineWidth(l, a.charset))}), p...)
	}
	return lines
}

func lineWidth(l line, c Charset) (n int) {
	for _, s := range l {
		n += c.width(s.text)
	}
	return n
}

// pictureOf is the code of a URL, where it fits beside the facts.
func pictureOf(a *app, link string, width, height int) []line {
	if a.charset == ASCII || link == "" {
		return nil
	}
	for margin := quiet; margin > 0; margin-- {
		lines, err := code(upper(link), margin, true)
		if err == nil && len(lines) <= height && codeWidth(lines)+facts < width {
			return lines
		}
	}
	return nil
}

// menu is the ways in two lines.
func (home) menu(width int) []line {
	var lines []line
	now := ""
	for _, w := range ways {
		item := fmt.Sprintf("%s %-15s", w.key, w.name)
		if len(now)+len(item) > width {
			lines, now = append(lines, plain(now)), ""
		}
		now += " " + item
	}
	return append([]line{plain(strings.Repeat("-", width))}, append(lines, plain(now))...)
}

// facts is what one look is to tell, the most urgent first.
func (h home) facts(a *app, width int) (out []line) {
	s := a.status
	add := func(name, format string, arguments ...any) {
		out = append(out, fact(name, fmt.Sprintf(format, arguments...)))
	}
	out = append(out, h.urgent(a, width)...)
	add("Zone", "%s  %s", s.ZoneName, s.Zone)
	add("Join at", "%s", s.URL)
	out = append(out, fingerprintLines(s.Fingerprint, width)...)
	add("Addresses", "%s", addressText(s.Addresses))
	add("Meetings", "%d of %d, %d of %d people", s.Meetings, s.Load.MaxMeetings, s.Sessions, s.Load.MaxSessions)
	add("Load", "%.0f %% of %s, %s", s.Load.Busy*100, cores(s.Load.Workers), rate(s.Load.EgressBits))
	add("Drops", "%d by the kernel in the last minute", s.Load.Drops)
	add("Rungs", "%s", rungText(s.Rungs))
	add("DSCP", "%s", markingText(s.Marking))
	add("Certificate", "%s, %s", s.Certificate.Name, daysText(s.Certificate))
	add("Clock", "%s", clockText(s.Clock))
	pending := ""
	if s.Edited {
		pending = ", a candidate waits (7)"
	}
	add("Revision", "%d runs%s", s.Revision, pending)
	add("Running for", "%s, version %s", uptime(s.UptimeS), s.Version)
	return out
}

// urgent is what waits for a person.
func (home) urgent(a *app, width int) (out []line) {
	s := a.status
	if w := s.Waiting; w != nil {
		out = append(out, styled(inverse, fmt.Sprintf(" UNCONFIRMED: revision %d in %s unless: k keep, u undo ", w.Before, a.left())))
	}
	if s.Drain != nil && s.Drain.On {
		out = append(out, styled(bold, "DRAINING: nobody new is let in. "+s.Drain.Reason))
	}
	return append(out, alarmLines(s.Alarms, width)...)
}

// alarmLines is the first alarm, and how many more there are.
func alarmLines(list []adminapi.Alarm, width int) (out []line) {
	if len(list) == 0 {
		return []line{plain("No alarms.")}
	}
	more := ""
	if n := len(list); n > 1 {
		more = fmt.Sprintf(" (+%d)", n-1)
	}
	texts := wrap(fmt.Sprintf("ALARM%s %s", more, list[0].Text), width)
	for _, t := range texts[:min(2, len(texts))] {
		out = append(out, styled(bold, t))
	}
	return out
}

// fact writes a name and what it is.
func fact(name, text string) line { return line{{fmt.Sprintf("%-12s", name), bold}, {text, 0}} }

// fingerprintLines is a fingerprint in as many lines as it takes.
func fingerprintLines(fingerprint string, width int) (out []line) {
	name := "Fingerprint"
	for _, t := range wrap(spread(fingerprint), max(20, width-12)) {
		out = append(out, fact(name, t))
		name = ""
	}
	return out
}

// spread writes a fingerprint so that it can be broken into lines and compared by eye.
func spread(fingerprint string) string {
	bytes := strings.Split(fingerprint, ":")
	out := new(strings.Builder)
	for i, b := range bytes {
		if i > 0 && i%4 == 0 {
			out.WriteString(" ")
		} else if i > 0 {
			out.WriteString(":")
		}
		out.WriteString(b)
	}
	return out.String()
}

func addressText(list []adminapi.LinkAddress) string {
	var texts []string
	for _, l := range list {
		texts = append(texts, l.Address+" "+l.Interface)
	}
	if len(texts) == 0 {
		return "none: see 2 Network"
	}
	return strings.Join(texts, ", ")
}

func cores(n int) string {
	if n == 1 {
		return "the core"
	}
	return fmt.Sprintf("1 of %d cores", n)
}

func rate(bits float64) string {
	switch {
	case bits >= 1e9:
		return fmt.Sprintf("%.1f Gbit/s", bits/1e9)
	case bits >= 1e6:
		return fmt.Sprintf("%.1f Mbit/s", bits/1e6)
	}
	return fmt.Sprintf("%.0f kbit/s", bits/1e3)
}

func rungText(list []adminapi.RungState) string {
	var texts []string
	for _, r := range list {
		state := "CLOSED"
		if r.Listen != "" {
			state = fmt.Sprintf("ok (%d)", r.Now)
		}
		texts = append(texts, strings.ToUpper(r.Rung)+" "+state)
	}
	return strings.Join(texts, ", ")
}

func markingText(m adminapi.Marking) string {
	state := "kernel agrees"
	switch {
	case !m.Wanted:
		state = "marked, not enforced"
	case !m.Enforced:
		state = fmt.Sprintf("KERNEL DIFFERS in %d places", m.Differs)
	}
	return fmt.Sprintf("%s, %s, drift %d", m.Profile, state, m.Drifted)
}

func daysText(c adminapi.CertificateLife) string {
	switch {
	case c.NotAfter.IsZero():
		return "none"
	case c.DaysLeft < 0:
		return "EXPIRED"
	case c.DaysLeft > 3*365:
		return fmt.Sprintf("%d years left", c.DaysLeft/365)
	}
	return fmt.Sprintf("%d days left", c.DaysLeft)
}

func clockText(c adminapi.Clock) string {
	if !c.Synchronised {
		return "NOT SYNCHRONISED"
	}
	return fmt.Sprintf("in step, offset %+.2f ms", c.OffsetMS)
}

func uptime(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	if days := int(d / (24 * time.Hour)); days > 0 {
		return fmt.Sprintf("%d d %d h", days, int(d/time.Hour)%24)
	}
	return fmt.Sprintf("%d h %d min", int(d/time.Hour), int(d/time.Minute)%60)
}

func alarmsPage() *page {
	return &page{name: "Alarms", lines: func(a *app, width int) (out []line) {
		for _, al := range a.status.Alarms {
			out = append(out, styled(bold, fmt.Sprintf("%s   since %s", al.Code, al.Since.UTC().Format("2006-01-02 15:04 MST"))))
			out = append(out, plainLines(wrap(al.Text, width))...)
			out = append(out, plainLines(wrap(al.Advice, width))...)
			out = append(out, nil)
		}
		if len(out) == 0 {
			out = []line{nil, plain("There are no alarms.")}
		}
		return out
	}}
}
