package packet

// Unwrapper widens 16-bit sequence numbers: each is placed within half a cycle of the highest one so far. The zero value is ready. Wide
// numbers start in the second cycle, so what came before the first packet still has a number above zero.
type Unwrapper struct {
	highest uint64
	started bool
}

// Unwrap returns the wide number of seq and remembers it when it is the highest.
func (u *Unwrapper) Unwrap(seq uint16) uint64 {
	wide := u.Near(seq)
	if wide > u.highest {
		u.highest = wide
	}
	u.started = true
	return wide
}

// Near returns the wide number of seq and remembers nothing.
func (u *Unwrapper) Near(seq uint16) uint64 {
	if !u.started {
		return 1<<16 | uint64(seq)
	}
	return Near(u.highest, seq)
}

// Highest returns the highest wide number so far, 0 before the first.
func (u *Unwrapper) Highest() uint64 { return u.highest }

// Near returns the number whose low 16 bits are seq and that is nearest to the wide number around; of two equally near ones the lower.
// It never goes below zero.
func Near(around uint64, seq uint16) uint64 {
	d := int64(int16(seq - uint16(around)))
	if d < 0 && uint64(-d) > around {
		d += 1 << 16
	}
	return around + uint64(d)
}
