package srtp

import (
	"errors"
	"fmt"
)

// Why a packet or a key was refused.
var (
	ErrProfile = errors.New("srtp: unknown protection profile")
	ErrKeys    = errors.New("srtp: keying material has the wrong length")

	ErrShort       = errors.New("srtp: packet is cut short")
	ErrNoRoom      = errors.New("srtp: destination is too small")
	ErrAuth        = errors.New("srtp: packet does not authenticate")
	ErrReplay      = errors.New("srtp: packet was seen before or is too old")
	ErrReuse       = errors.New("srtp: index was used before or is too old")
	ErrTooMany     = errors.New("srtp: too many streams on one transport")
	ErrUnencrypted = errors.New("srtp: packet is not encrypted")
	ErrExhausted   = errors.New("srtp: key has protected as many packets as it may")
)

// MaxSSRCs is how many streams one Sealer or Opener knows at most.
const MaxSSRCs = 256

// What sealing adds at most, in bytes.
const (
	RTPOverhead  = 16
	RTCPOverhead = 20
)

// ExporterLabel is the label under which DTLS exports the keying material. RFC 5764, section 4.2.
const ExporterLabel = "EXTRACTOR-dtls_srtp"

// Profile is a protection profile by its number in DTLS's use_srtp extension.
type Profile uint16

// The profiles, best first.
const (
	AEADAES128GCM          Profile = 0x0007 // RFC 7714, section 14.2
	AES128CMHMACSHA1With80 Profile = 0x0001 // RFC 5764, section 4.1.2
)

// Profiles returns the profiles in the order in which they should be offered.
func Profiles() []Profile { return []Profile{AEADAES128GCM, AES128CMHMACSHA1With80} }

// String returns the name in the IANA registry of DTLS-SRTP protection profiles.
func (p Profile) String() string {
	switch p {
	case AEADAES128GCM:
		return "SRTP_AEAD_AES_128_GCM"
	case AES128CMHMACSHA1With80:
		return "SRTP_AES128_CM_HMAC_SHA1_80"
	}
	return fmt.Sprintf("unknown SRTP profile %#04x", uint16(p))
}

const keyLen = 16

func (p Profile) saltLen() int {
	if p == AEADAES128GCM {
		return 12
	}
	return 14
}

func (p Profile) known() bool { return p == AEADAES128GCM || p == AES128CMHMACSHA1With80 }

// KeyingMaterialLen returns how many bytes DTLS must export for the profile.
func (p Profile) KeyingMaterialLen() int { return 2 * (keyLen + p.saltLen()) }

// NewPair splits exported keying material and returns the two directions of the side that was the DTLS client or the DTLS server. RFC
// 5764, section 4.2: client key, server key, client salt, server salt; a side seals with its own.
func NewPair(p Profile, material []byte, client bool) (*Sealer, *Opener, error) {
	if !p.known() {
		return nil, nil, fmt.Errorf("%w: %v", ErrProfile, p)
	}
	if len(material) != p.KeyingMaterialLen() {
		return nil, nil, ErrKeys
	}
	n := p.saltLen()
	clientKey, serverKey, salts := material[:keyLen], material[keyLen:2*keyLen], material[2*keyLen:]
	clientSalt, serverSalt := salts[:n], salts[n:]
	if !client {
		clientKey, serverKey, clientSalt, serverSalt = serverKey, clientKey, serverSalt, clientSalt
	}
	sealer, err := NewSealer(p, clientKey, clientSalt)
	if err != nil {
		return nil, nil, err
	}
	opener, err := NewOpener(p, serverKey, serverSalt)
	return sealer, opener, err
}
