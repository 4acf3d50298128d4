package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane"
)

// joined is what zoneclient tells of a join with --json.
type joined struct {
	Way   string  `json:"way"`
	First float64 `json:"first_media_ms"`
	Zone  string  `json:"zone"`
	Media map[string]struct {
		Rung     string `json:"rung"`
		Received int    `json:"received"`
	} `json:"media"`
	Stages map[string]float64 `json:"stages"`
	Tried  []attempt          `json:"tried"`
	Error  *struct {
		Stage, Text, Link string
		Tried             []attempt
	} `json:"error"`
	all string
}

// attempt is one try to get as far as the control channel.
type attempt struct{ Stage, Way, Host, Result string }

// tried wants that a join tells what came of a way.
func (j joined) tried(t *testing.T, stage, way, result string) {
	t.Helper()
	list := j.Tried
	if j.Error != nil {
		list = j.Error.Tried
	}
	if !slices.ContainsFunc(list, func(a attempt) bool { return a.Stage == stage && a.Way == way && a.Result == result }) {
		t.Errorf("it does not tell that %s was %s in the stage %s: %v\n%s", way, result, stage, list, j.all)
	}
}

// joinBy joins with zoneclient, for a moment.
func joinBy(t *testing.T, lab *appliancetest.Lab, c appliancetest.Client, args ...string) (j joined) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := lab.ZoneClient(ctx, c, append([]string{"join", "--insecure", "--for", "1s", "--name", "Ada", "--json"}, args...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	j.all = fmt.Sprintf("%s%s%v", out, complaints.Bytes(), err)
	if jsonErr := json.Unmarshal(out, &j); jsonErr != nil {
		t.Fatalf("zoneclient: %v\n%s", jsonErr, j.all)
	}
	return j
}

// over wants a join by a way, with all media that were sent on a rung, and media of somebody else arriving.
func (j joined) over(t *testing.T, way, rung string) {
	t.Helper()
	if j.Error != nil || j.Way != way || j.Media["audio"].Rung != rung || j.Media["video"].Rung != rung || j.Media["audio"].Received == 0 {
		t.Errorf("want a join by %s with media on %s:\n%s", way, rung, j.all)
	}
}

// joins is of how many joins a row tells the median: MEETZONE_LONG has nine.
func joins() int {
	if long() {
		return 9
	}
	return 1
}

// p50 is the median time to first media of a join and of as many more as the row has.
func p50(t *testing.T, first joined, lab *appliancetest.Lab, c appliancetest.Client, args ...string) float64 {
	t.Helper()
	took := []float64{first.First}
	for len(took) < joins() {
		j := joinBy(t, lab, c, append(slices.Clone(args), "--for", "100ms")...)
		if j.Error != nil {
			t.Fatalf("join again:\n%s", j.all)
		}
		took = append(took, j.First)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// stays has somebody in the meeting until the test ends, whose media others receive.
func stays(t *testing.T, lab *appliancetest.Lab, c appliancetest.Client, number string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := lab.ZoneClient(ctx, c, "join", "--insecure", "--for", "0", "--name", "Bob", "--url", "https://"+c.Box.String(), "--meeting", number)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "4 media") {
			return
		}
	}
	t.Fatal("nobody stays in the meeting")
}

// TestNetnsProxy joins through a real squid where the firewall lets the client reach nothing else: without a password, with Basic, Digest and NTLM, and says
// what is missing where the password is.
func TestNetnsProxy(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	client := lab.Clients[0]
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	stays(t, lab, lab.Clients[1], meeting.Number)
	for _, auth := range []string{"", "basic", "digest", "ntlm"} {
		name := auth
		if name == "" {
			name = "open"
		}
		t.Run(name, func(t *testing.T) {
			host := firewall.Host(t, "proxy")
			proxy := appliancetest.Squid(t, host, auth)
			firewall.Set(t, appliancetest.OnlyTo(client, host.Addr))
			watch := firewall.Watch(t, client, host.Addr)
			user := ""
			if auth != "" {
				user = "ada:lovelace@"
			}
			args := []string{"--url", "https://" + client.Box.String(), "--meeting", meeting.Number, "--proxy"}
			j := joinBy(t, lab, client, append(args, "http://"+user+proxy)...)
			j.over(t, "proxy "+proxy, "tls")
			t.Logf("first media after %.0f ms (p50 of %d joins); %v", p50(t, j, lab, client, append(args, "http://"+user+proxy)...), joins(), j.Stages)
			if auth == "" {
				pac := filepath.Join(t.TempDir(), "proxy.pac")
				script := fmt.Sprintf("function FindProxyForURL(url, host) { return isInNet(host, %q, '255.255.255.0') ? 'PROXY %s; DIRECT' : 'DIRECT'; }", client.Box, proxy)
				if err := os.WriteFile(pac, []byte(strings.Replace(script, client.Box.String(), "10.87.0.0", 1)), 0o600); err != nil {
					t.Fatal(err)
				}
				j = joinBy(t, lab, client, append(slices.Clone(args[:4]), "--pac", pac)...)
				j.over(t, "proxy "+proxy, "tls")
			}
			if auth != "" {
				j = joinBy(t, lab, client, append(args, "http://"+proxy)...)
				if j.Error == nil || !strings.Contains(j.Error.Text, "wants a name and a password (407)") || j.Error.Link == "" {
					t.Errorf("without a password:\n%s", j.all)
				}
			}
			watch.Check(t, "zoneclient")
			if auth == "" || auth == "basic" || long() {
				byBrowser(t, firewall, client, host.Addr, "https://"+client.Box.String()+"/j/"+meeting.Number, func() appliancetest.Browser {
					name, password, _ := strings.Cut(strings.TrimSuffix(user, "@"), ":")
					return appliancetest.ChromiumThrough(t, client.NS, proxy, name, password)
				})
			}
		})
	}
}

// byBrowser joins with a browser that reaches the zone by one host only: it sees and hears, every medium is on TLS, the panel says why, and no packet took another way.
func byBrowser(t *testing.T, firewall *appliancetest.Firewall, client appliancetest.Client, host netip.Addr, url string, open func() appliancetest.Browser) {
	t.Helper()
	watch := firewall.Watch(t, client, host)
	b := open()
	start := time.Now()
	join(t, b, url, "Cat")
	t.Logf("joined after %.1f s", time.Since(start).Seconds())
	seesAndHears(t, b, "Cat")
	t.Logf("Chromium sees and hears %.1f s after it opened the page", time.Since(start).Seconds())
	onRung(t, b, dataplane.TLS.String(), 10*time.Second)
	panelTells(t, b, way{name: "only by " + host.String(), rung: dataplane.TLS})
	var told []string
	if err := b.Eval("[...document.querySelectorAll('section.medium')].map((s) => s.innerText)", &told); err != nil {
		t.Error(err)
	}
	t.Logf("its panel tells %q", told)
	watch.Check(t, "Chromium by "+host.String())
	leave(t, b)
}

// leave closes a page's meeting, so that nothing goes on when the next row begins.
func leave(t *testing.T, b appliancetest.Browser) {
	t.Helper()
	if err := b.Open("about:blank"); err != nil {
		t.Error(err)
	}
}

// TestNetnsTunnel joins through a tunnel where the firewall lets the client reach nothing else: one that dials the zone, and one with which the zone has
// registered. It begins with a link, as a person does.
func TestNetnsTunnel(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	client := lab.Clients[0]
	daemon := lab.Start(t)
	dialling, registered := firewall.Host(t, "dial"), firewall.Host(t, "reg")
	var own struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(daemon.Admin(t, "zone", "show", "--json"), &own); err != nil || own.Key == "" {
		t.Fatalf("zone show: %v", err)
	}
	daemon.Admin(t, "config", "set", "zone.hosts", client.Box.String(), "--commit")
	bySNI := ",zone.lab"
	for name, host := range map[string]appliancetest.Host{"dial": dialling, "registered": registered} {
		to := client.Box.String() + ":443"
		flags := []string{}
		if name == "registered" {
			to, flags = own.Key, append(flags, "--register")
			firewall.Set(t, "ip saddr "+registered.Addr.String()+" ct state new drop") // no inbound hole
		}
		url, fingerprint := lab.Tunnel(t, host, "--zone", client.Box.String()+bySNI+"="+to)
		daemon.Admin(t, append([]string{"tunnel", "add", name, "--url", url}, flags...)...)
		if name == "registered" {
			eventuallySays(t, daemon, "if "+fingerprint+" is the fingerprint", "tunnels") // nobody vouches for the certificate: the box does not register
			daemon.Admin(t, append([]string{"tunnel", "add", name, "--url", url, "--fingerprint", fingerprint}, flags...)...)
			eventuallySays(t, daemon, "registered", "tunnels")
		}
		meeting := daemon.CreateMeeting(t)
		if !strings.Contains(meeting.Link, "tunnels=") {
			t.Fatalf("the link %s carries no tunnel", meeting.Link)
		}
		stays(t, lab, lab.Clients[1], meeting.Number)
		firewall.Set(t, appliancetest.OnlyTo(client, host.Addr))
		watch := firewall.Watch(t, client, host.Addr)
		j := joinBy(t, lab, client, "--url", meeting.Link)
		j.over(t, "tunnel "+host.Addr.String(), "tls")
		j.tried(t, "lookup", "direct", "silent")
		j.tried(t, "lookup", "tunnel "+host.Addr.String(), "answered")
		t.Logf("%s: first media after %.0f ms (p50 of %d joins); %v", name, p50(t, j, lab, client, "--url", meeting.Link), joins(), j.Stages)
		if lookup := j.Stages["lookup"]; lookup < 5400 || lookup > 9000 {
			t.Errorf("%s: the client turned to the tunnel after %.0f ms", name, lookup)
		}
		watch.Check(t, "zoneclient, tunnel "+name)
		byBrowser(t, firewall, client, host.Addr, "https://zone.lab/j/"+meeting.Number, func() appliancetest.Browser {
			return appliancetest.ChromiumKnowing(t, client.NS, host.Addr.String()+" zone.lab")
		})
		firewall.Set(t, appliancetest.Open)
		daemon.Admin(t, "tunnel", "remove", name)
	}
}

// eventuallySays waits until a part of the status agrees with what is wanted.
func eventuallySays(t *testing.T, daemon *appliancetest.Daemon, want, part string) {
	t.Helper()
	var status struct {
		Parts []struct {
			Name  string `json:"name"`
			Facts []struct {
				Actual, Note string
			} `json:"facts"`
		} `json:"parts"`
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := json.Unmarshal(daemon.Admin(t, "status", "--json"), &status); err != nil {
			t.Fatal(err)
		}
		for _, p := range status.Parts {
			if p.Name == part && len(p.Facts) > 0 && (p.Facts[0].Actual == want || strings.Contains(p.Facts[0].Note, want)) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %+v", want, status.Parts)
		}
	}
}
