package appliancetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
)

// Lab is one box and its clients, each in a namespace, each client on a link and a subnet of its own.
type Lab struct {
	Box     *nstest.NS
	Clients []Client
	bin     string
}

// Client is a namespace that reaches the box.
type Client struct {
	NS    *nstest.NS
	Box   netip.Addr // the box on this client's link
	Box6  netip.Addr
	Addr  netip.Addr
	Iface string // the client's end of the link

	BoxIface    string // the box's end
	RouterIface string // the firewall's end, where there is one

	Link *nstest.Emulator // of a client whose link is emulated; towards the client is nstest.BToA
}

// boxUser is who the daemon runs as: nobody in particular, and not root.
const boxUser = 64811

// New makes a box with that many clients. The links of those in emulated can be made as bad as a test wants them.
func New(t testing.TB, clients int, emulated ...int) *Lab {
	t.Helper()
	nstest.RequireRoot(t)
	lab := &Lab{Box: nstest.New(t, "box"), bin: binaries(t)}
	for i := range clients {
		c := Client{
			NS:   nstest.New(t, fmt.Sprintf("c%d", i)),
			Box:  netip.AddrFrom4([4]byte{10, 88, byte(i), 1}),
			Addr: netip.AddrFrom4([4]byte{10, 88, byte(i), 2}),
			Box6: netip.MustParseAddr(fmt.Sprintf("fd88:%x::1", i+1)),
		}
		if slices.Contains(emulated, i) {
			c.Link = nstest.Emulate(t, c.NS, lab.Box, c.Addr.String()+"/24", c.Box.String()+"/24", nstest.Path{})
			c.Iface, c.BoxIface = c.Link.Interfaces()
		} else {
			c.Iface, c.BoxIface = nstest.Link(t, c.NS, lab.Box, c.Addr.String()+"/24", c.Box.String()+"/24")
		}
		c.NS.Address(t, c.Iface, strings.Replace(c.Box6.String(), "::1", "::2", 1)+"/64")
		lab.Box.Address(t, c.BoxIface, c.Box6.String()+"/64")
		lab.Clients = append(lab.Clients, c)
	}
	return lab
}

// binaries builds the product once for all tests of a run.
func binaries(t testing.TB) string {
	t.Helper()
	dir, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "meetzone-test-bin")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "meetzone/appliance", "meetzone/zonectl/client/zoneclient").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

// RemoveBinaries deletes what New built; call it at the end of TestMain.
func RemoveBinaries() {
	if dir, err := buildOnce(); err == nil {
		_ = os.RemoveAll(dir)
	}
}

// Daemon is a running box.
type Daemon struct {
	State   string // its folder
	Socket  string // of the admin API
	Process *os.Process
	lab     *Lab
	ended   <-chan struct{} // closed when its output has ended
}

// Start runs the daemon in the box's namespace as an ordinary user with exactly the three capabilities of its unit, and returns when it serves.
func (l *Lab) Start(t testing.TB, flags ...string) *Daemon {
	t.Helper()
	return l.StartIn(t, newState(t), flags...)
}

// StartIn is Start with a state folder that may hold the state of an earlier run.
func (l *Lab) StartIn(t testing.TB, state string, flags ...string) *Daemon {
	t.Helper()
	return l.launch(t, state, "-all,+"+strings.Join(Capabilities, ",+"), append([]string{"--https", ":443", "--own-host"}, flags...))
}

// StartPlain runs the daemon as `make run` does for somebody who is not root: without any capability, on a host that is not its own.
func (l *Lab) StartPlain(t testing.TB, flags ...string) *Daemon {
	t.Helper()
	return l.launch(t, newState(t), "-all", flags)
}

// Capabilities are those of the daemon's unit, as setpriv writes them.
var Capabilities = []string{"net_bind_service", "net_admin", "net_raw"}

func newState(t testing.TB) string {
	t.Helper()
	state, err := os.MkdirTemp("", "meetzone-test-state")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	if err := os.Chown(state, boxUser, boxUser); err != nil {
		t.Fatal(err)
	}
	return state
}

// StartOn runs a further box, on a host of its own.
func (l *Lab) StartOn(t testing.TB, h Host, flags ...string) *Daemon {
	t.Helper()
	return l.launchIn(t, h.NS, newState(t), "-all,+"+strings.Join(Capabilities, ",+"), append([]string{"--https", ":443", "--own-host"}, flags...))
}

