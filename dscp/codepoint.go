package dscp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// CodePoint is a DSCP value, 0 to 63 (RFC 2474, section 3).
type CodePoint uint8

// The code points of the IANA registry "Differentiated Services Field Codepoints", pools 1 and 3.
const (
	CS0        CodePoint = 0 // the default: best effort
	LE         CodePoint = 1 // lower effort, RFC 8622
	CS1        CodePoint = 8
	AF11       CodePoint = 10
	AF12       CodePoint = 12
	AF13       CodePoint = 14
	CS2        CodePoint = 16
	AF21       CodePoint = 18
	AF22       CodePoint = 20
	AF23       CodePoint = 22
	CS3        CodePoint = 24
	AF31       CodePoint = 26
	AF32       CodePoint = 28
	AF33       CodePoint = 30
	CS4        CodePoint = 32
	AF41       CodePoint = 34
	AF42       CodePoint = 36
	AF43       CodePoint = 38
	CS5        CodePoint = 40
	VoiceAdmit CodePoint = 44 // RFC 5865
	EF         CodePoint = 46 // expedited forwarding, RFC 3246
	CS6        CodePoint = 48
	CS7        CodePoint = 56
	MaxCode    CodePoint = 63
)

// registry gives the registered names, which are also what people may type.
var registry = map[CodePoint]string{
	CS0: "CS0", LE: "LE", CS1: "CS1", AF11: "AF11", AF12: "AF12", AF13: "AF13", CS2: "CS2", AF21: "AF21", AF22: "AF22", AF23: "AF23",
	CS3: "CS3", AF31: "AF31", AF32: "AF32", AF33: "AF33", CS4: "CS4", AF41: "AF41", AF42: "AF42", AF43: "AF43", CS5: "CS5",
	VoiceAdmit: "VOICE-ADMIT", EF: "EF", CS6: "CS6", CS7: "CS7",
}

// ErrCodePoint says that a text or number is no code point.
var ErrCodePoint = errors.New("not a DSCP code point: use 0 to 63 or a name such as EF, AF41 or CS3")

// ParseCodePoint reads a decimal number from 0 to 63 or a registered name in any case.
func ParseCodePoint(s string) (CodePoint, error) {
	for c, name := range registry {
		if strings.EqualFold(name, s) {
			return c, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || CodePoint(n) > MaxCode {
		return 0, fmt.Errorf("%q: %w", s, ErrCodePoint)
	}
	return CodePoint(n), nil
}

// TOS returns the code point in the upper six bits of the IPv4 TOS octet or the IPv6 traffic class, with the
// two ECN bits zero (RFC 3168, section 5).
func (c CodePoint) TOS() uint8 { return uint8(c) << 2 }

// OfTOS returns the code point of a TOS octet or traffic class; the ECN bits are dropped.
func OfTOS(tos uint8) CodePoint { return CodePoint(tos >> 2) }

// Name returns the registered name, or "" for a value that has none.
func (c CodePoint) Name() string { return registry[c] }

// String returns decimal, name and TOS octet together, the three ways in which network gear shows a mark: "46 EF (ToS 0xb8)".
func (c CodePoint) String() string {
	if name := c.Name(); name != "" {
		return fmt.Sprintf("%d %s (ToS 0x%02x)", uint8(c), name, c.TOS())
	}
	return fmt.Sprintf("%d (ToS 0x%02x)", uint8(c), c.TOS())
}
