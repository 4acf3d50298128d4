package mmr

import "meetzone/mmr/internal/codec"

// structures is what the dependency descriptors of a source refer to: the newest structure and the one before, which packets need that come late,
// that waited, or that are sent again. They say nothing before the first.
type structures struct {
	newest, before     codec.Structure
	since, beforeSince uint64 // packets that brought them
	activeSince        uint64 // packet that said which layers of the newest are active
	known, hasBefore   bool
}

// at returns the structure that holds for a packet.
func (t *structures) at(seq uint64) *codec.Structure {
	if seq < t.since && t.hasBefore {
		return &t.before
	}
	return &t.newest
}

// parse reads the descriptor of a packet. With learn, what it says of those behind it is kept.
func (t *structures) parse(seq uint64, value []byte, learn bool) (codec.Dependency, error) {
	current := t.at(seq)
	if !codec.Teaches(value) {
		return codec.ParseDependency(value, current)
	}
	then := *current
	d, err := codec.ParseDependency(value, &then)
	if err == nil && learn {
		t.learn(seq, &then)
	}
	return d, err
}

// learn takes what a packet brought. A structure that is repeated changes which layers are active at most, and so does a mask alone.
func (t *structures) learn(seq uint64, fresh *codec.Structure) {
	switch {
	case !t.known:
		t.newest, t.since, t.activeSince, t.known = *fresh, seq, seq, true
	case seq < t.since && fresh.Same(&t.newest):
		if !t.hasBefore || seq > t.beforeSince {
			t.since = seq // it was lost and came again
		}
	case seq < t.since:
		if !t.hasBefore || seq > t.beforeSince {
			t.before, t.beforeSince, t.hasBefore = *fresh, seq, true
		}
	case fresh.Same(&t.newest):
		if seq >= t.activeSince {
			t.newest, t.activeSince = *fresh, seq
		}
	default:
		t.before, t.beforeSince, t.hasBefore = t.newest, t.since, true
		t.newest, t.since, t.activeSince = *fresh, seq, seq
	}
}