func (l *Lab) launch(t testing.TB, state, capabilities string, flags []string) *Daemon {
	t.Helper()
	return l.launchIn(t, l.Box, state, capabilities, flags)
}

func (l *Lab) launchIn(t testing.TB, box *nstest.NS, state, capabilities string, flags []string) *Daemon {
	t.Helper()
	d := &Daemon{State: state, Socket: filepath.Join(state, "admin.sock"), lab: l}
	user := strconv.Itoa(boxUser)
	args := append([]string{
		"--reuid=" + user, "--regid=" + user, "--clear-groups", "--no-new-privs",
		"--bounding-set=" + capabilities, "--inh-caps=" + capabilities, "--ambient-caps=" + capabilities,
		filepath.Join(l.bin, "appliance"), "run", "--state", state, "--media", ":8801", "--metrics", "127.0.0.1:9801", "--admin", d.Socket,
	}, flags...)
	cmd := box.Command(context.Background(), need(t, "setpriv"), args...)
	_, d.ended = start(t, cmd, "ready", 30*time.Second)
	d.Process = cmd.Process
	return d
}

// Restart ends the daemon as systemd would, and starts it again on its state.
func (l *Lab) Restart(t testing.TB, d *Daemon) *Daemon {
	t.Helper()
	d.Stop(t)
	return l.StartIn(t, d.State)
}

// Stop ends the daemon with SIGTERM and waits until it has gone.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	if err := d.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop the daemon: %v", err)
	}
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon did not end within 30 s of SIGTERM")
	}
}

// WaitEnd waits until the daemon has ended by itself.
func (d *Daemon) WaitEnd(t testing.TB) {
	t.Helper()
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon did not end by itself within 30 s")
	}
}

// Kill ends the daemon as a power cut does, and waits until it has gone.
func (d *Daemon) Kill(t testing.TB) {
	t.Helper()
	if err := d.Process.Kill(); err != nil {
		t.Fatalf("kill the daemon: %v", err)
	}
	<-d.ended
}

// Admin runs a subcommand of bin/appliance against the daemon and returns its output.
func (d *Daemon) Admin(t testing.TB, args ...string) []byte {
	t.Helper()
	cmd := d.lab.Box.Command(context.Background(), filepath.Join(d.lab.bin, "appliance"), append(args, "--admin", d.Socket)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("appliance %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Program is the path of bin/appliance.
func (d *Daemon) Program() string { return filepath.Join(d.lab.bin, "appliance") }

// TryAdmin runs a subcommand that may fail, and returns all that it printed.
func (d *Daemon) TryAdmin(args ...string) ([]byte, error) {
	return d.lab.Box.Command(context.Background(), filepath.Join(d.lab.bin, "appliance"), append(args, "--admin", d.Socket)...).CombinedOutput()
}

// Meeting is what `meeting create --json` prints of a meeting.
type Meeting struct {
	Number  string `json:"number"`
	HostKey string `json:"host_key"`
	Link    string `json:"link"`
}

// CreateMeeting makes a meeting through the admin socket.
func (d *Daemon) CreateMeeting(t testing.TB, args ...string) Meeting {
	t.Helper()
	var m Meeting
	out := d.Admin(t, append([]string{"meeting", "create", "--json"}, args...)...)
	if err := json.Unmarshal(out, &m); err != nil || m.Number == "" {
		t.Fatalf("meeting create printed %s: %v", out, err)
	}
	t.Cleanup(func() { // people whose browser has just ended are still known
		if !t.Failed() {
			return
		}
		if shown, err := d.TryAdmin("meeting", "show", m.Number, "--json"); err == nil { // else it has been ended
			t.Logf("meeting %s at the end: %s", m.Number, shown)
		}
	})
	return m
}

// Metrics returns the daemon's metrics page.
func (d *Daemon) Metrics(t testing.TB) string {
	t.Helper()
	out, err := d.lab.Box.Command(context.Background(), "curl", "-s", "http://127.0.0.1:9801/metrics").Output()
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	return string(out)
}

// ZoneClient prepares bin/zoneclient in a client's namespace.
func (l *Lab) ZoneClient(ctx context.Context, c Client, args ...string) *exec.Cmd {
	cmd := c.NS.Command(ctx, filepath.Join(l.bin, "zoneclient"), args...)
	// No test is to know what another one has measured, and none is to use a proxy of the machine it runs on.
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME=/dev/null", "HTTPS_PROXY=", "https_proxy=")
	return cmd
}
