package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// joinsControl runs zoneclient until it has its control channel, and returns what it printed until then; or all, when it gives up before.
func joinsControl(t *testing.T, lab *appliancetest.Lab, c appliancetest.Client, args ...string) (printed string, joined bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := lab.ZoneClient(ctx, c, append([]string{"join", "--insecure", "--for", "1s", "--name", "Ada"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&text, lines.Text())
		if joined = strings.HasPrefix(lines.Text(), "3 control"); joined {
			break
		}
	}
	if joined {
		_ = cmd.Process.Kill()
	}
	_ = cmd.Wait()
	return text.String() + complaints.String(), joined
}

// onlyWith captures what a client exchanges with anybody but one host.
func onlyWith(t *testing.T, c appliancetest.Client, host netip.Addr) *nstest.Capture {
	t.Helper()
	return c.NS.Capture(t, c.Iface, func(p nstest.Packet) bool {
		return p.Src.Addr().Is4() && p.Src.Addr() != host && p.Dst.Addr() != host
	})
}

// TestNetnsProxy joins through a real squid where the firewall lets the client reach nothing else: without a password, with Basic and with Digest, and says
// what is missing where the password is.
func TestNetnsProxy(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 1)
	client := lab.Clients[0]
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	for _, auth := range []string{"", "basic", "digest"} {
		name := auth
		if name == "" {
			name = "open"
		}
		t.Run(name, func(t *testing.T) {
			host := firewall.Host(t, "proxy")
			proxy := appliancetest.Squid(t, host, auth)
			firewall.Set(t, appliancetest.OnlyTo(client, host.Addr))
			elsewhere := onlyWith(t, client, host.Addr)
			user := ""
			if auth != "" {
				user = "ada:lovelace@"
			}
			args := []string{"--url", "https://" + client.Box.String(), "--meeting", meeting.Number, "--proxy"}
			out, joined := joinsControl(t, lab, client, append(args, "http://"+user+proxy)...)
			if !joined || !strings.Contains(out, "through proxy "+proxy) {
				t.Errorf("the client did not come in through the proxy:\n%s", out)
			}
			t.Logf("%s", out)
			if auth != "" {
				out, joined = joinsControl(t, lab, client, append(args, "http://"+proxy)...)
				if joined || !strings.Contains(out, "wants a name and a password (407)") {
					t.Errorf("without a password:\n%s", out)
				}
			}
			if packets := elsewhere.Packets(); len(packets) > 0 {
				t.Errorf("%d packets took another way, the first from %v to %v", len(packets), packets[0].Src, packets[0].Dst)
			}
		})
	}
}

// TestNetnsTunnel joins through a tunnel where the firewall lets the client reach nothing else: one that dials the zone, and one with which the zone has
// registered. It begins with a link, as a person does.
func TestNetnsTunnel(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 1)
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
		url := lab.Tunnel(t, host, "--zone", client.Box.String()+bySNI+"="+to)
		daemon.Admin(t, append([]string{"tunnel", "add", name, "--url", url}, flags...)...)
		if name == "registered" {
			eventuallySays(t, daemon, "registered", "tunnels")
		}
		meeting := daemon.CreateMeeting(t)
		if !strings.Contains(meeting.Link, "tunnels=") {
			t.Fatalf("the link %s carries no tunnel", meeting.Link)
		}
		firewall.Set(t, appliancetest.OnlyTo(client, host.Addr))
		elsewhere := client.NS.Capture(t, client.Iface, func(p nstest.Packet) bool {
			return p.Src.Addr().Is4() && p.Dst.Addr() == client.Addr && p.Src.Addr() != host.Addr
		})
		start := time.Now()
		out, joined := joinsControl(t, lab, client, "--url", meeting.Link)
		if !joined || !strings.Contains(out, "through tunnel "+host.Addr.String()) {
			t.Errorf("%s: the client did not come in through the tunnel:\n%s", name, out)
		}
		t.Logf("%s", out)
		t.Logf("%s: control channel %.1f s after the first attempt", name, time.Since(start).Seconds())
		if packets := elsewhere.Packets(); len(packets) > 0 {
			t.Errorf("%s: %d packets came by another way, the first from %v", name, len(packets), packets[0].Src)
		}
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
			if p.Name == part && len(p.Facts) > 0 && p.Facts[0].Actual == want {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %+v", want, status.Parts)
		}
	}
}
