package zonectl

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math/big"
	"strings"
)

// Passcodes and host keys are kept as HMAC-SHA256 under a secret of the zone (the pepper), with the meeting's number in it.
//
// Why not argon2id or scrypt: passcodes are a few digits, which no stretching saves from somebody who can try them offline; and
// whoever knocks on the lookup would make the box do the stretching, ten milliseconds a knock. The pepper is what keeps a stolen
// table of rooms useless, attempts are limited (guess.go), and a check costs a microsecond whoever asks.
type pepper []byte

// The kinds of secrets that are digested.
const (
	ofPasscode   = "passcode"
	ofHostKey    = "host key"
	ofGearSource = "gear" // what a removed encoder is known by, no secret
)

// newPepper derives the pepper from the zone's signing key when no other secret is given: whoever has that key can sign join tokens
// and needs no passcodes.
func newPepper(secret []byte) (pepper, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "meetzone passcodes", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive pepper: %w", err)
	}
	return key, nil
}

// digest always does the same work for secrets of up to a hash block, which those of the wire are.
func (p pepper) digest(kind, number, secret string) []byte {
	mac := hmac.New(sha256.New, p)
	fmt.Fprintf(mac, "%s\x00%s\x00%s", kind, number, secret)
	return mac.Sum(nil)
}

// lock is what a meeting asks of those who come.
type lock struct {
	passcode []byte // digest; nil: none
	hostKey  []byte // digest
}

// knock is what somebody shows who comes.
type knock struct{ number, passcode, hostKey string }

// admission is the result of a check.
type admission struct{ enter, host bool }

// check compares what is shown with the lock; a nil lock is that of a number that does not exist. Both digests are computed and
// both compared in all cases, so that nothing can be learnt from the time it takes.
func (p pepper) check(l *lock, k knock) admission {
	var stand lock // for numbers that do not exist: nothing matches it
	exists := 1
	if l == nil {
		l, exists = &stand, 0
	}
	passcode := subtle.ConstantTimeCompare(p.digest(ofPasscode, k.number, k.passcode), padded(l.passcode))
	hostKey := subtle.ConstantTimeCompare(p.digest(ofHostKey, k.number, k.hostKey), padded(l.hostKey))
	open := subtle.ConstantTimeEq(int32(len(l.passcode)), 0)
	asksHost := 1 - subtle.ConstantTimeEq(int32(len(k.hostKey)), 0)
	host := exists & hostKey & asksHost
	enter := exists & (passcode | open) & (1 - asksHost)
	return admission{enter: enter|host == 1, host: host == 1}
}

// padded makes a missing digest one that nothing matches but that is compared like any other.
func padded(digest []byte) []byte {
	if len(digest) == sha256.Size {
		return digest
	}
	return make([]byte, sha256.Size)
}

// newNumber returns the nine digits of a new meeting.
func newNumber() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(900_000_000)) // never fails, see crypto/rand.Reader
	return fmt.Sprint(100_000_000 + n.Int64())
}

// newSecret returns 128 random bits or more, in letters and digits that can be read aloud.
func newSecret() string { return rand.Text() }

// newParticipantID is short, since every message has it; it is no secret.
func newParticipantID() string { return strings.ToLower(rand.Text()[:10]) }

// An API token is "mz_" + id + "_" + secret; the store has the digest of all of it.
const apiTokenPrefix = "mz_"

func newAPIToken() (id, token string, digest []byte) {
	id = strings.ToLower(rand.Text()[:12])
	token = apiTokenPrefix + id + "_" + rand.Text()
	return id, token, apiTokenDigest(token)
}

func apiTokenDigest(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// apiTokenID returns the id in a token, "" when it is none.
func apiTokenID(token string) string {
	rest, ok := strings.CutPrefix(token, apiTokenPrefix)
	id, _, found := strings.Cut(rest, "_")
	if !ok || !found {
		return ""
	}
	return id
}
