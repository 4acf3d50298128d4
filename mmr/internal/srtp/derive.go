package srtp

import (
	"crypto/aes"
	"encoding/binary"
	"fmt"
)

// Labels of the key derivation. RFC 3711, section 4.3.1 and 4.3.2.
const (
	labelRTPKey   = 0x00
	labelRTPAuth  = 0x01
	labelRTPSalt  = 0x02
	labelRTCPKey  = 0x03
	labelRTCPAuth = 0x04
	labelRTCPSalt = 0x05
)

// derive returns n bytes of the key stream that a label stands for, with a derivation rate of zero. RFC 3711, section 4.3.3; a salt of 12
// bytes is filled with zeros from the right, RFC 7714, section 11.
func derive(key, salt []byte, label byte, n int) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("srtp: derive keys: %w", err)
	}
	var x [aes.BlockSize]byte
	copy(x[:14], salt)
	x[7] ^= label
	out := make([]byte, (n+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	for i := 0; i*aes.BlockSize < len(out); i++ {
		binary.BigEndian.PutUint16(x[14:], uint16(i))
		block.Encrypt(out[i*aes.BlockSize:], x[:])
	}
	return out[:n], nil
}

// transform is a protection profile with keys. Indices are the 48 bits of RFC 3711, section 3.3.1, for RTP and 31 bits for RTCP.
type transform interface {
	rtpOverhead() int
	rtcpOverhead() int
	// sealRTP protects dst's packet, whose header is in place, taking the plaintext from payload.
	sealRTP(dst []byte, headerLen int, payload []byte, ssrc uint32, index uint64)
	// openRTP returns the length of the packet without its tag.
	openRTP(pkt []byte, headerLen int, ssrc uint32, index uint64) (n int, ok bool)
	sealRTCP(dst, compound []byte, ssrc, index uint32)
	openRTCP(pkt []byte, ssrc, word uint32) (n int, ok bool)
	// rtcpWordAt returns where the word with the E flag and the index lies in a packet of n bytes.
	rtcpWordAt(n int) int
}

// Layout of SRTCP. RFC 3711, section 3.4.
const (
	rtcpHeaderLen = 8
	rtcpEncrypted = 1 << 31
	rtcpWordLen   = 4
)

func newTransform(p Profile, key, salt []byte) (transform, error) {
	if !p.known() {
		return nil, fmt.Errorf("%w: %v", ErrProfile, p)
	}
	if len(key) != keyLen || len(salt) != p.saltLen() {
		return nil, ErrKeys
	}
	if p == AEADAES128GCM {
		return newGCM(key, salt)
	}
	return newCounterMode(key, salt)
}
