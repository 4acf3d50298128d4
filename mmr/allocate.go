package mmr

import (
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/alloc"
)

// Which layer is sent into each slot. Where a receiver's bandwidth is unknown, the least that is as large as was asked for; where it is
// known, package alloc divides it: speech is set aside, then comes content, then the pictures by priority, and equals get the same. It is
// done when slots change, and every allocateEvery while the bandwidth is known.

const (
	allocateEvery = dataplane.Instant(200 * time.Millisecond)
	// speechRate is set aside for each voice: Opus at its best and the headers of 50 packets a second.
	speechRate = 64_000
	// redundantRate is set aside for each voice with redundancy, and terseBelow is for how many bit/s of its path for each voice a receiver that loses
	// nothing is sent none.
	redundantRate = 104_000
	terseBelow    = 600_000
	terseLoss     = 0.005
	// overhead is what headers below RTP add to pictures, as one part in so many.
	overhead = 24

	// A slot that was cut does not grow for holdAtLeast; when it had just grown before, twice as long as the last time, up to holdAtMost.
	holdAtLeast = dataplane.Instant(time.Second)
	holdAtMost  = dataplane.Instant(16 * time.Second)
	justGrown   = dataplane.Instant(5 * time.Second)

	// mostWished is the most that one slot counts for in what could be sent: just after an encoding has begun, little of it has been measured.
	mostWished = 8_000_000

	// startPatience is how long an encoding that is asked for may take to come before the smaller one in its place is reckoned with.
	startPatience = dataplane.Instant(2 * time.Second)
)

// allocation is what dividing needs, one for the whole shard.
type allocation struct {
	wishes  [MaxVideoSlots + ContentSlots]alloc.Wish
	tracks  [MaxVideoSlots + ContentSlots]*downTrack
	options [MaxVideoSlots + ContentSlots][maxLayers]alloc.Option
	layers  [MaxVideoSlots + ContentSlots][maxLayers]Layer
	infos   [maxLayers]layerInfo
	n       int
	most    uint64 // what all wishes together come to, in bit/s
}

// share is what a slot has of its receiver's bandwidth.
type share struct {
	layer  Layer
	room   uint64            // what is left for the layer, in bit/s of RTP, where it is less than all of it; 0 it is not
	none   bool              // nothing at all
	grown  dataplane.Instant // when it last grew
	held   dataplane.Instant // until when it must not
	hold   dataplane.Instant // how long that was the last time
	priced dataplane.Instant // since when the encoding is reckoned with although it does not come, 0 when it comes
}

// allocate divides the endpoint's bandwidth among its slots of pictures.
func (e *endpoint) allocate(now dataplane.Instant) {
	available := e.budget.available()
	e.allocated, e.wished = available, 0
	speech := e.speech(available)
	a := e.sh.allocation()
	a.n, a.most = 0, 0
	for m := Content; m >= Video; m-- {
		for i, d := range e.slots[m] {
			if d.pub != nil {
				a.add(now, d, e.viewOf(m, i))
			}
		}
	}
	if a.n == 0 {
		return
	}
	wishes := a.wishes[:a.n]
	if a.most > 0 {
		e.wished = speech + a.most
	}
	if available == 0 {
		for i := range wishes {
			wishes[i].Choice = len(wishes[i].Options) - 1
		}
	} else {
		alloc.Divide(available-min(available, speech), wishes)
	}
	for i := range wishes {
		a.grant(now, i, available == 0)
	}
}

// speech is what is set aside for the audio slots that are filled. Where pictures would have to pay for it and nothing is lost, speech goes without
// redundancy.
func (e *endpoint) speech(available uint64) (rate uint64) {
	voices := uint64(0)
	for _, d := range e.slots[Audio] {
		switch {
		case d.pub == nil:
			continue
		case d.redundancy && !e.terse:
			rate += redundantRate
		default:
			rate += speechRate
		}
		voices++
	}
	e.terse = available > 0 && available < voices*terseBelow && e.budget.estimator.Stats().Loss < terseLoss
	return rate
}

// viewOf returns what the client asked for in a slot; content is wanted whole.
func (e *endpoint) viewOf(m Medium, slot int) View {
	if m == Video {
		for _, v := range e.views {
			if v.Slot == slot {
				return v
			}
		}
	}
	return View{Slot: slot}
}

// add makes the wish of one slot.
func (a *allocation) add(now dataplane.Instant, d *downTrack, v View) {
	i := a.n
	a.n++
	infos := wanted(d.pub.layers(a.infos[:0]), v.Height)
	if len(infos) == 0 {
		a.n--
		return // it has ended; the slot is about to be emptied
	}
	options, layers := a.options[i][:0], a.layers[i][:0]
	w := alloc.Wish{Priority: v.Priority, Now: alloc.Nothing}
	if d.medium == Video {
		w.Class = 1
	} else {
		w.Must = true // a screen that moves in jerks can still be read
	}
	d.share.notePrice(now, d)
	var whole *layerInfo // of the encoding
	var least, most uint64
	for j := range infos {
		info := &infos[j]
		if j == 0 || infos[j-1].Encoding != info.Encoding {
			whole = wholeOf(infos[j:])
			least, most = d.priced(whole)
		}
		if least < most && info != whole {
			continue // all of it can be had for as much
		}
		o := alloc.Option{Cost: gross(info.of(whole, least)), Most: gross(info.of(whole, most)), Value: info.value(infos[len(infos)-1].Height)}
		if !info.Active && info.Encoding == d.share.layer.Encoding && d.share.overdue(now) {
			o.Cost = 0 // of the one below, see keepRising
		}
		options, layers = keepRising(options, layers, o, info.Layer)
		if !d.share.none && !d.share.layer.less(info.Layer) {
			w.Now = len(options) - 1
		}
	}
	if d.out != nil && d.accepted {
		a.most += min(options[len(options)-1].Most, mostWished)
	}
	if now < d.share.held {
		options = options[:max(w.Now+1, 1)]
		if w.Now == alloc.Nothing {
			options[0].Cost = 1 << 62 // must not come back yet
		}
	}
	w.Options = options
	a.wishes[i], a.tracks[i] = w, d
}

