package nstest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is a network namespace that belongs to a test.
type NS struct {
	name   string
	base   string
	handle netns.NsHandle
	links  *netlink.Handle
}

// RequireRoot skips the test where it does not run as root. Where CI is set a missing right is a failure, not a reason to skip.
func RequireRoot(t testing.TB) {
	t.Helper()
	const reason = "network namespaces need root"
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("CI") != "":
		t.Fatal(reason + ", and CI is set")
	default:
		t.Skip(reason)
	}
}

// New makes a namespace with its loopback interface up. name is a short hint for people; a random part makes it unique.
func New(t testing.TB, name string) *NS {
	t.Helper()
	RequireRoot(t)
	var unique [4]byte
	if _, err := rand.Read(unique[:]); err != nil {
		t.Fatal(err)
	}
	n := &NS{name: name + "-" + hex.EncodeToString(unique[:]), base: name}
	if err := onThread(func() (err error) {
		n.handle, err = netns.NewNamed(n.name)
		return err
	}); err != nil {
		t.Fatalf("make namespace %s: %v", n.name, err)
	}
	t.Cleanup(func() { n.remove(t) })
	var err error
	if n.links, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE); err != nil {
		t.Fatalf("open netlink in %s: %v", n.name, err)
	}
	n.Sysctl(t, "net/ipv6/conf/default/accept_dad", "0") // or link-local addresses are of no use for a second or two
	n.Sysctl(t, "net/ipv6/conf/all/accept_dad", "0")
	n.up(t, "lo")
	return n
}

func (n *NS) remove(t testing.TB) {
	if n.links != nil {
		n.links.Close()
	}
	if err := errors.Join(n.handle.Close(), netns.DeleteNamed(n.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove namespace %s: %v", n.name, err)
	}
}

// Name returns the name under which ip netns knows the namespace.
func (n *NS) Name() string { return n.name }

// Path returns the file that stands for the namespace.
func (n *NS) Path() string { return "/run/netns/" + n.name }

// onThread runs f on a thread that nobody uses afterwards: the goroutine ends locked, and so the thread ends with it.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		finished := false
		defer func() {
			if !finished { // by t.FailNow
				result <- errExit
			}
		}()
		err := f()
		finished = true
		result <- err
	}()
	return <-result
}

var errExit = errors.New("the function ended its goroutine")

// Do runs f inside the namespace and waits for it. Sockets opened by f belong to the namespace, also after f has returned.
func (n *NS) Do(t testing.TB, f func()) {
	t.Helper()
	err := onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return err
		}
		f()
		return nil
	})
	if errors.Is(err, errExit) {
		if t.Failed() {
			t.FailNow()
		}
		t.SkipNow()
	}
	if err != nil {
		t.Fatalf("enter namespace %s: %v", n.name, err)
	}
}

// Command returns a command that runs inside the namespace. The process is the command itself, not a wrapper around it.
func (n *NS) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path(), "--", name}, args...)...)
}

// Run runs a command inside the namespace to its end and returns what it wrote. That it fails is fatal.
func (n *NS) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := n.Command(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v in %s: %v\n%s", name, args, n.name, err, out)
	}
	return string(out)
}

// Interface returns an interface of the namespace.
func (n *NS) Interface(t testing.TB, name string) *net.Interface {
	t.Helper()
	a := n.link(t, name).Attrs()
	return &net.Interface{Index: a.Index, MTU: a.MTU, Name: a.Name, HardwareAddr: a.HardwareAddr, Flags: a.Flags}
}

// link looks an interface up.
func (n *NS) link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := n.links.LinkByName(name)
	if err != nil {
		t.Fatalf("interface %s in %s: %v", name, n.name, err)
	}
	return l
}

func (n *NS) up(t testing.TB, iface string) {
	t.Helper()
	if err := n.links.LinkSetUp(n.link(t, iface)); err != nil {
		t.Fatalf("set %s in %s up: %v", iface, n.name, err)
	}
}

// Signal sends a signal to every process in the namespace, and returns how many those are.
func (n *NS) Signal(t testing.TB, sig syscall.Signal) (reached int) {
	t.Helper()
	own, err := os.Stat(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range processes {
		its, err := os.Stat(filepath.Join(dir, "ns/net"))
		if err != nil || !os.SameFile(own, its) {
			continue // it has ended, or is elsewhere
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && syscall.Kill(pid, sig) == nil {
			reached++
		}
	}
	return reached
}
