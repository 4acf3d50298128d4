package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"meetzone/zonectl/wire"
)

// RungAttempt is what came of trying one rung for one medium.
type RungAttempt struct {
	Medium wire.Medium
	Rung   string        // "udp", "tcp", "tls"
	Result AttemptResult // what came back
	Took   time.Duration // until then; of a silent one, so far
	Detail string        // for a person: the error of what was refused; may be empty
	Taken  bool          // the medium travels there
}

// AttemptResult says what came back.
type AttemptResult string

// The results, beside "proxy " and the status with which a proxy refused. NotTried is a rung below one that works.
const (
	NotTried    AttemptResult = "not tried"
	Answers     AttemptResult = "answers"
	Silent      AttemptResult = "silent"
	Refused     AttemptResult = "refused"
	Reset       AttemptResult = "reset"
	Unroutable  AttemptResult = "no route"
	Untrusted   AttemptResult = "certificate"
	Unallocated AttemptResult = "relay refused"
	Lost        AttemptResult = "lost" // it worked, and then nothing came any more
)

// resultOf says what an error of a connection means.
func resultOf(err error) AttemptResult {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var proxy *ProxyError
	switch {
	case errors.As(err, &verification), errors.As(err, &authority):
		return Untrusted
	case errors.Is(err, errAllocate):
		return Unallocated
	case errors.As(err, &proxy):
		return AttemptResult(fmt.Sprintf("proxy %d", proxy.Status))
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return Refused // a firewall's reject comes as any of them
	case errors.Is(err, syscall.ENETUNREACH):
		return Unroutable
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return Silent
	}
	return Refused
}

// journal keeps what came of the rungs of one medium. Sockets write it from their goroutines.
type journal struct {
	medium wire.Medium
	mu     sync.Mutex // guards what follows
	list   []RungAttempt
	begun  map[string]time.Time
}

func newJournal(medium wire.Medium) *journal {
	j := &journal{medium: medium, begun: make(map[string]time.Time)}
	for _, rung := range rungs {
		j.list = append(j.list, RungAttempt{Medium: medium, Rung: rung, Result: NotTried})
	}
	return j
}

// rungs are the names of the rungs, best first.
var rungs = [...]string{rungUDP, rungTCP, rungTLS}

const (
	rungUDP = "udp"
	rungTCP = "tcp"
	rungTLS = "tls"
)

func (j *journal) entryLocked(rung string) *RungAttempt {
	return &j.list[slices.IndexFunc(j.list, func(a RungAttempt) bool { return a.Rung == rung })]
}

// begin notes that a rung is tried from now on.
func (j *journal) begin(rung string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.entryLocked(rung); a.Result == NotTried {
		a.Result, j.begun[rung] = Silent, time.Now()
	}
}

// answered notes that something came over a rung.
func (j *journal) answered(rung string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.entryLocked(rung); a.Result != Answers {
		a.Result, a.Took, a.Detail = Answers, time.Since(j.begun[rung]), ""
	}
}

// works tells whether something has come over a rung.
func (j *journal) works(rung string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.entryLocked(rung).Result == Answers
}

// betterWorks tells whether something has come over a rung above this one.
func (j *journal) betterWorks(rung string) bool {
	for _, better := range rungs {
		if better == rung {
			return false
		}
		if j.works(better) {
			return true
		}
	}
	return false
}

// betterRefused tells whether all rungs above this one have failed.
func (j *journal) betterRefused(rung string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.list {
		if a.Rung == rung {
			return true
		}
		if a.Result == Silent || a.Result == Answers || a.Result == NotTried {
			return false
		}
	}
	return true
}

// failed notes an error, unless the rung has answered before.
func (j *journal) failed(rung string, result AttemptResult, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.entryLocked(rung)
	if a.Result == Answers || a.Result == result {
		return
	}
	a.Result, a.Took = result, time.Since(j.begun[rung])
	if err != nil {
		a.Detail = err.Error()
	}
}

// lost notes that a rung that worked does so no more.
func (j *journal) lost(rung string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.entryLocked(rung); a.Result == Answers {
		a.Result, a.Took = Lost, time.Since(j.begun[rung])
	}
}

// attempts returns what came of all rungs; taken is the one in use.
func (j *journal) attempts(taken string) []RungAttempt {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := slices.Clone(j.list)
	for i := range list {
		a := &list[i]
		a.Taken = a.Rung == taken
		if a.Result == Silent {
			a.Took = time.Since(j.begun[a.Rung])
		}
	}
	return list
}

// String says it for a person.
func (a RungAttempt) String() string {
	switch a.Result {
	case NotTried:
		return "not tried, a better one works"
	case Answers:
		text := fmt.Sprintf("answers after %.0f ms", milliseconds(a.Took))
		if a.Taken {
			text += ", taken"
		}
		return text
	case Silent:
		return fmt.Sprintf("nothing came back for %.0f ms", milliseconds(a.Took))
	}
	text := fmt.Sprintf("%s after %.0f ms", a.Result, milliseconds(a.Took))
	if a.Detail != "" {
		text += " (" + a.Detail + ")"
	}
	return text
}
