package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// pathMark is a line of `zoneclient path --json`.
type pathMark struct {
	Rung, Class, State string
	Sent, Arrived      *int
	Answered, Returned *int
	Up, Down           string
	BoxSaw             string `json:"box_saw"`
	ClientSaw          string `json:"client_saw"`
}

func pathTest(t *testing.T, lab *appliancetest.Lab, c appliancetest.Client, box netip.Addr) []pathMark {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 70*time.Second)
	defer cancel()
	cmd := lab.ZoneClient(ctx, c, "path", "--url", "https://"+netip.AddrPortFrom(box, 443).String(), "--insecure", "--json", "--cache", "")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("path: %v: %s", err, out)
	}
	var report struct{ Marks []pathMark }
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("path printed %s: %v", out, err)
	}
	return report.Marks
}

// addIPv6 gives box, firewall and the first client addresses of the other family.
func addIPv6(t *testing.T, lab *appliancetest.Lab, f *appliancetest.Firewall) (box netip.Addr) {
	t.Helper()
	c := lab.Clients[0]
	fields := strings.Fields(f.NS.Run(t, "ip", "-o", "route", "get", c.Addr.String()))
	towards := ""
	for i, word := range fields {
		if word == "dev" {
			towards = fields[i+1]
		}
	}
	f.NS.Address(t, f.BoxIface, "fd87::1/64")
	f.NS.Address(t, towards, "fd88::1/64")
	lab.Box.Address(t, c.BoxIface, "fd87::2/64")
	lab.Box.Route(t, "default", "fd87::1")
	c.NS.Address(t, c.Iface, "fd88::2/64")
	c.NS.Route(t, "default", "fd88::1")
	return netip.MustParseAddr("fd87::2")
}

