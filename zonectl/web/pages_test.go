package web_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"meetzone/zonectl/wire"
)

// asked returns what a browser asks for at present, by slot.
func asked(z *zone, name string) map[int]wire.View {
	views := map[int]wire.View{}
	for _, message := range heard[wire.SetViews](z, name) {
		for _, v := range message.Views {
			views[v.Slot] = v
		}
	}
	return views
}

// seen returns the participants of whom a browser asks for pictures, sorted.
func seen(z *zone, name string) []string {
	var list []string
	for _, v := range asked(z, name) {
		if v.Participant != "-" {
			list = append(list, v.Participant)
		}
	}
	slices.Sort(list)
	return list
}

// heights returns the heights that a browser asks for, each once, sorted.
func heights(z *zone, name string) []int {
	set := map[int]bool{}
	for _, v := range asked(z, name) {
		if v.Participant != "-" {
			set[v.Height] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func crowd(n int) (people []wire.Participant) {
	first := []string{"Ada", "Grace", "Alan", "Radia", "Edsger", "Barbara", "Donald", "Frances", "Vint", "Karen"}
	last := []string{"Lovelace", "Hopper", "Turing", "Perlman", "Dijkstra", "Liskov", "Knuth", "Allen"}
	for i := range n {
		name := first[i%len(first)] + " " + last[(i+i/len(first))%len(last)]
		if i%9 == 4 {
			name = []string{"김민수", "이서연", "박지훈", "최유진"}[i/9%4]
		}
		people = append(people, wire.Participant{ID: fmt.Sprintf("x%02d", i), Name: name, Role: wire.RoleParticipant,
			Audio: i%3 == 0, Video: true})
	}
	return people
}

// TestBrowserPages follows what a browser asks for: 49 tiles on a page, the next page, a pinned person, a smaller window, a window that nobody
// sees, a panel that covers everything. It asks for what it shows and for nothing else.
func TestBrowserPages(t *testing.T) {
	z := newZone(t)
	b := openBrowser(t, devices())
	p := b.person(z.url+"/j/"+meetingNumber, 1920, 1080, "dark")
	p.wait("document.querySelector('.preview video')?.videoWidth > 0")
	p.join("Mina")
	people := crowd(60)
	z.invent(people[:48]...)
	p.wait("document.querySelectorAll('.tile').length === 49 && document.querySelector('.pager').hidden")
	eventually(t, func() bool { return len(seen(z, "Mina")) == 48 })
	tile := eval[int](p, "document.querySelector('.tile').clientHeight")
	if got := heights(z, "Mina"); len(got) != 1 || got[0] < tile*9/10 || got[0] > 2*tile {
		t.Errorf("tiles of %d pixels ask for heights %v", tile, got)
	}
	z.say(wire.Speaker{Participant: "x05"})
	p.wait("document.querySelector('.tile.speaking')")
	p.accessible("tiles-49-dark")

	// A slot that the box has paused says so in words.
	z.say(wire.Slots{Slots: []wire.Slot{{Mid: "video0", Medium: wire.Video, Participant: "x07", Paused: true}}})
	p.sees("Picture paused")
	if eval[bool](p, "[...document.querySelectorAll('.tile.paused video, .tile.paused .still')].some((e) => e.checkVisibility())") {
		t.Error("a paused picture is still to be seen")
	}
	p.accessible("paused-dark")

	// What the box judges as bad is said at the button.
	z.say(wire.Quality{Media: []wire.MediumQuality{{Medium: wire.Audio, Down: &wire.FlowQuality{Score: 1.4, RTTMS: 900}}}})
	p.wait("document.querySelector('.tool.poor')?.innerText.includes('Weak connection')")
	p.accessible("weak-dark")
	z.say(wire.Quality{Media: []wire.MediumQuality{{Medium: wire.Audio, Down: &wire.FlowQuality{Score: 4.4}}}})
	p.wait("!document.querySelector('.tool.poor')")

	// Before everybody is sent away, a strip says when and why, and a screen reader is told once; it is no dialog, and goes when it is called off.
	z.say(wire.Drain{On: true, Reason: "New cables in room 4", LeftS: 600})
	p.wait("/^In 10 minutes, at .*New cables in room 4$/.test(document.querySelector('.drain-text').innerText)")
	p.wait("document.querySelector('.drain [role=status]').textContent.includes('New cables') && !document.querySelector('dialog[open]')")
	p.accessible("forewarned-dark")
	z.say(wire.Drain{On: true, Reason: "New cables in room 4", LeftS: 60})
	p.wait("/^In 1 minute,/.test(document.querySelector('.drain-text').innerText) && /^In 1 minute,/.test(document.querySelector('.drain [role=status]').textContent)")
	z.say(wire.Drain{})
	p.wait("document.querySelector('.drain [role=status]').textContent.includes('can go on')")
	p.wait("!document.querySelector('.drain-text').checkVisibility() && document.querySelector('.drain').clientHeight === 0")

	// The next page: those of the first are given back.
	z.invent(people[48:]...)
	p.sees("1 of 2")
	p.press("]", "BracketRight")
	p.sees("2 of 2")
	p.wait("document.querySelectorAll('.tile').length === 13")
	eventually(t, func() bool { s := seen(z, "Mina"); return len(s) == 12 && s[0] == "x48" })
	p.press("PageUp", "PageUp")
	p.sees("1 of 2")
	eventually(t, func() bool { s := seen(z, "Mina"); return len(s) == 48 && s[0] == "x00" })

	// Keyboard alone: one stop of the Tab key, arrows from tile to tile, Enter pins, F lets go again.
	p.tabTo("document.activeElement.matches('.tile-pin')")
	p.keys(kb.ArrowRight)
	p.wait("document.activeElement.getAttribute('aria-label') === 'Show Grace Hopper large'")
	p.accessible("tiles-keyboard")
	p.keys(kb.Enter)
	p.wait("document.querySelector('.tile.main [aria-pressed=true]')")
	large := func(id string) bool {
		for _, v := range asked(z, "Mina") {
			if v.Participant == id {
				return v.Height == 1080 && v.Priority == 2
			}
		}
		return false
	}
	eventually(t, func() bool { return large("x01") })
	p.accessible("pinned-dark")
	p.press("f", "KeyF")
	p.wait("!document.querySelector('.tile.main')")
	eval[int](p, "document.activeElement.blur(), 0")
	p.press("f", "KeyF") // whoever spoke last, since no tile has the focus
	eventually(t, func() bool { return large("x05") })
	p.press("f", "KeyF")
	eventually(t, func() bool { return len(seen(z, "Mina")) == 48 })

	// A window that is dragged asks when it has come to rest, and for what then fits.
	before := len(heard[wire.SetViews](z, "Mina"))
	for width := int64(1900); width >= 1000; width -= 50 {
		p.look(width, 700, "dark")
	}
	columns := "document.querySelectorAll('.tile').length"
	p.wait(columns + " < 40")
	eventually(t, func() bool { return len(seen(z, "Mina")) == eval[int](p, columns)-1 })
	if n := len(heard[wire.SetViews](z, "Mina")) - before; n > 6 {
		t.Errorf("19 sizes of the window made the browser ask %d times", n)
	}

	// Twice the pixels, higher pictures.
	p.density(980, 700, 2)
	eventually(t, func() bool { h := heights(z, "Mina"); return len(h) == 1 && h[0] >= 2*90 })

	// A window that nobody sees.
	hide := "Object.defineProperty(document, 'hidden', { configurable: true, value: %v }); document.dispatchEvent(new Event('visibilitychange')); 0"
	eval[int](p, fmt.Sprintf(hide, true))
	eventually(t, func() bool { return len(seen(z, "Mina")) == 0 })
	eval[int](p, fmt.Sprintf(hide, false))
	eventually(t, func() bool { return len(seen(z, "Mina")) > 20 })

	// On a telephone a panel covers everything.
	p.look(360, 740, "light")
	eventually(t, func() bool { return len(seen(z, "Mina")) == eval[int](p, columns)-1 })
	p.accessible("tiles-360-light")
	p.press("c", "KeyC")
	eventually(t, func() bool { return len(seen(z, "Mina")) == 0 })
	p.keys(kb.Escape)
	eventually(t, func() bool { return len(seen(z, "Mina")) > 5 })
	p.wait("document.querySelector('.tile')")
	if text := eval[string](p, "[...document.querySelectorAll('.tile-pin')].filter((b) => b.tabIndex === 0).length.toString()"); strings.TrimSpace(text) != "1" {
		t.Errorf("the Tab key stops %s times at the tiles", text)
	}
}
