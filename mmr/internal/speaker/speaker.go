package speaker

import "time"

// What makes the choice steady.
const (
	Period = 100 * time.Millisecond // between two Updates

	margin        = 6.0 // dB by which a challenger must be louder than one who speaks
	speechPause   = time.Second
	seatMinimum   = 300 * time.Millisecond
	leadMargin    = 3.0 // dB of the long loudness
	leadTime      = 600 * time.Millisecond
	leadInSilence = 200 * time.Millisecond
)

const defaultRanked = 4

// Config says how many voices are ranked.
type Config struct {
	Ranked int // 0 means 4: three are heard, and each of these hears the fourth instead of itself
}

// Detector ranks the voices of one meeting by loudness. T is what the owner wants to get back.
type Detector[T any] struct {
	ranked  int
	voices  []*Voice[T]
	ranking []*Voice[T]

	dominant *Voice[T]
	foremost *Voice[T]
	leader   *Voice[T] // may become dominant
	leads    time.Duration
	next     time.Duration
	changed  bool // by Leave, not yet told by Update
	spoke    bool
}

// New returns a Detector without voices.
func New[T any](c Config) *Detector[T] {
	if c.Ranked <= 0 {
		c.Ranked = defaultRanked
	}
	return &Detector[T]{ranked: c.Ranked, ranking: make([]*Voice[T], 0, c.Ranked)}
}

// Join adds a voice, which is silent until Level or Size says otherwise.
func (d *Detector[T]) Join(owner T, now time.Duration) *Voice[T] {
	v := &Voice[T]{Owner: owner, arrived: now, place: -1}
	d.voices = append(d.voices, v)
	return v
}

// Leave removes a voice at once. The next Update tells that something changed when it was ranked or dominant.
func (d *Detector[T]) Leave(v *Voice[T]) {
	for i, other := range d.voices {
		if other == v {
			last := len(d.voices) - 1
			d.voices[i], d.voices[last] = d.voices[last], nil
			d.voices = d.voices[:last]
			break
		}
	}
	if v.place >= 0 {
		last := len(d.ranking) - 1
		copy(d.ranking[v.place:], d.ranking[v.place+1:])
		d.ranking[last] = nil
		d.ranking = d.ranking[:last]
		d.number()
		v.place, d.changed = -1, true
	}
	if d.leader == v {
		d.leader = nil
	}
	if d.foremost == v {
		d.foremost = nil
	}
	if d.dominant == v {
		d.dominant, d.spoke = nil, true
	}
}

// Update ranks anew when its time has come, and says what changed since it was last called.
func (d *Detector[T]) Update(now time.Duration) (ranking, dominant bool) {
	ranking, dominant = d.changed, d.spoke
	d.changed, d.spoke = false, false
	if now < d.next {
		return ranking, dominant
	}
	d.next = now + Period
	for _, v := range d.voices {
		v.settle(now)
	}
	if d.rank(now) {
		ranking = true
	}
	if d.lead(now) {
		dominant = true
	}
	return ranking, dominant
}

// NextUpdate returns when Update should be called next.
func (d *Detector[T]) NextUpdate() time.Duration { return d.next }

// Ranking returns the ranked voices: those that are heard first, in no order of their own, then the one that stands in. It belongs to the
// Detector and is valid until the next Update or Leave.
func (d *Detector[T]) Ranking() []*Voice[T] { return d.ranking }

// Dominant returns the speaker of the meeting, nil when nobody has spoken or the speaker has left.
func (d *Detector[T]) Dominant() *Voice[T] { return d.dominant }

// Foremost returns the one voice to be heard where there is room for one alone: the speaker's, and while they are silent that of whoever leads,
// without waiting whether they go on. nil when nobody has spoken, or the last one has left.
func (d *Detector[T]) Foremost() *Voice[T] { return d.foremost }

