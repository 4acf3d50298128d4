package dataplane

import (
	"bytes"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// withoutCapabilities runs f on a thread that may neither mark nor exceed the limits of buffers.
func withoutCapabilities(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread is spoilt
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		err := unix.Capget(&header, &data[0])
		if err == nil {
			data[0].Effective &^= 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW
			err = unix.Capset(&header, &data[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestFeaturesLost opens a plane without any privilege: what is missing is in Actual and in the log, once, and datagrams move.
func TestFeaturesLost(t *testing.T) {
	var log bytes.Buffer
	var p *Plane
	cfg := testConfig("127.0.0.1:0")
	cfg.Workers, cfg.ReceiveBuffer, cfg.SendBuffer = 3, 1<<29, 1<<29
	cfg.Marks = marks
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	withoutCapabilities(t, func() {
		p = startPlane(t, cfg, func(w *Worker) Handler { return echo(w, dscp.Audio) })
	})
	a := p.Actual()
	if f, ok := a.Feature(FeatureMark); !ok || f.Actual || f.Lost == "" {
		t.Errorf("%s: %+v", FeatureMark, f)
	}
	for _, name := range []string{FeatureGSO, FeatureGRO, FeatureDropCount} {
		if f, ok := a.Feature(name); !ok || !f.Actual || f.Lost != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if a.ReceiveBuffer >= a.ReceiveBufferWanted || a.ReceiveBuffer == 0 || a.SendBuffer >= a.SendBufferWanted || a.SendBuffer == 0 {
		t.Errorf("buffers %d of %d, %d of %d", a.ReceiveBuffer, a.ReceiveBufferWanted, a.SendBuffer, a.SendBufferWanted)
	}
	for _, want := range []string{"SO_MARK", "receive buffer smaller", "send buffer smaller"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("%q is not once in the log:\n%s", want, log.String())
		}
	}
	peer := dial(t, "127.0.0.1:0", p.Addrs()[0])
	peer.wantTOS()
	peer.say("hello")
	if data, tos := peer.hearMarked(); data != "hello" || tos != 46<<2 {
		t.Errorf("heard %q with %#x", data, tos)
	}
}

// TestFeaturesUnwanted does without what the configuration forbids, and does not call it lost.
func TestFeaturesUnwanted(t *testing.T) {
	cfg := testConfig("127.0.0.1:0")
	cfg.NoGSO, cfg.NoGRO = true, true
	a := openPlane(t, cfg, quiet).Actual()
	for _, name := range []string{FeatureGSO, FeatureGRO} {
		if f, _ := a.Feature(name); f.Actual || f.Wanted || f.Lost != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if _, ok := a.Feature("none of these"); ok {
		t.Error("a feature that does not exist")
	}
}

// TestPin binds the threads to CPUs, and tells which.
func TestPin(t *testing.T) {
	cfg := testConfig("127.0.0.1:0")
	cfg.NoPin, cfg.Workers = false, 2
	p := startPlane(t, cfg, quiet)
	for _, w := range p.Workers() {
		var set unix.CPUSet
		if err := w.Do(t.Context(), func(Instant) {
			if err := unix.SchedGetaffinity(0, &set); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		cpu := p.Actual().CPUs[w.ID()]
		if cpu < 0 || set.Count() != 1 || !set.IsSet(cpu) {
			t.Errorf("worker %d: CPU %d, runs on %d CPUs", w.ID(), cpu, set.Count())
		}
	}
}
