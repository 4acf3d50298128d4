package console

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

func openDiagnostics(a *app) tea.Cmd {
	return a.push(&menu{name: "Diagnostics", entries: []entry{
		{"1", "Reach a host", "ping", trialForm("Reach a host", adminapi.TryPing, "Host", "Name or address.")},
		{"2", "Reach a port", "TCP", trialForm("Reach a port", adminapi.TryTCP, "Host and port", "Such as meet.example:443 or [2001:db8::1]:443.")},
		{"3", "Look up a name", "DNS", trialForm("Look up a name", adminapi.TryDNS, "Name", "A name, or an address whose name is wanted.")},
		{"4", "Ask a time server", "NTP", trialForm("Ask a time server", adminapi.TryNTP, "Server", "Name or address.")},
		{"5", "Fetch a page", "HTTPS, with the certificate that is shown", trialForm("Fetch a page", adminapi.TryHTTPS, "URL", "Such as https://ca.example/acme/directory.")},
		{"6", "Rungs", "on which ways the media of each client network travel", openRungs},
		{"7", "Where marks die", "what became of DSCP on the way, by subnet of clients", openMarkPaths},
		{"8", "Verify marks", "send a few datagrams and see what leaves", func(a *app) tea.Cmd { return a.push(verifyForm()) }},
		{"9", "Capture", "what passes an interface", func(a *app) tea.Cmd { return a.push(captureForm(a)) }},
		{"0", "Routes and rules", "as the kernel has them", openRoutes},
		{"l", "Log", "live, with a filter", openLog},
		{"p", "Parts", "every setting as wanted and as it is", openParts},
	}})
}

// trialForm asks for a target and shows what came of it.
func trialForm(name string, try adminapi.Trial, label, help string) func(a *app) tea.Cmd {
	return func(a *app) tea.Cmd {
		f := &form{name: name, verb: "try", fields: []*field{textField(label, "", help)}}
		f.done = func(a *app, f *form) tea.Cmd {
			target := f.fields[0].text()
			a.say("Trying...")
			return ask(a, f, func(ctx context.Context) (adminapi.Diagnosis, error) {
				return a.client.Diagnose(ctx, adminapi.Diagnose{Try: try, Target: target})
			}, func(d adminapi.Diagnosis) tea.Cmd {
				a.told = ""
				return a.push(diagnosisPage(name+": "+target, d))
			})
		}
		return a.push(f)
	}
}

func diagnosisPage(name string, d adminapi.Diagnosis) *page {
	return &page{name: name, lines: func(_ *app, width int) []line {
		head := "OK"
		if !d.OK {
			head = "FAILED"
		}
		out := []line{nil, styled(bold, head+"  "+d.Text), plainf("It took %.0f ms.", d.TookMS), nil}
		for _, l := range d.Lines {
			out = append(out, plainLines(wrap("  "+l, width))...)
		}
		return out
	}}
}

func openRungs(a *app) tea.Cmd {
	t := &table{name: "Rungs by client network", head: []string{"NETWORK", "NOW UDP/TCP/TLS", "SINCE START", "FELL", "ROSE", "LAST"},
		empty: "Nobody has been in a meeting since the daemon started."}
	t.intro = func(a *app, _ int) []line { return []line{plain("Open here: " + doorText(a.status.Rungs))} }
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.Paths, func(p adminapi.Paths) tea.Cmd {
			var rows [][]string
			for _, n := range p.Networks {
				name := n.Network
				if name == "" {
					name = "the rest"
				}
				rows = append(rows, []string{name, rungCounts(n.Now), rungCounts(n.Came), fmt.Sprint(n.Fell), fmt.Sprint(n.Rose), since(n.Last)})
			}
			t.set(rows)
			return nil
		})
	}
	return a.push(t)
}

func doorText(list []adminapi.RungState) string {
	var texts []string
	for _, r := range list {
		texts = append(texts, strings.ToUpper(r.Rung)+" "+r.Listen)
	}
	return strings.Join(texts, ", ")
}

func rungCounts(r adminapi.Rungs) string { return fmt.Sprintf("%d/%d/%d", r.UDP, r.TCP, r.TLS) }

// captureForm captures into a file, such as one on a stick that the person has mounted, or only counts.
func captureForm(a *app) *form {
	name := ""
	if len(a.status.Addresses) > 0 {
		name = a.status.Addresses[0].Interface
	}
	f := &form{name: "Capture", verb: "capture", fields: []*field{
		textField("Interface", name, "Such as eth0."),
		choice("Class", []string{"everything", "audio", "video", "content", "signalling", "management"}, "everything", "Only packets of this class."),
		textField("Meeting", "", "Only the media of the meeting of this number; empty: all."),
		textField("Seconds", "10", "1 to 600."),
		textField("File", "", "Where the pcapng file is written; empty: packets are only counted. At a desk: `appliance capture` over ssh."),
	}}
	f.done = capture
	return f
}

