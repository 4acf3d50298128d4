package helper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Request is one thing that needs root. The list is closed.
type Request interface {
	// verb names the request on the wire.
	verb() string
	// Validate says what is wrong with the values, in a sentence for a person.
	Validate() error
}

// Reboot restarts the machine in order.
type Reboot struct {
	// Reason goes into the log; one line of at most 200 bytes.
	Reason string `json:"reason"`
}

// PowerOff switches the machine off in order.
type PowerOff struct {
	Reason string `json:"reason"` // as in Reboot
}

// FactoryReset restarts the machine with the state partition made anew: init/meetzone-factory-reset.service.
type FactoryReset struct {
	Reason string `json:"reason"` // as in Reboot
}

// SetHostname gives the running kernel its name.
type SetHostname struct {
	Hostname string `json:"hostname"` // RFC 1123: letters, digits, hyphens and dots, at most 64 bytes
}

// Bounds of a request's values. HOST_NAME_MAX of Linux is 64; a label has at most 63 bytes (RFC 1035, section 2.3.4).
const (
	maxReason   = 200
	maxHostname = 64
	maxLabel    = 63
)

// ErrRequest says that a request is none that the helper knows, or has values that it refuses.
var ErrRequest = errors.New("the helper refuses the request")

// Name is what a request is called on the wire and in errors.
func Name(r Request) string { return r.verb() }

func (Reboot) verb() string       { return "reboot" }
func (PowerOff) verb() string     { return "power-off" }
func (FactoryReset) verb() string { return "factory-reset" }
func (SetHostname) verb() string  { return "set-hostname" }

// Validate implements Request.
func (r Reboot) Validate() error { return validReason(r.Reason) }

// Validate implements Request.
func (r PowerOff) Validate() error { return validReason(r.Reason) }

// Validate implements Request.
func (r FactoryReset) Validate() error { return validReason(r.Reason) }

// Validate implements Request.
func (r SetHostname) Validate() error {
	if r.Hostname == "" || len(r.Hostname) > maxHostname {
		return fmt.Errorf("%w: a host name has 1 to %d letters", ErrRequest, maxHostname)
	}
	for label := range strings.SplitSeq(r.Hostname, ".") {
		if !validLabel(label) {
			return fmt.Errorf("%w: %q is no host name; it has letters, digits, and hyphens and dots between them", ErrRequest, r.Hostname)
		}
	}
	return nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(label, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

func validReason(reason string) error {
	if len(reason) > maxReason || strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%w: a reason is one line of at most %d bytes", ErrRequest, maxReason)
	}
	return nil
}

// maxLine bounds requests on the wire, maxAnswer each line of an answer.
const (
	maxLine   = 4096
	maxAnswer = 256 << 10
)

// envelope is a request on the wire.
type envelope struct {
	Verb   string          `json:"verb"`
	Values json.RawMessage `json:"values"`
}

// encode writes a request as its line.
func encode(r Request) ([]byte, error) {
	values, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(envelope{r.verb(), values})
	return append(line, '\n'), err
}

// decoders make a request of its values, by verb.
var decoders = map[string]func([]byte) (Request, error){
	Reboot{}.verb():       as[Reboot],
	PowerOff{}.verb():     as[PowerOff],
	FactoryReset{}.verb(): as[FactoryReset],
	SetHostname{}.verb():  as[SetHostname],

	UpdateState{}.verb():    as[UpdateState],
	UpdateInstall{}.verb():  as[UpdateInstall],
	UpdateRollback{}.verb(): as[UpdateRollback],
	UpdateStick{}.verb():    as[UpdateStick],
}

// decode reads a request's line and checks its values.
func decode(line []byte) (Request, error) {
	var e envelope
	if err := strictly(line, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	values, known := decoders[e.Verb]
	if !known {
		return nil, fmt.Errorf("%w: there is no verb %q", ErrRequest, e.Verb)
	}
	r, err := values(e.Values)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return r, r.Validate()
}

func as[R Request](b []byte) (Request, error) {
	var r R
	err := strictly(b, &r)
	return r, err
}

// strictly decodes one JSON value without members that are not known, and nothing behind it.
func strictly(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more than one value")
	}
	return nil
}
