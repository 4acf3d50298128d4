package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meetzone/appliance/adminapi"
)

// drainNotes writes down what a drain asks of the zone, and when.
type drainNotes struct {
	drainZone
	began time.Time
	notes []string
}

func (n *drainNotes) note(what string) {
	n.notes = append(n.notes, fmt.Sprintf("%v %s", time.Since(n.began), what))
}

func (n *drainNotes) Forewarn(reason string, at time.Time) {
	if at.IsZero() {
		n.note("off")
	} else {
		n.note(fmt.Sprintf("%s in %v", reason, time.Until(at)))
	}
}

func (n *drainNotes) SendAway() { n.note("away") }

// TestDrainForewarns: at the change, 10, 5 and 1 minutes ahead, and when it is called off; at the deadline people are sent away.
func TestDrainForewarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := &drainNotes{began: time.Now()}
		d := &drainer{zone: zone, changed: make(chan struct{}, 1)}
		set := func(reason string, deadline time.Duration) {
			d.mu.Lock()
			d.now = nil
			if deadline > 0 {
				d.now = &drainRecord{Reason: reason, Since: time.Now(), Until: time.Now().Add(deadline)}
			}
			d.mu.Unlock()
			d.changed <- struct{}{}
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.runDrain(ctx) }()
		synctest.Wait()
		set("cables", 2*time.Hour)
		time.Sleep(time.Hour)
		set("more cables", 7*time.Minute) // changed
		time.Sleep(3 * time.Minute)
		set("", 0)
		time.Sleep(time.Hour)
		set("again", 11*time.Minute)
		time.Sleep(11*time.Minute + 1500*time.Millisecond)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []string{"0s off", "0s cables in 2h0m0s", "1h0m0s more cables in 7m0s", "1h2m0s more cables in 5m0s", "1h3m0s off",
			"2h3m0s again in 11m0s", "2h4m0s again in 10m0s", "2h9m0s again in 5m0s", "2h13m0s again in 1m0s", "2h14m0s away", "2h14m1s away"}
		if !slices.Equal(zone.notes, want) {
			t.Errorf("the zone was asked for\n%s\nwant\n%s", strings.Join(zone.notes, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestPrintDrainingAlone: whoever drains the only box is told that nothing takes over.
func TestPrintDrainingAlone(t *testing.T) {
	for _, alone := range []bool{true, false} {
		var out strings.Builder
		printDraining(&out, adminapi.Draining{On: true, Reason: "cables", Since: time.Now(), Alone: alone})
		if strings.Contains(out.String(), "No other member could take over: this zone is one box.") != alone {
			t.Errorf("alone %v:\n%s", alone, out.String())
		}
	}
}