func capture(a *app, f *form) tea.Cmd {
	seconds, err := strconv.Atoi(f.text("Seconds"))
	if err != nil || seconds < 1 || seconds > 600 {
		a.told, a.bad = "Seconds: use 1 to 600.", true
		return nil
	}
	spec := adminapi.Capture{Interface: f.text("Interface"), Meeting: f.text("Meeting"), TimeMS: int64(seconds) * 1000}
	if class := f.text("Class"); class != "everything" {
		spec.Class = class
	}
	path := f.text("File")
	a.say("Capturing for %d s...", seconds)
	parent := a.ctx
	return ask(a, f, func(context.Context) (adminapi.Captured, error) {
		ctx, cancel := context.WithTimeout(parent, time.Duration(seconds)*time.Second+callWithin)
		defer cancel()
		return captureInto(ctx, a.client, spec, path)
	}, func(c adminapi.Captured) tea.Cmd {
		a.told = ""
		where := "They were only counted."
		if path != "" {
			where = "They are in " + path + "."
		}
		return a.push(&page{name: "Captured", lines: func(_ *app, width int) []line {
			return plainLines(append([]string{"", fmt.Sprintf("%d packets, %d bytes of file; %d missed.", c.Packets, c.Bytes, c.Missed)}, wrap(where, width)...))
		}})
	})
}

func captureInto(ctx context.Context, client *adminapi.Client, spec adminapi.Capture, path string) (c adminapi.Captured, err error) {
	if path == "" {
		path = os.DevNull
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return c, fmt.Errorf("the file cannot be written: %w", err)
	}
	c, err = client.Capture(ctx, spec, file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return c, err
}

// logScreen shows the end of the log as it grows.
type logScreen struct {
	page
	level, match string
	lines        []adminapi.LogLine
	next         uint64
	still        bool // does not follow
}

// maxLog bounds what the screen keeps.
const maxLog = 2000

func openLog(a *app) tea.Cmd {
	l := &logScreen{level: "debug"}
	l.page = page{name: "Log", lines: l.text, at: 1 << 30}
	l.page.fetch = func(a *app) tea.Cmd { return l.fetch(a) }
	l.page.actions = []action{
		{"f", "filter", func(a *app) tea.Cmd { return a.push(l.filter()) }},
		{"s", "stand still or follow", func(*app) tea.Cmd { l.still = !l.still; return nil }},
	}
	return a.push(l)
}

func (l *logScreen) fetch(a *app) tea.Cmd {
	q := adminapi.LogQuery{After: l.next, Level: l.level, Match: l.match}
	return ask(a, l, func(ctx context.Context) (adminapi.Log, error) { return a.client.Log(ctx, q) }, func(got adminapi.Log) tea.Cmd {
		if q.Match != l.match || q.Level != l.level {
			return nil // the filter has changed meanwhile
		}
		l.lines = append(l.lines, got.Lines...)
		l.lines = l.lines[max(0, len(l.lines)-maxLog):]
		l.next = got.Next
		if !l.still {
			l.at = 1 << 30
		}
		return nil
	})
}

func (l *logScreen) text(_ *app, width int) (out []line) {
	for _, one := range l.lines {
		head := one.Time.UTC().Format("15:04:05") + " " + fmt.Sprintf("%-5s ", one.Level)
		how := style(0)
		if one.Level == "WARN" || one.Level == "ERROR" {
			how = bold
		}
		for i, t := range wrap(one.Text, max(20, width-len(head))) {
			if i > 0 {
				head = strings.Repeat(" ", len(head))
			}
			out = append(out, styled(how, head+t))
		}
	}
	if len(out) == 0 {
		out = []line{nil, plain("Nothing of that kind was logged.")}
	}
	return out
}

func (l *logScreen) filter() *form {
	f := &form{name: "Filter the log", verb: "show", fields: []*field{
		textField("Contains", l.match, "Only lines with this text, in capitals or not; empty: all."),
		choice("At least", []string{"debug", "info", "warn", "error"}, l.level, "Only lines of this weight and above."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		l.match, l.level = f.text("Contains"), f.text("At least")
		l.lines, l.next, l.at = nil, 0, 1<<30
		a.drop(f)
		return l.fetch(a)
	}
	return f
}

func openParts(a *app) tea.Cmd {
	return a.push(&page{name: "Parts, as wanted and as they are", lines: func(a *app, width int) (out []line) {
		for _, p := range a.status.Parts {
			out = append(out, styled(bold, p.Name))
			if p.Error != "" {
				out = append(out, plainLines(wrap("  FAILED: "+p.Error, width))...)
			}
			var rows [][]string
			for _, f := range p.Facts {
				actual := f.Actual
				if !f.Agrees {
					actual += " (wanted: " + f.Wanted + ")"
				}
				rows = append(rows, []string{"  " + f.Key, actual, f.Note})
			}
			out = append(out, plainLines(columns(rows, a.charset, width))...)
		}
		return out
	}})
}