// wholeOf returns the last layer of the encoding that the list begins with.
func wholeOf(infos []layerInfo) *layerInfo {
	i := 0
	for i+1 < len(infos) && infos[i+1].Encoding == infos[0].Encoding {
		i++
	}
	return &infos[i]
}

// of returns what a layer takes of a rate that the whole of its encoding takes.
func (info *layerInfo) of(whole *layerInfo, rate uint64) uint64 {
	if info == whole || whole.Bitrate == 0 {
		return rate
	}
	return info.Bitrate * rate / whole.Bitrate
}

// gross adds headers to a rate.
func gross(rate uint64) uint64 { return rate + rate/overhead }

// bare takes them off.
func bare(rate uint64) uint64 { return rate - rate/(overhead+1) }

// wanted cuts the layers above those that are large enough, and those in between that nobody would want to see: a larger picture that
// moves in jerks is worse than a smaller one that does not.
func wanted(infos []layerInfo, height int) []layerInfo {
	kept := infos[:0]
	for i, info := range infos {
		last := i+1 == len(infos) || infos[i+1].Height != info.Height || infos[i+1].Encoding != info.Encoding
		if jerky := info.Encoding > 0 && info.Temporal == 0 && !last; jerky {
			continue
		}
		kept = append(kept, info)
		if last && largeEnough(info.Height, height) {
			break
		}
	}
	return kept
}

// keepRising adds an option. One that costs no more than the one before it takes its place.
func keepRising(options []alloc.Option, layers []Layer, o alloc.Option, l Layer) ([]alloc.Option, []Layer) {
	if n := len(options); n > 0 && o.Cost <= options[n-1].Cost {
		o.Cost = options[n-1].Cost
		o.Most = max(o.Most, o.Cost)
		options[n-1], layers[n-1] = o, l
		return options, layers
	}
	return append(options, o), append(layers, l)
}

// value is how much a layer is of a picture of a height, in thousandths: three of four parts for its size, the rest for its motion.
func (info *layerInfo) value(whole int) uint32 {
	size := 750
	if whole > 0 && info.Height < whole {
		size = 750 * info.Height / whole
	}
	return uint32(size + 250*(int(info.Temporal)+1)/maxTemporal)
}

// grant has sent into a slot what was divided, or all that is asked for.
func (a *allocation) grant(now dataplane.Instant, i int, unlimited bool) {
	w, d := &a.wishes[i], a.tracks[i]
	d.share.note(now, w)
	if w.Choice == alloc.Nothing {
		d.share.none = true
		d.starve(now, true)
		return
	}
	d.share.none, d.share.layer, d.share.room = false, a.layers[i][w.Choice], bare(w.Room)
	if o := &w.Options[w.Choice]; unlimited || o.Cost == o.Most || w.Room >= o.Most {
		d.share.room = 0
	}
	d.aim(now, d.share.layer)
	d.starve(now, false)
}

// note remembers growing and being cut.
func (s *share) note(now dataplane.Instant, w *alloc.Wish) {
	switch {
	case w.Choice > w.Now:
		s.grown = now
	case w.Choice < w.Now:
		if now-s.grown < justGrown && s.grown > 0 {
			s.hold = min(2*max(s.hold, holdAtLeast/2), holdAtMost)
		} else {
			s.hold = holdAtLeast
		}
		s.held = now + s.hold
	}
}

// notePrice remembers since when the slot's encoding is asked for and does not come.
func (s *share) notePrice(now dataplane.Instant, d *downTrack) {
	source := d.pub.encodings[d.pub.top(s.layer.Encoding)]
	switch {
	case source == nil || source.live:
		s.priced = 0
	case s.priced == 0:
		s.priced = now
	}
}

// overdue tells whether the encoding does not come although it has been asked for long enough: its sender cannot, or may not, send it.
func (s *share) overdue(now dataplane.Instant) bool {
	return s.priced > 0 && now-s.priced > startPatience
}

// allocation returns the shard's scratch for dividing, which only receivers with a known bandwidth or pictures need.
func (sh *shard) allocation() *allocation {
	if sh.divider == nil {
		sh.divider = new(allocation)
	}
	return sh.divider
}

// reallocate divides again when it is time, or the bandwidth has become known.
func (e *endpoint) reallocate(now dataplane.Instant) {
	available, known := e.budget.available(), e.allocated != 0
	if available == 0 && !known || now < e.nextAllocation && (available == 0 || known) {
		return
	}
	e.nextAllocation = now + allocateEvery
	e.allocate(now)
}
