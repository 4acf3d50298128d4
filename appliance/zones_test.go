package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// zoneKey returns id and public key of a box's zone.
func zoneKey(t *testing.T, d *appliancetest.Daemon) (id, key string) {
	t.Helper()
	var own struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	if err := json.Unmarshal(d.Admin(t, "zone", "show", "--json"), &own); err != nil || own.Key == "" {
		t.Fatalf("zone show: %v", err)
	}
	return own.ID, own.Key
}

// joinTimes joins a few times and returns how long the stages took, media included, from fastest to slowest.
func joinTimes(t *testing.T, lab *appliancetest.Lab, c appliancetest.Client, zone, number string, times int) (all []float64) {
	t.Helper()
	for range times {
		j := joinBy(t, lab, c, "--url", "https://"+c.Box.String(), "--meeting", number, "--for", "10ms")
		if j.Error != nil || j.Zone != zone {
			t.Fatalf("want a join at %s:\n%s", zone, j.all)
		}
		sum := 0.0
		for _, ms := range j.Stages {
			sum += ms
		}
		all = append(all, sum)
	}
	slices.Sort(all)
	return all
}

// TestNetnsThreeZones: of three zones one is down (what is sent to it vanishes), one is 80 ms away and ranks higher; the best is chosen, and hardly later than if
// it were alone. probe tells all of it.
func TestNetnsThreeZones(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 1)
	client := lab.Clients[0]
	box := lab.Start(t)
	away := firewall.Host(t, "slow", nstest.Path{Delay: 40 * time.Millisecond})
	slow := lab.StartOn(t, away)
	id, _ := zoneKey(t, box)
	slowID, slowKey := zoneKey(t, slow)
	firewall.Set(t, "ip daddr 10.86.99.2 drop")
	meeting := box.CreateMeeting(t)

	const rounds = 7
	var alone, three []float64
	for range 2 { // in turns, so that a busy machine is busy for both
		alone = append(alone, joinTimes(t, lab, client, id, meeting.Number, rounds)...)
		box.Admin(t, "zone", "add", "zone-down", "--name", "Down", "--controllers", "https://10.86.99.2")
		box.Admin(t, "zone", "add", slowID, "--name", "Slow", "--controllers", "https://"+away.Addr.String(), "--key", slowKey)
		box.Admin(t, "zone", "add", id, "--name", "Best") // behind the others
		three = append(three, joinTimes(t, lab, client, id, meeting.Number, rounds)...)
		for _, one := range []string{"zone-down", slowID, id} {
			box.Admin(t, "zone", "remove", one)
		}
	}
	slices.Sort(alone)
	slices.Sort(three)
	p50alone, p50three := alone[len(alone)/2], three[len(three)/2]
	t.Logf("join p50: %.1f ms alone, %.1f ms with one zone down and one slow: %.2f×", p50alone, p50three, p50three/p50alone)
	if p50three > 1.2*p50alone && p50three > p50alone+10 { // of a join of a few milliseconds, 10 ms are the machine's own noise
		t.Errorf("the join takes %.1f ms, alone %.1f ms", p50three, p50alone)
	}

	box.Admin(t, "zone", "add", "zone-down", "--controllers", "https://10.86.99.2")
	box.Admin(t, "zone", "add", slowID, "--name", "Slow", "--controllers", "https://"+away.Addr.String(), "--key", slowKey)
	box.Admin(t, "zone", "add", id, "--name", "Best")
	cmd := lab.ZoneClient(t.Context(), client, "probe", "--insecure", "--json", "--url", "https://"+client.Box.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("probe: %v\n%s", err, out)
	}
	var report struct {
		Controllers []struct {
			Zone, Error string
			Picked      bool
			RTTMS       float64 `json:"rtt_ms"`
			UDP         struct {
				State       string
				DSCPArrived int `json:"dscp_arrived"`
			}
			TCP struct{ State string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Controllers) != 3 {
		t.Fatalf("probe: %v\n%s", err, out)
	}
	best, second, down := report.Controllers[0], report.Controllers[1], report.Controllers[2]
	if best.Zone != id || !best.Picked || best.UDP.State != "answers" || best.TCP.State != "answers" || best.UDP.DSCPArrived != 46 {
		t.Errorf("best is %+v", best)
	}
	if second.Zone != slowID || second.RTTMS < 80 || second.UDP.State != "answers" {
		t.Errorf("second is %+v", second)
	}
	// Nobody is at that address: the router says so once it has asked for it in vain, which takes it longer than a probe, unless it has just done so.
	if down.Zone != "zone-down" || !strings.Contains(down.Error, "silent") && !strings.Contains(down.Error, "no route") {
		t.Errorf("third is %+v", down)
	}
	// What UDP does not answer is told, and a meeting that another zone has is found there.
	firewall.Set(t, appliancetest.UDPRejected)
	elsewhere := slow.CreateMeeting(t)
	slow.Admin(t, "zone", "add", id, "--name", "Best", "--controllers", "https://"+client.Box.String(), "--key", mustKey(t, box), "--first")
	j := joinBy(t, lab, client, "--url", "https://"+away.Addr.String(), "--meeting", elsewhere.Number)
	if j.Error != nil || j.Zone != slowID {
		t.Errorf("a meeting of the slow zone:\n%s", j.all)
	}
}

func mustKey(t *testing.T, d *appliancetest.Daemon) string {
	_, key := zoneKey(t, d)
	return key
}

// TestNetnsMeetingOfAnotherZone: a link of a meeting of zone A that is opened at zone B, which is nearer, ends in the meeting of A, for zoneclient with the passcode and for a
// browser. B alone is told of the number, and neither takes the word of one that it does not know.
func TestNetnsMeetingOfAnotherZone(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	client := lab.Clients[0]
	a := lab.Start(t)
	host := firewall.Host(t, "b")
	b := lab.StartOn(t, host)
	aID, aKey := zoneKey(t, a)
	bID, bKey := zoneKey(t, b)
	atA, atB := "https://"+client.Box.String(), "https://"+host.Addr.String()
	secret, open := a.CreateMeeting(t, "--passcode", "1234"), a.CreateMeeting(t)
	b.Admin(t, "zone", "add", aID, "--name", "Alpha", "--controllers", atA, "--key", aKey)

	j := joinBy(t, lab, client, "--url", atB, "--meeting", a.CreateMeeting(t).Number)
	if j.Error == nil || !strings.Contains(j.all, "no such meeting") {
		t.Fatalf("A does not know B, and yet:\n%s", j.all)
	}
	a.Admin(t, "zone", "add", bID, "--name", "Beta", "--controllers", atB, "--key", bKey, "--first")
	stays(t, lab, lab.Clients[1], open.Number)
	j = joinBy(t, lab, client, "--url", atB, "--meeting", secret.Number, "--passcode", "1234")
	if j.Error != nil || j.Zone != aID {
		t.Errorf("with the passcode, by B:\n%s", j.all)
	}
	if j = joinBy(t, lab, client, "--url", atB, "--meeting", secret.Number, "--passcode", "4321"); j.Error == nil || !strings.Contains(j.all, "passcode is not right") {
		t.Errorf("with a wrong passcode, by B:\n%s", j.all)
	}
	browser := appliancetest.Chromium(t, client.NS)
	if err := browser.Open(atB + "/j/" + open.Number); err != nil {
		t.Fatal(err)
	}
	appliancetest.Until(t, browser, "the form", "document.querySelector('input[autocomplete=name]')", "document.body.innerText", 20*time.Second)
	enter(t, browser, "Ada")
	appliancetest.Until(t, browser, "Bob, who is in the meeting of A", "document.body.innerText.includes('Bob')", "document.body.innerText", 20*time.Second)
}
