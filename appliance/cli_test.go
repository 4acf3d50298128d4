package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/config"
	"meetzone/appliance/people"
	"meetzone/storage"
	"meetzone/storage/storagetest"
	"meetzone/zonectl/quality"
	"meetzone/zonectl/wire"
)

// cliZone stands for the zone controller behind the real admin API.
type cliZone struct {
	meetings []adminapi.Meeting
	drain    adminapi.Draining
	power    adminapi.Power
}

func (z *cliZone) Create(_ context.Context, spec adminapi.MeetingSpec) (adminapi.Meeting, error) {
	m := adminapi.Meeting{Number: fmt.Sprint(100 + len(z.meetings)), Title: spec.Title, Link: "https://box/j/100", HostKey: "s3cret", Created: time.Now(),
		Room: spec.Room != "", Passcode: spec.Passcode != ""}
	z.meetings = append(z.meetings, m)
	return m, nil
}

func (z *cliZone) List() []adminapi.Meeting { return z.meetings }

func (z *cliZone) Show(number string) (adminapi.Meeting, error) {
	i := slices.IndexFunc(z.meetings, func(m adminapi.Meeting) bool { return m.Number == number })
	if i < 0 {
		return adminapi.Meeting{}, admin.ErrNoMeeting
	}
	m := z.meetings[i]
	m.HostKey, m.Count = "", 1
	m.Participants = []adminapi.Participant{{Name: "Mallory\x1b[2J\nroot", Role: "host", Media: map[string]string{"video": "tcp", "audio": "udp"}, Joined: time.Now(),
		Quality: []adminapi.FlowQuality{{Medium: "audio", Direction: "down", Score: 3.94, Loss: new(float64), RTTMS: 12.5, Bitrate: 64_000}}}}
	return m, nil
}

func (z *cliZone) History(number string, points int) (adminapi.MeetingHistory, error) {
	if _, err := z.Show(number); err != nil {
		return adminapi.MeetingHistory{}, err
	}
	h := quality.NewHistory(quality.Limits{})
	now := time.Now()
	for i, score := range []quality.Score{4.4, 4.4, 1.2, 0, quality.NoScore, 4.4} {
		h.Record(now.Add(time.Duration(i)*10*time.Second), quality.Run{Number: number, Created: now}, quality.Person{ID: "p1", Name: "Mallory\x1b[2J"},
			quality.Flow{Medium: wire.Audio, Direction: quality.Down}, quality.Figures{Packets: 1, Loss: 0.02, Jitter: 3 * time.Millisecond, Rate: 64_000}, score)
	}
	return historyOf(number, h.Meeting(number, points, 1000)), nil
}

func (z *cliZone) End(_ context.Context, number string) error {
	if _, err := z.Show(number); err != nil {
		return err
	}
	z.meetings = slices.DeleteFunc(z.meetings, func(m adminapi.Meeting) bool { return m.Number == number })
	return nil
}

func (z *cliZone) Networks() []adminapi.Network {
	return []adminapi.Network{{Network: "10.1.2.0/24", Came: adminapi.Rungs{UDP: 1, TLS: 3}, Now: adminapi.Rungs{TLS: 3}, Fell: 2}}
}

func (z *cliZone) Zones(client netip.Addr) []adminapi.Zone {
	return []adminapi.Zone{{ID: "zone-own", Name: "Own", Own: true, Key: "ed25519:AAAA", Controllers: []string{"https://box"}, Reason: "configured order"}}
}

func (z *cliZone) Drain(_ context.Context, d adminapi.Drain) error {
	z.drain = adminapi.Draining{On: d.On, Reason: d.Reason, Since: time.Now()}
	if d.DeadlineS > 0 {
		z.drain.Until = time.Now().Add(time.Duration(d.DeadlineS) * time.Second)
	}
	return nil
}

func (z *cliZone) Draining(context.Context) adminapi.Draining {
	d := z.drain
	for _, m := range z.meetings {
		whole, _ := z.Show(m.Number)
		d.Left = append(d.Left, whole)
	}
	return d
}

