package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// What is wrong with bytes that should have been a message.
var (
	ErrTooLarge    = errors.New("message too large")
	ErrMalformed   = errors.New("not a message")
	ErrUnknownType = errors.New("unknown type of message") // the concrete error is an *UnknownTypeError
	ErrValue       = errors.New("value out of bounds")     // the concrete error is a *ValueError
)

// UnknownTypeError says that a message is of a type that this version does not know.
type UnknownTypeError struct{ Name string }

// Error names the type.
func (e *UnknownTypeError) Error() string { return fmt.Sprintf("%v: %q", ErrUnknownType, e.Name) }

// Unwrap returns ErrUnknownType.
func (e *UnknownTypeError) Unwrap() error { return ErrUnknownType }

// ValueError says that a message is of a known type, but cannot be meant.
type ValueError struct {
	Name string // type of the message
	Err  error
}

// Error names the type and the values.
func (e *ValueError) Error() string { return fmt.Sprintf("%s: %v: %v", e.Name, ErrValue, e.Err) }

// Unwrap returns ErrValue and the cause.
func (e *ValueError) Unwrap() []error { return []error{ErrValue, e.Err} }

// Sender says which end may send a message.
type Sender uint8

// The two ends.
const (
	ByClient Sender = 1 << iota
	ByServer
)

// kind is what the codec knows of a type of message.
type kind struct {
	sender Sender
	decode func([]byte) (Message, error)
}

// kinds has every message, by type.
var kinds = tabulate(
	of[Hello](ByClient), of[Answer](ByClient), of[Negotiate](ByClient), of[SetViews](ByClient), of[SetMute](ByClient),
	of[SetShare](ByClient), of[SendChat](ByClient), of[HostMute](ByClient), of[HostRemove](ByClient), of[HostLock](ByClient),
	of[HostEnd](ByClient), of[ClaimHost](ByClient), of[Report](ByClient), of[Ping](ByClient), of[Leave](ByClient),
	of[Welcome](ByServer), of[Offer](ByServer), of[Participants](ByServer), of[Joined](ByServer), of[Left](ByServer),
	of[MeetingChanged](ByServer), of[Slots](ByServer), of[SendLayers](ByServer), of[SendRates](ByServer), of[Speaker](ByServer), of[SendCodecs](ByServer), of[Transports](ByServer),
	of[Chat](ByServer), of[Quality](ByServer),
	of[Muted](ByServer), of[RoleChanged](ByServer), of[Drain](ByServer), of[Failure](ByServer), of[Bye](ByServer), of[Pong](ByServer),
)

type entry struct {
	name string
	kind kind
}

func of[M Message](sender Sender) entry {
	var zero M
	return entry{zero.Type(), kind{sender, func(data []byte) (Message, error) {
		var m M
		if err := json.Unmarshal(data, &m); err != nil {
			return nil, err
		}
		if c, ok := any(&m).(interface{ clean() }); ok {
			c.clean()
		}
		return m, nil
	}}}
}

func tabulate(entries ...entry) map[string]kind {
	table := make(map[string]kind, len(entries))
	for _, e := range entries {
		table[e.name] = e.kind
	}
	return table
}

// Types returns who may send which message, by type.
func Types() map[string]Sender {
	types := make(map[string]Sender, len(kinds))
	for name, k := range kinds {
		types[name] = k.sender
	}
	return types
}

// Encode returns the JSON form of a message. It refuses what Decode would refuse.
func Encode(m Message) ([]byte, error) {
	if err := Validate(m); err != nil {
		return nil, err
	}
	fields, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type(), err)
	}
	data := make([]byte, 0, len(fields)+len(m.Type())+len(`{"type":"",`))
	data = append(data, `{"type":"`...)
	data = append(data, m.Type()...)
	data = append(data, '"')
	if len(fields) > len("{}") {
		data = append(data, ',')
	}
	data = append(data, fields[1:]...)
	if len(data) > MaxMessage {
		return nil, fmt.Errorf("encode %s: %w: %d bytes", m.Type(), ErrTooLarge, len(data))
	}
	return data, nil
}

// Decode reads a message; what it returns is one of the types of this package, as a value.
func Decode(data []byte) (Message, error) {
	switch {
	case len(data) > MaxMessage:
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	case !utf8.Valid(data):
		return nil, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	case !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")):
		return nil, fmt.Errorf("%w: not an object", ErrMalformed)
	}
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	k, known := kinds[head.Type]
	if !known {
		return nil, &UnknownTypeError{Name: shorten(head.Type, MaxID)}
	}
	m, err := k.decode(data)
	if err != nil {
		return nil, &ValueError{Name: head.Type, Err: err}
	}
	return m, Validate(m)
}

// Validate says what is wrong with a message's values; the error is a *ValueError.
func Validate(m Message) error {
	v, checked := m.(interface{ validate() error })
	if !checked {
		return nil
	}
	if err := v.validate(); err != nil {
		return &ValueError{Name: m.Type(), Err: err}
	}
	return nil
}
