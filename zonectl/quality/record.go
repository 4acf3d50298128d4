package quality

import (
	"time"
)

// Sample is what a history kept of a flow at a time: the figures of the seconds before, or their means over a minute with the worst score.
type Sample struct {
	At    time.Time
	Score Score
	Figures
}

// Record is what a history has of one run of a meeting.
type Record struct {
	Run
	People []PersonRecord
}

// PersonRecord is what a history has of one participant.
type PersonRecord struct {
	Person
	Flows []FlowRecord // those that carried something, in the order of media and directions
}

// FlowRecord is what a history has of one flow, oldest first.
type FlowRecord struct {
	Flow
	Samples []Sample
}

// Meeting returns what is kept of a number, oldest run first, with at most so many samples of a flow: then several become one. Their number
// shrinks further where all flows together would have more than inAll.
func (h *History) Meeting(number string, perFlow, inAll int) []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	flows := 0
	for _, r := range h.runs {
		if r.Number == number {
			flows += r.flows()
		}
	}
	if flows == 0 {
		return nil
	}
	perFlow = max(1, min(perFlow, inAll/flows))
	var list []Record
	for _, r := range h.runs {
		if r.Number == number {
			list = append(list, r.record(h.epoch, perFlow))
		}
	}
	return list
}

// flows counts those that carried something.
func (r *run) flows() (n int) {
	for _, p := range r.people {
		for i := range p.flows {
			if len(p.flows[i].samples) > 0 {
				n++
			}
		}
	}
	return n
}

func (r *run) record(epoch time.Time, perFlow int) Record {
	out := Record{Run: r.Run}
	for _, p := range r.people {
		person := PersonRecord{Person: p.Person}
		for i := range p.flows {
			if samples := p.flows[i].samples; len(samples) > 0 {
				person.Flows = append(person.Flows, FlowRecord{flowAt(i), few(samples, perFlow, epoch)})
			}
		}
		out.People = append(out.People, person)
	}
	return out
}

// few makes at most n of the samples, each of as many neighbours.
func few(samples []sample, n int, epoch time.Time) []Sample {
	each := (len(samples) + n - 1) / n
	out := make([]Sample, 0, n)
	for len(samples) > 0 {
		m := merge(samples[:min(each, len(samples))])
		out = append(out, m.unpack(epoch))
		samples = samples[min(each, len(samples)):]
	}
	return out
}
