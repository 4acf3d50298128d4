package zonectl

import (
	"net/netip"
	"sync"
	"time"
)

// maxCounted bounds what a tally remembers. When it is full, the entry that would be forgotten first makes room: who floods it from
// many addresses to forget one meeting's count has to make as many attempts from addresses that are each blocked after a few.
const maxCounted = 1 << 16

// tally counts events per key within a time, and blocks keys that have had too many.
type tally struct {
	limit         int
	within, block time.Duration

	entries map[string]*counted
	oldest  *counted // by the start of their time; a ring
}

// counted is one key's count, linked in the order in which counting began.
type counted struct {
	key        string
	count      int
	began      time.Time
	blocked    time.Time // until; zero: not
	prev, next *counted
}

func newTally(limit int, within, block time.Duration) *tally {
	return &tally{limit: limit, within: within, block: block, entries: map[string]*counted{}}
}

// blockedFor returns how long the key stays blocked, 0 when it is not.
func (t *tally) blockedFor(key string, now time.Time) time.Duration {
	if e := t.entries[key]; e != nil && e.blocked.After(now) {
		return e.blocked.Sub(now)
	}
	return 0
}

// add counts an event, and blocks the key when it was one too many.
func (t *tally) add(key string, now time.Time) {
	e := t.entries[key]
	if e != nil && now.Sub(e.began) >= t.within && !e.blocked.After(now) {
		t.remove(e)
		e = nil
	}
	if e == nil {
		t.prune(now)
		if len(t.entries) >= maxCounted {
			t.remove(t.oldest)
		}
		e = &counted{key: key, began: now}
		t.append(e)
	}
	if e.count++; e.count >= t.limit && !e.blocked.After(now) {
		e.blocked = now.Add(t.block)
	}
}

// prune forgets what is over. Entries are in the order of their beginning, so it stops at the first that is not.
func (t *tally) prune(now time.Time) {
	for t.oldest != nil && now.Sub(t.oldest.began) >= t.within && !t.oldest.blocked.After(now) {
		t.remove(t.oldest)
	}
}

func (t *tally) append(e *counted) {
	t.entries[e.key] = e
	if t.oldest == nil {
		e.prev, e.next, t.oldest = e, e, e
		return
	}
	last := t.oldest.prev
	e.prev, e.next = last, t.oldest
	last.next, t.oldest.prev = e, e
}

func (t *tally) remove(e *counted) {
	delete(t.entries, e.key)
	if e.next == e {
		t.oldest = nil
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	if t.oldest == e {
		t.oldest = e.next
	}
}

// guesses limits wrong attempts per source and per meeting. Numbers that do not exist are counted like those that do.
type guesses struct {
	mu       sync.Mutex // guards the tallies
	sources  *tally
	meetings *tally
	unsures  *tally // by source: attempts that may have been right in another zone
}

// unsureFactor is how many attempts that may have been right elsewhere count as much as a wrong one.
const unsureFactor = 5

func newGuesses(l GuessLimits) *guesses {
	return &guesses{sources: newTally(l.Attempts, l.Within, l.Block), meetings: newTally(l.Attempts, l.Within, l.Block),
		unsures: newTally(unsureFactor*l.Attempts, l.Within, l.Block)}
}

// set changes the limits; counts stay.
func (g *guesses) set(l GuessLimits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.all() {
		t.limit, t.within, t.block = l.Attempts, l.Within, l.Block
	}
	g.unsures.limit *= unsureFactor
}

// blockedFor returns how long attempts of the source at the meeting are refused, whatever they show.
func (g *guesses) blockedFor(source, meeting string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	return max(g.sources.blockedFor(source, now), g.unsures.blockedFor(source, now), g.meetings.blockedFor(meeting, now))
}

func (g *guesses) all() []*tally { return []*tally{g.sources, g.meetings, g.unsures} }

// wrong counts a wrong attempt.
func (g *guesses) wrong(source, meeting string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.sources.add(source, now)
	if meeting != "" {
		g.meetings.add(meeting, now)
	}
}

// unsure counts an attempt that may have been right in another zone: at the meeting only when that is here, where it was wrong.
func (g *guesses) unsure(source, meeting string, here bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.unsures.add(source, now)
	if here {
		g.meetings.add(meeting, now)
	}
}

// prune forgets what is over.
func (g *guesses) prune() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, t := range g.all() {
		t.prune(now)
	}
}

// allowance lets each source do something a number of times within an hour.
type allowance struct {
	mu sync.Mutex // guards the tally
	t  *tally
}

func newAllowance(limit int) *allowance { return &allowance{t: newTally(limit, time.Hour, time.Hour)} }

// take counts one and returns 0, or how long the source has to wait.
func (a *allowance) take(source string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if wait := a.t.blockedFor(source, now); wait > 0 {
		return wait
	}
	a.t.add(source, now)
	return 0
}

func (a *allowance) set(limit int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.t.limit = limit
}

// sourceOf is what attempts are counted by: the address, of IPv6 the /64, since a host may use all of it.
func sourceOf(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}
