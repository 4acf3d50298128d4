package alloc

// Nothing is the choice, and what a wish has now, when not even its least option is sent.
const Nothing = -1

// spare is by what part more a raise must fit: one in so many.
const spare = 8

// Option is something that a wish can be granted.
type Option struct {
	Cost  uint64 // bit/s, at least
	Most  uint64 // what it costs when there is enough, no less than Cost: its sender follows what it is given
	Value uint32 // how much of what was wished for that is; wishes of the same importance are kept equal in it
}

// Wish is what one slot asks for.
type Wish struct {
	Class    int      // lower ones are served before higher ones get anything
	Priority int      // within the class, higher is more important
	Options  []Option // at least one, from the least to the most
	Must     bool     // its least option is granted even where it does not fit
	Now      int      // the option that it has, or Nothing
	Choice   int      // is written by Divide
	Room     uint64   // is written by Divide: what the choice may cost, from Cost to Most
}

// cost is what an option is reckoned at: more when the wish would have to be raised to it.
func (w *Wish) cost(option int) uint64 {
	if option < 0 {
		return 0
	}
	c := w.Options[option].Cost
	if option > w.Now {
		c += c / spare
	}
	return c
}

// raise is what one more step costs.
func (w *Wish) raise() uint64 {
	before, after := w.cost(w.Choice), w.cost(w.Choice+1)
	return max(after, before) - before
}

// value is how much of what it wished for the wish has.
func (w *Wish) value() uint32 {
	if w.Choice < 0 {
		return 0
	}
	return w.Options[w.Choice].Value
}

// Divide grants each wish an option so that all together cost at most what is available, in bit/s, unless they must be
// granted. It returns what is left.
func Divide(available uint64, wishes []Wish) (left uint64) {
	for i := range wishes {
		wishes[i].Choice, wishes[i].Room = Nothing, 0
	}
	for class, ok := lowest(wishes); ok; class, ok = above(wishes, class) {
		granted := available
		available = grantLeast(available, wishes, class)
		raiseAll(available, wishes, class)
		available = stretchAll(granted, wishes, class)
	}
	return available
}

func lowest(wishes []Wish) (class int, ok bool) {
	for i := range wishes {
		if c := wishes[i].Class; !ok || c < class {
			class, ok = c, true
		}
	}
	return class, ok
}

// above returns the next class above one.
func above(wishes []Wish, class int) (next int, ok bool) {
	for i := range wishes {
		if c := wishes[i].Class; c > class && (!ok || c < next) {
			next, ok = c, true
		}
	}
	return next, ok
}

// grantLeast gives every wish of a class its least option, the important ones first, as far as they fit.
func grantLeast(available uint64, wishes []Wish, class int) uint64 {
	for {
		best := -1
		for i := range wishes {
			w := &wishes[i]
			if w.Class != class || w.Choice != Nothing || len(w.Options) == 0 || w.raise() > available && !w.Must {
				continue
			}
			if best < 0 || w.Priority > wishes[best].Priority {
				best = i
			}
		}
		if best < 0 {
			return available
		}
		available -= min(available, wishes[best].raise())
		wishes[best].Choice = 0
	}
}

// raiseAll spends the rest on the wishes of a class that have their least option.
func raiseAll(available uint64, wishes []Wish, class int) {
	for {
		best := -1
		for i := range wishes {
			w := &wishes[i]
			if w.Class != class || w.Choice < 0 || w.Choice+1 >= len(w.Options) || w.raise() > available {
				continue
			}
			if best < 0 || w.before(&wishes[best]) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		available -= wishes[best].raise()
		wishes[best].Choice++
	}
}

// stretchAll gives the choices of a class what they cost, and what is left of what the class was given: the important ones first, equals the
// same, as far as each can use it.
func stretchAll(available uint64, wishes []Wish, class int) uint64 {
	for i := range wishes {
		if w := &wishes[i]; w.Class == class && w.Choice >= 0 {
			w.Room = w.Options[w.Choice].Cost
			available -= min(available, w.Room)
		}
	}
	for available > 0 {
		priority, n := 0, uint64(0)
		for i := range wishes {
			w := &wishes[i]
			if w.Class != class || !w.stretches() {
				continue
			}
			if n == 0 || w.Priority > priority {
				priority, n = w.Priority, 0
			}
			if w.Priority == priority {
				n++
			}
		}
		if n == 0 {
			break
		}
		available = stretch(available, wishes, class, priority, max(available/n, 1))
	}
	return available
}

// stretches tells whether the wish can use more than it has.
func (w *Wish) stretches() bool { return w.Choice >= 0 && w.Room < w.Options[w.Choice].Most }

// stretch gives each wish of a priority as much as it can use of a part.
func stretch(available uint64, wishes []Wish, class, priority int, part uint64) uint64 {
	for i := range wishes {
		w := &wishes[i]
		if w.Class != class || w.Priority != priority || !w.stretches() {
			continue
		}
		more := min(part, w.Options[w.Choice].Most-w.Room, available)
		w.Room += more
		available -= more
	}
	return available
}

// before tells whether a wish is to be raised sooner than another.
func (w *Wish) before(other *Wish) bool {
	if w.Priority != other.Priority {
		return w.Priority > other.Priority
	}
	return w.value() < other.value()
}