func (z *cliZone) Power(_ context.Context, p adminapi.Power) error { z.power = p; return nil }

func (z *cliZone) Marks() (adminapi.Marks, error) {
	return adminapi.Marks{Profile: "rfc4594", OwnHost: true, Wanted: true, Differs: []string{"chain audio was altered"}, Drifted: 1,
		Classes:    []adminapi.MarkedClass{{Class: "audio", Point: adminapi.CodePoint{Decimal: 46, Name: "EF", TOS: "0xb8"}, Priority: 6, SentDatagrams: 12}},
		Interfaces: []adminapi.MarkedInterface{{Name: "eth0", Sent: map[string]adminapi.Traffic{"audio": {Packets: 7, Bytes: 900}}}},
		Events:     []adminapi.MarkEvent{{Time: time.Now(), Object: "chain audio was altered", Error: "no"}}}, nil
}

func (z *cliZone) Verify(_ context.Context, v adminapi.Verify) (adminapi.Verified, error) {
	return adminapi.Verified{Interface: "eth0", Enforced: true, Classes: []adminapi.VerifiedMark{{Class: "audio", Wanted: adminapi.CodePoint{Decimal: 46, Name: "EF", TOS: "0xb8"}}}}, nil
}

func (z *cliZone) Capture(_ context.Context, spec adminapi.Capture, to io.Writer) (adminapi.Captured, error) {
	if spec.Interface == "absent0" {
		return adminapi.Captured{}, &adminapi.Error{Code: adminapi.CodeBad, Text: "There is no interface absent0."}
	}
	_, err := io.WriteString(to, "the file")
	return adminapi.Captured{Packets: 3, Full: true}, err
}

func (z *cliZone) MarkPaths() adminapi.MarkPaths {
	return adminapi.MarkPaths{Paths: []adminapi.MarkPath{{Subnet: "10.1.2.0/24", Medium: "audio", Direction: "up", Policy: adminapi.CodePoint{Decimal: 46, Name: "EF", TOS: "0xb8"},
		Verdict: "remarked", Latest: adminapi.CodePoint{Decimal: 8, Name: "CS1", TOS: "0x20"},
		Seen: []adminapi.MarkSamples{{Point: adminapi.CodePoint{Decimal: 8, Name: "CS1", TOS: "0x20"}, Samples: 7}}}}}
}

func (*cliZone) Kernel() (adminapi.KernelNetwork, error) { return networkPart{}.Kernel() }

func (z *cliZone) Firewall() adminapi.Firewall {
	return adminapi.Firewall{OwnHost: true, Enabled: true, Agrees: true, Interfaces: []string{"eth0"},
		Ports: []adminapi.FirewallPort{{Name: "ssh", Protocol: "tcp", Port: 22, Interfaces: []string{"eth0"}}, {Name: "https", Protocol: "tcp", Port: 443}}}
}

func (z *cliZone) BoxNetwork() adminapi.BoxNetwork {
	return adminapi.BoxNetwork{OwnHost: true, Interfaces: []adminapi.NetworkInterface{{Name: "eth0", Role: "management", Addresses: []string{"192.0.2.7/24"}}},
		Routes: []adminapi.NetworkRoute{{To: "default", Via: "192.0.2.1"}}, Differs: []string{"eth0: it is down"}}
}

func (z *cliZone) Describe() adminapi.Status {
	return adminapi.Status{Version: "1.0", Zone: "Meetzone", Fingerprint: "AA:BB", Drain: &z.drain,
		Alarms: []adminapi.Alarm{{Code: "store-full", Text: "The disk is full.", Advice: "Free some space.", Since: time.Now()}}}
}

// marksLike is a part that grants less than what was asked for.
type marksLike struct{}

func (marksLike) Name() string                { return "marks" }
func (marksLike) Check(config.Document) error { return nil }
func (marksLike) Apply(_ context.Context, d config.Document) (config.Actual, error) {
	if d.DSCP.Profile == "off" {
		return nil, fmt.Errorf("the kernel says no")
	}
	return config.Actual{{Key: "dscp.profile", Wanted: d.DSCP.Profile, Actual: d.DSCP.Profile}, {Key: "box.receive_buffer", Wanted: "8MiB", Actual: "416KiB", Note: "raise net.core.rmem_max"}}, nil
}