// TestNetnsPathMarks: a path test finds every mark kept by an honest router, for each profile, rung and family, and a capture on the router agrees; it
// finds out a router that bleaches or remarks, in either direction, and so does the box's report when people meet over it.
func TestNetnsPathMarks(t *testing.T) {
	lab, router := appliancetest.NewBehind(t, 2)
	box6 := addIPv6(t, lab, router)
	daemon := lab.Start(t)
	c := lab.Clients[0]
	daemon.Admin(t, "config", "set", "dscp.custom.audio", "CS5", "--commit")
	daemon.Admin(t, "config", "set", "dscp.custom.content", "22", "--commit")
	own, err := dscp.ShippedProfile(dscp.ProfileRFC4594)
	if err == nil {
		own, err = own.With(map[dscp.Class]dscp.CodePoint{dscp.Audio: dscp.CS5, dscp.Content: 22})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, profile := range []string{dscp.ProfileCustom, dscp.ProfileWebex, dscp.ProfileZoom, dscp.ProfileOff, dscp.ProfileRFC4594} {
		daemon.Admin(t, "config", "set", "dscp.profile", profile, "--commit")
		p := own
		if profile != dscp.ProfileCustom {
			if p, err = dscp.ShippedProfile(profile); err != nil {
				t.Fatal(err)
			}
		}
		for _, box := range []netip.Addr{c.Box, box6} {
			honest(t, lab, router, box, p.Points())
		}
	}

	router.Set(t, "ip saddr 10.88.0.0/16 ip dscp set cs0; ip saddr 10.87.0.2 ip dscp set cs1")
	for _, m := range pathTest(t, lab, c, c.Box) {
		if m.Up != "bleached" || m.Down != "remarked" || *m.Returned != int(dscp.CS1) {
			t.Errorf("bleached to the box and remarked from it: %s %s: %s up, %s down", m.Rung, m.Class, m.Up, m.Down)
		}
	}
	router.Set(t, "ip saddr 10.88.0.0/16 ip dscp set af11; ip saddr 10.87.0.2 ip dscp set cs0")
	for _, m := range pathTest(t, lab, c, c.Box) {
		if m.Up != "remarked" || *m.Arrived != int(dscp.AF11) || m.Down != "bleached" {
			t.Errorf("remarked to the box and bleached from it: %s %s: %s up, %s down", m.Rung, m.Class, m.Up, m.Down)
		}
	}
	c.NS.Run(t, "ip", "address", "del", "fd88::2/64", "dev", c.Iface) // people meet over the family in which the router meddles
	reported(t, lab, daemon)
	if t.Failed() {
		for line := range strings.Lines(daemon.Metrics(t)) {
			if strings.HasPrefix(line, "meetzone_dropped_total") && !strings.HasSuffix(line, " 0\n") {
				t.Log(line)
			}
		}
	}
}

// honest runs the path test and compares it with what the router saw.
func honest(t *testing.T, lab *appliancetest.Lab, router *appliancetest.Firewall, box netip.Addr, points dscp.Marks) {
	t.Helper()
	fromBox := router.NS.Capture(t, router.BoxIface, func(p nstest.Packet) bool { return p.Src.Addr() == box && len(p.Payload) > 0 })
	defer fromBox.Close()
	sent, err := dscp.ShippedProfile("rfc4594") // the client has the default, whatever the box has
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, m := range pathTest(t, lab, lab.Clients[0], box) {
		seen[m.Rung]++
		class, err := dscp.ParseClass(m.Class)
		if err != nil {
			t.Fatal(err)
		}
		point := int(points[class])
		if m.State != "answers" || m.Up != "kept" || m.Down != "kept" || *m.Sent != int(sent.Points()[class]) || *m.Answered != point || *m.Returned != point {
			t.Errorf("%s: %s of %s: %s, %s up, %s down; the box was to answer with %d: %+v", box, m.Class, m.Rung, m.State, m.Up, m.Down, point, m)
		}
		saw := map[string]string{"udp": "datagram datagram"}[m.Rung]
		if saw == "" {
			saw = "handshake capture" // what the kernels show of connections
		}
		if got := m.BoxSaw + " " + m.ClientSaw; got != saw {
			t.Errorf("%s: %s of %s was seen by %q, want %q", box, m.Class, m.Rung, got, saw)
		}
	}
	if seen["udp"] != dscp.NumClasses || seen["tcp"] != dscp.NumClasses || seen["tls"] != dscp.NumClasses {
		t.Errorf("%s: tested %v", box, seen)
	}
	wire := map[string]map[uint8]bool{}
	for _, p := range fromBox.Packets() {
		key := fmt.Sprintf("%d/%d", p.Proto, p.Src.Port())
		if wire[key] == nil {
			wire[key] = map[uint8]bool{}
		}
		wire[key][p.DSCP()] = true
	}
	for class, point := range points {
		for _, key := range []string{"17/8801", "6/8801", "6/443"} {
			if !wire[key][uint8(point)] {
				t.Errorf("%s: the router saw no %s of %s from %s: %v", box, point, dscp.Class(class), key, wire[key])
			}
		}
	}
	for point := range wire["6/443"] {
		if !slices.Contains(points[:], dscp.CodePoint(point)) {
			t.Errorf("%s: the router saw %d from the HTTPS port, which is no class's", box, point)
		}
	}
}

// reported: two people meet while the router remarks what they send and bleaches what they get.
func reported(t *testing.T, lab *appliancetest.Lab, daemon *appliancetest.Daemon) {
	t.Helper()
	meeting := daemon.CreateMeeting(t)
	for i, c := range lab.Clients {
		attends(t, lab, c, "https://"+c.Box.String(), meeting.Number, fmt.Sprint(i), "--cache", "")
	}
	var last []byte
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		last = daemon.Admin(t, "dscp", "paths", "--json")
		var paths adminapi.MarkPaths
		if err := json.Unmarshal(last, &paths); err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, p := range paths.Paths {
			found[strings.Join([]string{p.Subnet, p.Medium, p.Direction, p.Verdict, p.Latest.Name}, " ")] = true
		}
		complete := true
		for _, subnet := range []string{"10.88.0.0/24", "10.88.1.0/24"} {
			for _, medium := range []string{"audio", "video"} {
				complete = complete && found[subnet+" "+medium+" up remarked AF11"] && found[subnet+" "+medium+" down bleached CS0"]
			}
		}
		if complete {
			t.Logf("%s", daemon.Admin(t, "dscp", "paths"))
			if metrics := daemon.Metrics(t); !strings.Contains(metrics, `meetzone_path_marks{direction="down",medium="audio",verdict="bleached"} 2`) {
				t.Error("the metrics do not tell that audio is bleached on the way to two subnets")
			}
			return
		}
	}
	t.Errorf("the report does not find out what the router does: %s", last)
}

