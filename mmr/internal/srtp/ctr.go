package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
)

const (
	sha1KeyLen = 20
	sha1TagLen = 10
	ctrSaltLen = 14
	ctrBlocks  = 8 // key stream is made this many blocks at a time
)

// counterMode is AES128_CM_HMAC_SHA1_80, RFC 3711. It makes the key stream itself, since cipher.NewCTR would allocate per packet; it is the
// fallback, and SHA-1 is what it costs.
type counterMode struct {
	rtp, rtcp ctrKey

	counter [aes.BlockSize]byte
	stream  [ctrBlocks * aes.BlockSize]byte
	sum     [sha1.Size]byte
	roc     [4]byte
}

// ctrKey holds the session keys of RTP or RTCP.
type ctrKey struct {
	block cipher.Block
	salt  [ctrSaltLen]byte
	mac   hash.Hash
}

func newCounterMode(key, salt []byte) (*counterMode, error) {
	c := &counterMode{}
	var err error
	if c.rtp, err = newCTRKey(key, salt, labelRTPKey, labelRTPAuth, labelRTPSalt); err != nil {
		return nil, err
	}
	if c.rtcp, err = newCTRKey(key, salt, labelRTCPKey, labelRTCPAuth, labelRTCPSalt); err != nil {
		return nil, err
	}
	return c, nil
}

func newCTRKey(key, salt []byte, keyLabel, authLabel, saltLabel byte) (ctrKey, error) {
	var parts [3][]byte
	for i, part := range [3]struct {
		label byte
		n     int
	}{{keyLabel, keyLen}, {authLabel, sha1KeyLen}, {saltLabel, ctrSaltLen}} {
		var err error
		if parts[i], err = derive(key, salt, part.label, part.n); err != nil {
			return ctrKey{}, err
		}
	}
	block, err := aes.NewCipher(parts[0])
	if err != nil {
		return ctrKey{}, fmt.Errorf("srtp: session key: %w", err)
	}
	k := ctrKey{block: block, mac: hmac.New(sha1.New, parts[1])}
	copy(k.salt[:], parts[2])
	return k, nil
}

// xor mixes src with the key stream of a packet into dst. RFC 3711, section 4.1.1: the counter starts at salt·2^16 ⊕ SSRC·2^64 ⊕
// index·2^16.
func (c *counterMode) xor(k *ctrKey, dst, src []byte, ssrc uint32, index uint64) {
	ctr := &c.counter
	copy(ctr[:], k.salt[:])
	binary.BigEndian.PutUint32(ctr[4:], binary.BigEndian.Uint32(ctr[4:])^ssrc)
	binary.BigEndian.PutUint32(ctr[8:], binary.BigEndian.Uint32(ctr[8:])^uint32(index>>16))
	binary.BigEndian.PutUint16(ctr[12:], binary.BigEndian.Uint16(ctr[12:])^uint16(index))
	for n := uint16(0); len(src) > 0; {
		want := min(len(src), len(c.stream))
		for at := 0; at < want; at += aes.BlockSize {
			binary.BigEndian.PutUint16(ctr[14:], n)
			k.block.Encrypt(c.stream[at:], ctr[:])
			n++
		}
		subtle.XORBytes(dst[:want], src[:want], c.stream[:want])
		dst, src = dst[want:], src[want:]
	}
}

// tag returns the authentication tag over data, which for RTP is followed by the rollover counter. RFC 3711, section 4.2.
func (c *counterMode) tag(k *ctrKey, data, suffix []byte) []byte {
	k.mac.Reset()
	k.mac.Write(data)
	k.mac.Write(suffix)
	return k.mac.Sum(c.sum[:0])[:sha1TagLen]
}

func (c *counterMode) rtpTag(data []byte, index uint64) []byte {
	binary.BigEndian.PutUint32(c.roc[:], uint32(index>>16))
	return c.tag(&c.rtp, data, c.roc[:])
}

func (c *counterMode) rtpOverhead() int     { return sha1TagLen }
func (c *counterMode) rtcpOverhead() int    { return rtcpWordLen + sha1TagLen }
func (c *counterMode) rtcpWordAt(n int) int { return n - sha1TagLen - rtcpWordLen }

func (c *counterMode) sealRTP(dst []byte, headerLen int, payload []byte, ssrc uint32, index uint64) {
	end := headerLen + len(payload)
	c.xor(&c.rtp, dst[headerLen:end], payload, ssrc, index)
	copy(dst[end:], c.rtpTag(dst[:end], index))
}

func (c *counterMode) openRTP(pkt []byte, headerLen int, ssrc uint32, index uint64) (int, bool) {
	end := len(pkt) - sha1TagLen
	if subtle.ConstantTimeCompare(c.rtpTag(pkt[:end], index), pkt[end:]) == 0 {
		return 0, false
	}
	c.xor(&c.rtp, pkt[headerLen:end], pkt[headerLen:end], ssrc, index)
	return end, true
}

func (c *counterMode) sealRTCP(dst, compound []byte, ssrc, index uint32) {
	copy(dst, compound[:rtcpHeaderLen])
	end := len(compound)
	c.xor(&c.rtcp, dst[rtcpHeaderLen:end], compound[rtcpHeaderLen:], ssrc, uint64(index))
	binary.BigEndian.PutUint32(dst[end:], index|rtcpEncrypted)
	copy(dst[end+rtcpWordLen:], c.tag(&c.rtcp, dst[:end+rtcpWordLen], nil))
}

func (c *counterMode) openRTCP(pkt []byte, ssrc, word uint32) (int, bool) {
	end := len(pkt) - sha1TagLen
	if subtle.ConstantTimeCompare(c.tag(&c.rtcp, pkt[:end], nil), pkt[end:]) == 0 {
		return 0, false
	}
	end -= rtcpWordLen
	c.xor(&c.rtcp, pkt[rtcpHeaderLen:end], pkt[rtcpHeaderLen:end], ssrc, uint64(word&^rtcpEncrypted))
	return end, true
}
