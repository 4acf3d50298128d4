package image

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
	"meetzone/image/qemu"
)

// disk is what `make image` leaves behind, client the program that `make build` does.
var (
	disk   = filepath.Join("..", "bin", "image", "meetzone.raw")
	client = filepath.Join("..", "bin", "zoneclient")
)

// needImage skips unless the image is to be booted: make test-image and make test-long make one before.
func needImage(t *testing.T) {
	t.Helper()
	if os.Getenv("MEETZONE_IMAGE") == "" {
		t.Skip("boots an image for minutes: make test-image")
	}
	if _, err := os.Stat(disk); err != nil {
		t.Fatal(err)
	}
	nstest.RequireRoot(t)
}

// card is the machine's network card, boxAddress what the LAN's DHCP server gives it.
const (
	card       = "52:54:00:6d:7a:01"
	boxAddress = "10.77.0.2"
)

// lan is a network with a DHCP server, clients and a tap for the machine.
type lan struct {
	hub     *nstest.NS
	clients []*nstest.NS
	ifaces  []string
}

func newLAN(t *testing.T, clients int) *lan {
	t.Helper()
	l := &lan{hub: nstest.New(t, "lan")}
	l.hub.Bridge(t, "br0", "10.77.0.1/24")
	l.hub.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
	l.hub.Run(t, "ip", "link", "set", "tap0", "master", "br0", "up")
	for i := range clients {
		c := nstest.New(t, fmt.Sprintf("c%d", i))
		l.ifaces = append(l.ifaces, nstest.Attach(t, l.hub, "br0", c, fmt.Sprintf("10.77.0.%d/24", 11+i)))
		l.clients = append(l.clients, c)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	server := l.hub.Command(ctx, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=br0", "--bind-interfaces", "--user=root", "--pid-file=",
		"--dhcp-leasefile="+filepath.Join(dir, "leases"), "--dhcp-range=10.77.0.2,10.77.0.9,1h", "--dhcp-host="+card+","+boxAddress, "--dhcp-authoritative")
	if err := server.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = server.Wait() })
	return l
}

// machine is one that boots the image on the LAN.
func (l *lan) machine(t *testing.T, credentials map[string]string) *qemu.Machine {
	t.Helper()
	return l.machineWith(t, "", "", credentials)
}

// machineWith is one with first configurations beside the system and on a stick.
func (l *lan) machineWith(t *testing.T, seed, stick string, credentials map[string]string) *qemu.Machine {
	t.Helper()
	return qemu.NewMachine(t, qemu.MachineConfig{Disk: disk, Tap: "tap0", Command: l.hub.Command, Seed: seed, Stick: stick, Credentials: credentials})
}

// meeting makes one, as the web page does.
func (l *lan) meeting(t *testing.T) string {
	t.Helper()
	out := l.clients[0].Run(t, "curl", "-sSk", "--max-time", "30", "--json", `{"title":"First"}`, "https://"+boxAddress+"/v1/meetings")
	var made struct{ Meeting struct{ Number string } }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Meeting.Number == "" {
		t.Fatalf("making a meeting: %v: %s", err, out)
	}
	return made.Meeting.Number
}

// report is the part of zoneclient's JSON object that the tests look at.
type report struct {
	Media map[string]struct {
		Rung                 string
		Sent, Received, Lost int
		DSCPReceived         int `json:"dscp_received"`
	}
}

// meet has all clients meet for a while, and holds the box to the marks that are seen on the wire.
func (l *lan) meet(t *testing.T, number string) {
	t.Helper()
	// A guest without KVM forwards at the speed of an emulated machine: what people hear is judged elsewhere, here only that it arrives and how it is marked.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	type outcome struct {
		report report
		err    error
	}
	outcomes := make([]chan outcome, len(l.clients))
	captures := make([]*nstest.Capture, len(l.clients))
	for i, c := range l.clients {
		captures[i] = c.Capture(t, l.ifaces[i], func(p nstest.Packet) bool { return p.Proto == 17 && p.Src.Port() == 8801 && !p.Outgoing })
		outcomes[i] = make(chan outcome, 1)
		go func() {
			cmd := c.Command(ctx, client, "join", "--url", "https://"+boxAddress, "--meeting", number, "--name", fmt.Sprintf("c%d", i), "--insecure", "--json", "--for", "20s")
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME=/dev/null", "HTTPS_PROXY=", "https_proxy=")
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			o := outcome{err: err}
			if err == nil {
				o.err = json.Unmarshal(out, &o.report)
			}
			if o.err != nil {
				o.err = fmt.Errorf("client %d: %w\n%s", i, o.err, said.String())
			}
			outcomes[i] <- o
		}()
	}
	for i := range l.clients {
		o := <-outcomes[i]
		if o.err != nil {
			t.Fatal(o.err)
		}
		marks := map[uint8]int{}
		for _, p := range captures[i].Packets() {
			marks[p.DSCP()]++
		}
		for name, want := range map[string]dscp.CodePoint{"audio": dscp.EF, "video": dscp.AF41} {
			m := o.report.Media[name]
			if m.Rung != "udp" || m.Received < 20 || m.Sent < 20 {
				t.Errorf("client %d, %s: over %s, sent %d, received %d", i, name, m.Rung, m.Sent, m.Received)
			}
			if m.DSCPReceived != int(want) || marks[uint8(want)] < 20 {
				t.Errorf("client %d, %s: received with code point %d, on the wire %v; want %s", i, name, m.DSCPReceived, marks, want)
			}
		}
		t.Logf("client %d: %+v; marks on the wire %v", i, o.report.Media, marks)
	}
}