// commandLine runs commands against a real admin API on a real socket.
type commandLine struct {
	t      *testing.T
	socket string
	zone   *cliZone
	box    *daemon // with certificates, and nothing else
}

func newCommandLine(t *testing.T) *commandLine {
	t.Helper()
	file := storagetest.Open(t, storage.Config{})
	store, err := admin.NewRevisionStore(file)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	revisions, err := admin.NewRevisions(admin.RevisionsConfig{Store: store, Parts: []config.Part{marksLike{}}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := revisions.Start(t.Context(), config.Default()); err != nil {
		t.Fatal(err)
	}
	c := &commandLine{t: t, socket: filepath.Join(t.TempDir(), "admin.sock"), zone: new(cliZone)}
	c.box = &daemon{revisions: revisions, records: newLogRing()}
	if c.box.tls, err = openCertificates(t.TempDir(), quiet); err != nil {
		t.Fatal(err)
	}
	c.box.backups = &backups{d: c.box, store: store, restart: make(chan string, 1)}
	trail, err := audit.Open(audit.Config{Store: file})
	if err != nil {
		t.Fatal(err)
	}
	users, err := people.New(people.Config{Store: file})
	if err != nil {
		t.Fatal(err)
	}
	server, err := admin.NewServer(admin.ServerConfig{
		Revisions:    revisions,
		Meetings:     c.zone,
		Places:       c.zone,
		Certificates: boxCertificates{c.box},
		Networks:     c.zone,
		Drainer:      c.zone,
		Machine:      c.zone,
		Marks:        c.zone,
		BoxNetwork:   c.zone,
		Host:         c.zone,
		Diagnoses:    c.box,
		People:       users,
		Backups:      c.box.backups,
		Audit:        trail,
		Updates:      c.zone,
		Logger:       quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := admin.Listen(t.Context(), c.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// run runs one command and returns its exit status and what it printed.
func (c *commandLine) run(input string, args ...string) (status int, out, complaints string) {
	c.t.Helper()
	var o, e bytes.Buffer
	status = execute(c.t.Context(), append(args, "--admin", c.socket), streams{strings.NewReader(input), &o, &e})
	return status, o.String(), e.String()
}

// want runs a command that must end with status and print every part of what is wanted on either stream.
func (c *commandLine) want(status int, args []string, wanted ...string) string {
	c.t.Helper()
	got, out, complaints := c.run("", args...)
	if got != status {
		c.t.Errorf("%v: status %d, want %d: %s%s", args, got, status, out, complaints)
	}
	for _, w := range wanted {
		if !strings.Contains(out+complaints, w) {
			c.t.Errorf("%v: no %q in:\n%s%s", args, w, out, complaints)
		}
	}
	return out
}

func words(s string) []string { return strings.Fields(s) }

func TestConfigCommands(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("config get dscp.profile"), "rfc4594\n")
	c.want(0, words("config get"), "zone:\n", "  name: Meetzone\n")
	c.want(0, words("config set dscp.profile webex"), "dscp.profile: rfc4594 → webex", "`appliance config commit`")
	c.want(0, words("config get dscp.profile"), "rfc4594\n")
	c.want(0, words("config get dscp.profile --candidate"), "webex\n")
	c.want(0, words("config diff"), "rfc4594 → webex")
	c.want(0, words("config commit --comment because"), "rfc4594 → webex", "Revision 2 is running.")
	c.want(0, words("config diff"), "The candidate is what runs.")
	c.want(0, words("config set zone.hosts meet.example.com,192.0.2.7 --commit"), "Revision 3 is running.")
	c.want(0, words("config get zone.hosts"), "[meet.example.com, 192.0.2.7]\n")
	c.want(0, words("config history"), "3 *", "because", "uid")
	c.want(0, words("config history --changes"), "  dscp.profile: rfc4594 → webex")
	c.want(0, words("config rollback 1"), "Revision 4 is running.")
	c.want(0, words("config rollback"), "Revision 5 is running.")
	c.want(0, words("config reset zone.hosts --commit"), "Revision 6 is running.")
	c.want(0, words("config set zone.name other"), "Meetzone → other")
	c.want(0, words("config discard"))
	c.want(0, words("config diff"), "The candidate is what runs.")
	c.want(0, words("config keys dscp"), "dscp.custom.audio", "zone")
}

// TestUnwiseIsWarnedOf: what is valid and unwise is said when it is edited, and again when it takes effect.
func TestUnwiseIsWarnedOf(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("config set dscp.profile custom"))
	c.want(0, words("config set dscp.custom.audio CS6"), "warning: audio on 48 CS6")
	c.want(0, words("config commit"), "warning: audio on 48 CS6", "Revision 2 is running.")
	if out := c.want(0, words("config rollback 1")); strings.Contains(out, "warning") {
		t.Errorf("a shipped profile is warned of:\n%s", out)
	}
}

func TestConfigRefusals(t *testing.T) {
	c := newCommandLine(t)
	c.want(1, words("config get dscp.profil"), "There is no key dscp.profil.", "Did you mean dscp.profile?")
	c.want(1, words("config set dscp.profil zoom"), "did you mean dscp.profile?")
	c.want(1, words("config set box.workers many"), "box.workers", "no whole number")
	c.want(1, words("config commit"), "There is nothing to commit.")
	c.want(1, words("config rollback 9"), "There is no such revision.", "config history")
	c.want(1, words("config rollback one"), "no number of a revision")
	c.want(1, words("config set dscp.profile off --commit"), "the kernel says no", "The box runs as before.")
	c.want(0, words("config get dscp.profile"), "rfc4594\n")
	c.want(1, words("config set zone.limits.meetings 0 --commit"), "zone.limits.meetings", "between 1 and")
	c.want(1, words("config set zone.hosts a_b"), "zone.hosts[0]", "neither a host name")
	c.want(0, words("config get zone.hosts --candidate"), "[]\n") // what was refused is not left for the next commit to trip over
	c.want(1, words("config frobnicate"), "unknown command")
	c.want(1, words("meeting show 5"), "There is no such meeting.", "meeting list")

	c.socket = filepath.Join(t.TempDir(), "nobody.sock")
	c.want(2, words("status"), "Nobody answers at", "systemctl status meetzone", "--admin")
}

func TestConfigEdit(t *testing.T) {
	c := newCommandLine(t)
	t.Setenv("TMPDIR", t.TempDir())
	edit := func(sed string) { t.Setenv("VISUAL", "sed -i "+sed) }
	edit("s/rfc4594/zoom/")
	c.want(0, words("config edit --commit"), "rfc4594 → zoom", "Revision 2 is running.")
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	edit("s/profile:/profil:/")
	c.want(1, words("config edit"), "dscp.profil (line", "did you mean dscp.profile?", "What you wrote is in ")
	edit("s/zoom/zoomm/;s/zoommm/webex/") // wrong at first, right when it runs again
	status, out, complaints := c.run("y\n", "config", "edit")
	if status != 0 || !strings.Contains(out, "zoom → webex") || !strings.Contains(complaints, "Edit again?") {
		t.Errorf("status %d\n%s%s", status, out, complaints)
	}
	t.Setenv("VISUAL", "/nonexistent/editor")
	c.want(1, words("config edit"), "/nonexistent/editor", "set EDITOR")

	if status, out, complaints := c.run("dscp: {profile: custom, custom: {audio: CS5}}\n", "config", "edit", "--file", "-"); status != 0 || !strings.Contains(out, "custom.audio: (empty) → CS5") {
		t.Errorf("status %d\n%s%s", status, out, complaints)
	}
}

func TestMeetingCommands(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("meeting list"), "There are no meetings.")
	c.want(0, words("meeting create --title Standup --passcode 1234 --room auto"), "100", "Standup", "room, passcode", "https://box/j/100", "s3cret")
	var m adminapi.Meeting
	if err := json.Unmarshal([]byte(c.want(0, words("meeting create --title Second --json"))), &m); err != nil || m.Title != "Second" || m.HostKey != "s3cret" {
		t.Errorf("%+v, %v", m, err)
	}
	c.want(0, words("meeting list"), "NUMBER", "Standup", "Second")
	var list adminapi.Meetings
	if err := json.Unmarshal([]byte(c.want(0, words("meeting list --json"))), &list); err != nil || len(list.Meetings) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	out := c.want(0, words("meeting show 100"), "Mallory\uFFFD[2J root", "audio udp, video tcp")
	if strings.ContainsRune(out, '\x1b') {
		t.Error("a name reaches the terminal with its control characters")
	}
	c.want(0, words("meeting show 100"), "SCORE", "3.9", "0.0 %", "12 ms", "64 kbit/s")
	course := c.want(0, words("meeting history 100"), "MEAN", "2.9", "0.0", "2.0 %", "3.0 ms", "█")
	if !strings.Contains(course, "██▁x █") {
		t.Errorf("the course of the scores is not to be seen:\n%s", course)
	}
	var history adminapi.MeetingHistory
	if err := json.Unmarshal([]byte(c.want(0, words("meeting history 100 --points 3 --json"))), &history); err != nil || len(history.Runs) != 1 ||
		len(history.Runs[0].People[0].Flows[0].Samples) != 3 || *history.Runs[0].People[0].Flows[0].Samples[1].Score != 0 {
		t.Errorf("%+v, %v", history, err)
	}
	c.want(1, words("meeting history 100 --points 5000"), "Use 1 to 1000.")
	c.want(1, words("meeting history 999"), "There is no such meeting.")
	c.want(0, words("meeting end 100"))
	c.want(1, words("meeting end 100"), "There is no such meeting.")
}

func TestStatusAndDrain(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("drain --reason update"))
	out := c.want(0, words("status"), "Meetzone", "AA:BB", "ALARM store-full", "416KiB   (wanted: 8MiB)", "raise net.core.rmem_max", "nobody new is let in: update")
	if strings.Contains(out, "rfc4594   (wanted") {
		t.Errorf("what agrees is shown as if it did not:\n%s", out)
	}
	c.want(0, words("undrain"))
	c.want(0, words("drain"), "The box is in service.", "Nobody is in a meeting.")
	c.want(1, words("drain --deadline 2h"), "A drain needs a reason.")
	c.want(1, words("drain --reason update --deadline 1000h"), "That is no deadline.", "168 h")
	c.want(0, words("meeting create --title Standup"))
	c.want(0, words("drain --reason update --deadline 2h"), "whoever is left at", "is sent away", "Standup", "Mallory\uFFFD[2J root")
	var d adminapi.Draining
	if err := json.Unmarshal([]byte(c.want(0, words("drain --json"))), &d); err != nil || !d.On || d.Until.Before(time.Now().Add(time.Hour)) || len(d.Left) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	c.want(0, words("undrain"))
	var s adminapi.Status
	if err := json.Unmarshal([]byte(c.want(0, words("status --json"))), &s); err != nil || s.Drain.On || len(s.Parts) != 1 || s.Parts[0].Facts[1].Agrees {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestDSCPStatus(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("dscp status"), "rfc4594", "46 EF (ToS 0xb8)", "DIFFERS: chain audio was altered", "eth0", "7 packets, 900 bytes", "NOT HEALED: no")
	c.want(0, words("dscp paths"), "10.1.2.0/24", "up", "46 EF (ToS 0xb8)", "remarked to 8 CS1 (ToS 0x20)", "7 ×")
	c.want(1, words("dscp verify --to 192.0.2.1"), "eth0", "46 EF (ToS 0xb8)", "NOT SEEN")
	file := filepath.Join(t.TempDir(), "a.pcapng")
	c.want(0, []string{"capture", "--interface", "eth0", "--class", "audio", "--out", file}, "3 packets", "8 bytes", "the file is full")
	if b, err := os.ReadFile(file); err != nil || string(b) != "the file" {
		t.Errorf("captured %q, %v", b, err)
	}
	c.want(1, []string{"capture", "--interface", "absent0", "--out", file + "2"}, "There is no interface absent0.")
	c.want(1, []string{"capture", "--interface", "eth0", "--out", file}, "exists")
	c.want(0, words("dscp status --json"), `"tos": "0xb8"`, `"drifted": 1`)
}

func TestPowerCommands(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("reboot --reason cables"))
	if c.zone.power != (adminapi.Power{Action: adminapi.PowerReboot, Reason: "cables"}) {
		t.Errorf("reboot asked for %+v", c.zone.power)
	}
	c.want(0, words("power-off"))
	if c.zone.power != (adminapi.Power{Action: adminapi.PowerOff}) {
		t.Errorf("power-off asked for %+v", c.zone.power)
	}
	c.zone.power = adminapi.Power{}
	c.want(1, words("factory-reset"))
	if c.zone.power != (adminapi.Power{}) {
		t.Errorf("a factory reset that nobody has confirmed asked for %+v", c.zone.power)
	}
	c.want(0, words("factory-reset --yes"))
	if c.zone.power != (adminapi.Power{Action: adminapi.PowerFactoryReset}) {
		t.Errorf("factory-reset asked for %+v", c.zone.power)
	}
}

func TestShellCompletion(t *testing.T) {
	c := newCommandLine(t)
	var out bytes.Buffer
	if execute(t.Context(), []string{"completion", "bash"}, streams{strings.NewReader(""), &out, &out}) != 0 || !strings.Contains(out.String(), "appliance") {
		t.Error("no completion script")
	}
	c.want(0, words("meeting create --title Standup"))
	out.Reset()
	execute(t.Context(), []string{"__complete", "config", "get", "dscp.p"}, streams{strings.NewReader(""), &out, &out})
	if !strings.Contains(out.String(), "dscp.profile\t") {
		t.Errorf("keys: %s", out.String())
	}
	for _, shell := range []string{"zsh", "fish"} {
		if execute(t.Context(), []string{"completion", shell}, streams{strings.NewReader(""), &out, &out}) != 0 {
			t.Errorf("no completion script for %s", shell)
		}
	}
	out.Reset()
	execute(t.Context(), []string{"__complete", "config", "set", "dscp.profile", ""}, streams{strings.NewReader(""), &out, &out})
	if !strings.Contains(out.String(), "rfc4594\nwebex\n") {
		t.Errorf("values: %s", out.String())
	}
	out.Reset()
	if execute(t.Context(), []string{"config", "schema"}, streams{strings.NewReader(""), &out, &out}) != 0 || !bytes.Equal(out.Bytes(), config.Schema()) {
		t.Errorf("schema: %s", out.String())
	}
	out.Reset()
	execute(t.Context(), []string{"__complete", "meeting", "--admin", c.socket, "end", ""}, streams{strings.NewReader(""), &out, &out})
	if !strings.Contains(out.String(), "100\tStandup") {
		t.Errorf("meetings: %s", out.String())
	}
}

func TestPathsCommand(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("paths"), "10.1.2.0/24", "0/0/3", "1/0/3", "25 %")
}

func (*cliZone) Update(context.Context) adminapi.Update { return adminapi.Update{Version: "1.0.0"} }

func (*cliZone) CheckUpdate(context.Context, adminapi.UpdateFrom) (adminapi.UpdateOffer, error) {
	return adminapi.UpdateOffer{}, nil
}

func (*cliZone) PutBundle(_ context.Context, bundle io.Reader, _ int64) (adminapi.UpdateOffer, error) {
	n, err := io.Copy(io.Discard, bundle)
	return adminapi.UpdateOffer{Size: n}, err
}

func (*cliZone) InstallUpdate(context.Context, adminapi.InstallUpdate) error { return nil }

func (*cliZone) RollbackUpdate(context.Context, adminapi.RollbackUpdate) error { return nil }

func (*cliZone) CancelUpdate() {}
