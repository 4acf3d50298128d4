package zonectl

import (
	"sync"

	"meetzone/mmr"
)

// Bounds of what waits for a slow client.
const (
	maxWaiting      = 2048    // messages
	maxWaitingBytes = 4 << 20 // of them together
)

// latest are the kinds of news of which only the newest is of interest.
type latest int

const (
	latestSlots latest = iota
	latestTransports
	latestSpeaker
	latestCodecs
	latestLayers
	latestRates
	latestQuality // of the monitor, not of the router
	latestDrain   // of Forewarn
	numLatest
)

// kindOf says where an event of the router belongs; false for those that are not for the client.
func kindOf(e mmr.Event) (latest, bool) {
	switch e.(type) {
	case mmr.SlotsChanged:
		return latestSlots, true
	case mmr.TransportsChanged:
		return latestTransports, true
	case mmr.SpeakerChanged:
		return latestSpeaker, true
	case mmr.CodecsWanted:
		return latestCodecs, true
	case mmr.EncodingsWanted:
		return latestLayers, true
	case mmr.RatesWanted:
		return latestRates, true
	}
	return 0, false
}

// outbox is what waits to be written to one WebSocket. Nobody who puts something in has to wait; a client that does not read loses
// its channel, and gets what it missed when it resumes.
type outbox struct {
	wake chan struct{} // has a value when there may be something to take

	mu       sync.Mutex // guards what follows
	waiting  [][]byte
	bytes    int
	news     [numLatest]mmr.Event
	finished bool // nothing is taken in any more
	overflow bool
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// put adds an encoded message.
func (o *outbox) put(data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return
	}
	if len(o.waiting) >= maxWaiting || o.bytes+len(data) > maxWaitingBytes {
		o.finished, o.overflow, o.waiting, o.bytes = true, true, nil, 0
	} else {
		o.waiting = append(o.waiting, data)
		o.bytes += len(data)
	}
	o.ring()
}

// tell keeps the event until it is written or a newer one of its kind comes.
func (o *outbox) tell(kind latest, e mmr.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.finished {
		o.news[kind] = e
		o.ring()
	}
}

// finish adds the last messages; the channel is closed when they are written.
func (o *outbox) finish(last ...[]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.finished {
		o.waiting = append(o.waiting, last...)
		o.finished = true
	}
	o.ring()
}

// batch is what a writer takes at once.
type batch struct {
	messages [][]byte // to be written before the news, which may speak of what is in them
	news     []mmr.Event
	finished bool // there will be no more
	overflow bool // the client was too slow
}

func (o *outbox) take() batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := batch{messages: o.waiting, finished: o.finished, overflow: o.overflow}
	o.waiting, o.bytes = nil, 0
	for kind, e := range o.news {
		if e != nil && !o.finished {
			b.news = append(b.news, e)
		}
		o.news[kind] = nil
	}
	return b
}