// rank gives free seats to whoever comes, so that in a small meeting no first word is cut and nobody is too soft to be heard. Then it lets the
// loudest voice without a seat take the last one, if it may, and the last one take one of those that are heard.
func (d *Detector[T]) rank(now time.Duration) (changed bool) {
	for len(d.ranking) < d.ranked {
		v := d.loudestWaiting(now)
		if v == nil {
			v = d.anyWaiting()
		}
		if v == nil {
			break
		}
		d.ranking = append(d.ranking, v)
		v.place, v.seated, changed = len(d.ranking)-1, now, true
	}
	if len(d.ranking) < d.ranked {
		return changed
	}
	for range d.ranked {
		v, last := d.loudestWaiting(now), d.ranking[d.ranked-1]
		entered := v != nil && beats(v, last, now)
		if entered {
			last.place, v.place, v.seated = -1, d.ranked-1, now
			d.ranking[d.ranked-1] = v
			changed = true
		}
		if d.ranked == 1 {
			break
		}
		weakest := d.weakestHeard(now)
		last = d.ranking[d.ranked-1]
		if last.activeWithin(0, now) && beats(last, weakest, now) {
			i := weakest.place
			d.ranking[i], d.ranking[d.ranked-1] = last, weakest
			last.place, weakest.place = i, d.ranked-1
			last.seated, weakest.seated = now, now-seatMinimum // standing in can be lost at once
			changed = true
			continue
		}
		if !entered {
			break
		}
	}
	return changed
}

// beats says whether a voice that is active now may take a seat.
func beats[T any](v, holder *Voice[T], now time.Duration) bool {
	if now-holder.seated < seatMinimum {
		return false
	}
	return !holder.activeWithin(speechPause, now) || v.short > holder.short+margin
}

// loudestWaiting returns the loudest active voice without a seat, nil for none.
func (d *Detector[T]) loudestWaiting(now time.Duration) *Voice[T] {
	var best *Voice[T]
	for _, v := range d.voices {
		if v.place < 0 && v.activeWithin(0, now) && (best == nil || v.short > best.short) {
			best = v
		}
	}
	return best
}

// anyWaiting returns a voice without a seat, nil for none.
func (d *Detector[T]) anyWaiting() *Voice[T] {
	for _, v := range d.voices {
		if v.place < 0 {
			return v
		}
	}
	return nil
}

// weakestHeard returns who would first give up a seat among those that are heard: the one silent for longest, or else the softest.
func (d *Detector[T]) weakestHeard(now time.Duration) *Voice[T] {
	weakest := d.ranking[0]
	for _, v := range d.ranking[1 : d.ranked-1] {
		silent, other := !v.activeWithin(speechPause, now), !weakest.activeWithin(speechPause, now)
		switch {
		case silent && other && v.heard < weakest.heard, silent && !other, !silent && !other && v.short < weakest.short:
			weakest = v
		}
	}
	return weakest
}

// number writes each voice's place after one was taken out.
func (d *Detector[T]) number() {
	for i, v := range d.ranking {
		v.place = i
	}
}

// lead finds who leads among the ranked voices and makes it dominant when it has led for long enough.
func (d *Detector[T]) lead(now time.Duration) (changed bool) {
	var best *Voice[T]
	for _, v := range d.ranking {
		if v.activeWithin(0, now) && (best == nil || v.long > best.long) {
			best = v
		}
	}
	holder := d.dominant
	switch {
	case holder != nil && holder.activeWithin(speechPause, now):
		d.foremost = holder
	case best != nil && (d.foremost == nil || !d.foremost.activeWithin(speechPause, now)):
		d.foremost = best
	}
	if best == nil || best == holder || holder != nil && holder.activeWithin(speechPause, now) && best.long <= holder.long+leadMargin {
		d.leader = nil
		return false
	}
	if d.leader != best {
		d.leader, d.leads = best, now
	}
	need := leadTime
	if holder == nil || !holder.activeWithin(speechPause, now) {
		need = leadInSilence
	}
	if now-d.leads < need {
		return false
	}
	d.dominant, d.leader = best, nil
	return true
}
