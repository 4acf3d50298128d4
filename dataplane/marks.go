package dataplane

import "meetzone/dscp"

// markTable is the marks in the form the packet path needs. It is never changed, only replaced.
type markTable struct {
	tos   [dscp.NumClasses]uint8
	class [64]int8 // by code point; -1: no class of ours
}

func newMarkTable(marks dscp.Marks) *markTable {
	t := new(markTable)
	for i := range t.class {
		t.class[i] = -1
	}
	for class, mark := range marks {
		t.tos[class] = mark.TOS()
		if t.class[mark&63] < 0 {
			t.class[mark&63] = int8(class)
		}
	}
	return t
}

// countIn books a received datagram under the class its code point stands for.
func (t *markTable) countIn(s *WorkerStats, tos uint8, size int) {
	s.In.add(1, size)
	if class := t.class[tos>>2]; class >= 0 {
		s.InByClass[class].add(1, size)
	} else {
		s.InUnknown.add(1, size)
	}
}
