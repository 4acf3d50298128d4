package enforce

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
	"meetzone/image/qemu"
)

// applyForEver in the environment makes the test binary a process that applies two policies in turn, until it is killed.
const applyForEver = "MEETZONE_TEST_APPLY_ON"

func TestMain(m *testing.M) {
	if iface := os.Getenv(applyForEver); iface != "" {
		applyUntilKilled(iface)
	}
	qemu.Main(m)
}

// twoPolicies differ in code points, in the order of the queues and in the rate.
func twoPolicies(iface string) [2]Wanted {
	first, _ := dscp.ShippedProfile(dscp.ProfileRFC4594)
	second, _ := dscp.ShippedProfile(dscp.ProfileZoom)
	second.Marks[dscp.Management].Band = 0
	return [2]Wanted{
		{Profile: first, Links: []Link{{Interface: iface, Rate: 20_000_000}}},
		{Profile: second, Links: []Link{{Interface: iface, Rate: 50_000_000}}},
	}
}

func applyUntilKilled(iface string) {
	e, err := New(Config{OwnHost: true})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		if i == 1 {
			os.Stdout.WriteString("applying\n")
		}
		if _, err := e.Apply(twoPolicies(iface)[i%2]); err != nil {
			panic(err)
		}
	}
}

// TestNetnsKilled: a process is killed at a hundred random moments of applying. Every time nf_tables has the old or the new policy as a whole, the next
// start has everything agree within a second, and no packet has left without the mark of its class.
func TestNetnsKilled(t *testing.T) {
	p := newPath(t)
	policies := twoPolicies(p.boxIface)
	e := enforcer(t, p.box)
	apply(t, e, policies[0])
	marked := map[uint8]bool{}
	for _, w := range policies {
		marked[uint8(w.Profile.Points()[dscp.Video])] = true
	}
	c := p.capture(t)
	// The sender marks by itself, as the media plane does.
	conn := p.dialMarked(t, probePort, dscp.Video, policies[0].Profile.Points()[dscp.Video])
	stop, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_, _ = conn.Write([]byte("meanwhile"))
			}
		}
	}()

	whole := [2][]string{newTable(policies[0]).describe(), newTable(policies[1]).describe()}
	interrupted, slowest := 0, time.Duration(0)
	for i := range 100 {
		killWhileApplying(t, p.box, p.boxIface)
		have, err := e.tables.describe()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(have, whole[0]) && !slices.Equal(have, whole[1]) {
			t.Fatalf("after kill %d nf_tables has neither policy: against the first %q, against the second %q", i+1, difference(whole[0], have), difference(whole[1], have))
		}
		start := time.Now()
		a, err := e.Apply(policies[i%2])
		if err != nil || !a.Agrees() {
			t.Fatalf("after kill %d the next start does not agree: %q, %v", i+1, a.Missing, err)
		}
		slowest = max(slowest, time.Since(start))
		interrupted++
	}
	close(stop)
	<-sent
	conn.Close()
	packets := c.Packets()
	for _, pk := range packets {
		if !marked[pk.DSCP()] {
			t.Fatalf("a packet left with DSCP %d", pk.DSCP())
		}
	}
	t.Logf("%d kills, the slowest restart agreed after %v; %d packets, all marked", interrupted, slowest, len(packets))
	if slowest > time.Second {
		t.Errorf("a restart took %v to agree", slowest)
	}
	if len(packets) < 100 {
		t.Errorf("only %d packets were sent meanwhile", len(packets))
	}
}

// killWhileApplying runs this binary as a process that applies, and kills it somewhere in it.
func killWhileApplying(t *testing.T, ns *nstest.NS, iface string) {
	t.Helper()
	cmd := ns.Command(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), applyForEver+"="+iface)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer wait(t, cmd, out)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Errorf("the process ended by itself: %v", err)
	}
	time.Sleep(rand.N(30 * time.Millisecond)) // the random moment
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
}

func wait(t *testing.T, cmd *exec.Cmd, out io.Reader) {
	t.Helper()
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}