// TestNetnsVerifyAndCapture: what leaves the box is verified on its interface, with exceptions and without enforcement; a capture by meeting and class holds the
// media of just these people, in a file that tcpdump reads.
func TestNetnsVerifyAndCapture(t *testing.T) {
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	c := lab.Clients[0]
	verify := func(to string) (v adminapi.Verified) {
		t.Helper()
		out, err := daemon.TryAdmin("dscp", "verify", "--to", to, "--json")
		text, _, _ := strings.Cut(string(out), "\nappliance: ") // what is said of a failure
		if jsonErr := json.Unmarshal([]byte(text), &v); jsonErr != nil {
			t.Fatalf("verify printed %s: %v, %v", out, jsonErr, err)
		}
		return v
	}
	for _, to := range []string{c.Addr.String(), strings.Replace(c.Box6.String(), "::1", "::2", 1)} {
		v := verify(to)
		if !v.Enforced || v.Interface != c.BoxIface || len(v.Classes) != dscp.NumClasses {
			t.Errorf("to %s: %+v", to, v)
		}
		for _, one := range v.Classes {
			if !one.OK {
				t.Errorf("to %s: %s left with %v and %v", to, one.Class, one.Left, one.Corrected)
			}
		}
	}
	daemon.Admin(t, "config", "set", "dscp.exceptions", "[{prefix: 10.88.0.0/24, profile: zoom}]", "--commit")
	for _, one := range verify(c.Addr.String()).Classes {
		if one.Class == "audio" && (!one.OK || one.Left.Decimal != int(dscp.CS7)) {
			t.Errorf("audio to the exception: %+v", one)
		}
	}
	daemon.Admin(t, "config", "set", "dscp.enforce", "false", "--commit")
	if rules := lab.Box.Run(t, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("after dscp.enforce false there is %s", rules)
	}
	if v := verify(lab.Clients[1].Addr.String()); v.Enforced || !v.Classes[dscp.Audio].OK || v.Classes[dscp.Audio].Corrected.Decimal == int(dscp.EF) {
		t.Errorf("without enforcement: %+v", v)
	}
	captured(t, lab, daemon)
}

func captured(t *testing.T, lab *appliancetest.Lab, daemon *appliancetest.Daemon) {
	t.Helper()
	meeting := daemon.CreateMeeting(t)
	for i, c := range lab.Clients {
		attends(t, lab, c, "https://"+c.Box.String(), meeting.Number, fmt.Sprint(i), "--cache", "")
	}
	connected := func() bool {
		return strings.Contains(string(daemon.Admin(t, "meeting", "show", meeting.Number)), "udp")
	}
	for deadline := time.Now().Add(20 * time.Second); !connected(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody's media are connected")
		}
	}
	c := lab.Clients[0]
	file := filepath.Join(t.TempDir(), "audio.pcapng")
	out := daemon.Admin(t, "capture", "--interface", c.BoxIface, "--meeting", meeting.Number, "--class", "audio", "--for", "3s", "--out", file)
	read, err := exec.Command("tcpdump", "-nr", file).Output()
	if err != nil {
		t.Fatalf("tcpdump: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(read)), "\n")
	ports := map[string]bool{}
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.Contains(line, ".8801") {
			t.Fatalf("in a capture of audio: %s", line)
		}
		for _, end := range []string{fields[2], strings.TrimSuffix(fields[4], ":")} {
			if !strings.HasSuffix(end, ".8801") {
				ports[end] = true
			}
		}
	}
	if len(lines) < 50 || len(ports) != 1 {
		t.Errorf("%s%d packets of %v: want the voices of one client", out, len(lines), ports)
	}
	t.Logf("%s", out)
}
