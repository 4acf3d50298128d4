package mmr

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// The ufrag that the box gives a transport tells every worker where the transport lives, without a map that they would have to share: it is
// one AES block of worker, transport and generation, padded with zeros. Whoever does not hold the router's key can make none that is
// recognised (the chance is 2^-55), so that what is made up is dropped after one block operation and never reaches another worker.

// credentials are what the box expects of checks on one transport. RFC 8445, section 5.3.
type credentials struct {
	ufrag     string
	pwd       string
	integrity stun.MessageIntegrity // pwd, as pion wants it
}

// ufragLen is the length of a ufrag: 16 bytes in base64, whose alphabet is that of ice-char.
const ufragLen = 22

// pwdBytes gives 192 bits, 24 characters.
const pwdBytes = 18

// ufragID is what a ufrag says.
type ufragID struct {
	worker     uint8
	transport  uint32
	generation uint32
	probe      bool // of no transport: see probe.go
}

// Behind these three is the kind, and then zeros.
const (
	ufragKind     = 9
	kindTransport = 0
	kindProbe     = 1
)

func newCredentials(seal cipher.Block, id ufragID) credentials {
	var block [aesBlock]byte
	block[0] = id.worker
	binary.BigEndian.PutUint32(block[1:], id.transport)
	binary.BigEndian.PutUint32(block[5:], id.generation)
	seal.Encrypt(block[:], block[:])
	var pwd [pwdBytes]byte
	_, _ = rand.Read(pwd[:]) // never fails, see its documentation
	c := credentials{ufrag: base64.RawStdEncoding.EncodeToString(block[:]), pwd: base64.StdEncoding.EncodeToString(pwd[:])}
	c.integrity = stun.NewShortTermIntegrity(c.pwd)
	return c
}

const aesBlock = 16

// ufragOpener recognises ufrags. It keeps its scratch memory, since what is handed to an interface escapes; one worker owns it.
type ufragOpener struct {
	seal  cipher.Block
	block [aesBlock + 2]byte
}

// open returns what a ufrag says, false when the router has not made it.
func (o *ufragOpener) open(ufrag []byte) (id ufragID, ok bool) {
	if len(ufrag) != ufragLen {
		return id, false
	}
	n, err := base64.RawStdEncoding.Strict().Decode(o.block[:], ufrag)
	if err != nil || n != aesBlock {
		return id, false
	}
	b := o.block[:aesBlock]
	o.seal.Decrypt(b, b)
	id.probe = b[ufragKind] == kindProbe
	if !id.probe && b[ufragKind] != kindTransport {
		return id, false
	}
	for _, zero := range b[ufragKind+1:] {
		if zero != 0 {
			return id, false
		}
	}
	id.worker = b[0]
	id.transport = binary.BigEndian.Uint32(b[1:])
	id.generation = binary.BigEndian.Uint32(b[5:])
	return id, true
}

// randomSession returns an id for the o= line of a description: 62 bits, so that every parser takes it. RFC 9429, section 5.2.1.
func randomSession() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) >> 2
}
