package zonectl

import "meetzone/zonectl/wire"

// Bounds of the log of a meeting.
const (
	maxLogged      = 1024
	maxLoggedBytes = 1 << 20
	firstEntries   = 250 // participants in one message; with the longest names it still fits
)

// roster is the numbered log of what has changed in a meeting, and what of it newcomers are told.
type roster struct {
	state     uint64 // of the latest entry
	log       []logged
	bytes     int
	chat      []logged
	chatLimit int
}

type logged struct {
	state uint64
	data  []byte
}

// add numbers a message and remembers it, encoded.
func (r *roster) add(make func(state uint64) wire.Message, encode func(wire.Message) []byte) []byte {
	r.state++
	message := make(r.state)
	data := encode(message)
	r.log = append(r.log, logged{r.state, data})
	r.bytes += len(data)
	for len(r.log) > maxLogged || r.bytes > maxLoggedBytes {
		r.bytes -= len(r.log[0].data)
		r.log = r.log[1:]
	}
	if _, isChat := message.(wire.Chat); isChat {
		r.chat = append(r.chat, logged{r.state, data})
		if len(r.chat) > r.chatLimit {
			r.chat = r.chat[1:]
		}
	}
	return data
}

// since returns what came after a state; false when that is no longer known in full.
func (r *roster) since(state uint64) (missed [][]byte, whole bool) {
	if state == r.state {
		return nil, true
	}
	if state > r.state || len(r.log) == 0 || r.log[0].state > state+1 {
		return nil, false
	}
	for _, l := range r.log[state+1-r.log[0].state:] {
		missed = append(missed, l.data)
	}
	return missed, true
}

// snapshot is what somebody is told who knows nothing: the chat so far, then everybody. Chat comes first, so that the number of the
// last message is that of the present state.
// Of the chat, only what came after the given state is repeated.
func (r *roster) snapshot(people []wire.Participant, after uint64, encode func(wire.Message) []byte) [][]byte {
	var messages [][]byte
	for _, l := range r.chat {
		if l.state > after {
			messages = append(messages, l.data)
		}
	}
	first := people[:min(len(people), firstEntries)]
	messages = append(messages, encode(wire.Participants{State: r.state, Participants: first}))
	for _, p := range people[len(first):] {
		messages = append(messages, encode(wire.Joined{State: r.state, Participant: p}))
	}
	return messages
}
