package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

const (
	gcmTagLen   = 16
	gcmNonceLen = 12
)

// gcm is AEAD_AES_128_GCM, RFC 7714.
type gcm struct {
	rtp, rtcp         cipher.AEAD
	rtpSalt, rtcpSalt [gcmNonceLen]byte
	nonce             [gcmNonceLen]byte // of the packet in work; here, since it escapes through the interface
	aad               [rtcpHeaderLen + rtcpWordLen]byte
}

func newGCM(key, salt []byte) (*gcm, error) {
	g := &gcm{}
	var err error
	if g.rtp, err = gcmKey(key, salt, labelRTPKey, labelRTPSalt, &g.rtpSalt); err != nil {
		return nil, err
	}
	if g.rtcp, err = gcmKey(key, salt, labelRTCPKey, labelRTCPSalt, &g.rtcpSalt); err != nil {
		return nil, err
	}
	return g, nil
}

func gcmKey(key, salt []byte, keyLabel, saltLabel byte, sessionSalt *[gcmNonceLen]byte) (cipher.AEAD, error) {
	sessionKey, err := derive(key, salt, keyLabel, keyLen)
	if err != nil {
		return nil, err
	}
	s, err := derive(key, salt, saltLabel, gcmNonceLen)
	if err != nil {
		return nil, err
	}
	copy(sessionSalt[:], s)
	block, err := aes.NewCipher(sessionKey)
	if err != nil {
		return nil, fmt.Errorf("srtp: session key: %w", err)
	}
	return cipher.NewGCM(block)
}

// rtpNonce makes the initialization vector of an RTP packet: zeros, SSRC, rollover counter and sequence number, mixed with the salt. RFC
// 7714, section 8.1.
func (g *gcm) rtpNonce(ssrc uint32, index uint64) []byte {
	n := &g.nonce
	n[0], n[1] = 0, 0
	binary.BigEndian.PutUint32(n[2:], ssrc)
	binary.BigEndian.PutUint32(n[6:], uint32(index>>16))
	binary.BigEndian.PutUint16(n[10:], uint16(index))
	for i := range n {
		n[i] ^= g.rtpSalt[i]
	}
	return n[:]
}

// rtcpNonce is the same for RTCP: zeros, SSRC, zeros, index. RFC 7714, section 9.1.
func (g *gcm) rtcpNonce(ssrc, index uint32) []byte {
	n := &g.nonce
	n[0], n[1], n[6], n[7] = 0, 0, 0, 0
	binary.BigEndian.PutUint32(n[2:], ssrc)
	binary.BigEndian.PutUint32(n[8:], index)
	for i := range n {
		n[i] ^= g.rtcpSalt[i]
	}
	return n[:]
}

// rtcpAAD is the header and the word with flag and index. RFC 7714, section 9.2.
func (g *gcm) rtcpAAD(header []byte, word uint32) []byte {
	copy(g.aad[:], header[:rtcpHeaderLen])
	binary.BigEndian.PutUint32(g.aad[rtcpHeaderLen:], word)
	return g.aad[:]
}

func (g *gcm) rtpOverhead() int     { return gcmTagLen }
func (g *gcm) rtcpOverhead() int    { return gcmTagLen + rtcpWordLen }
func (g *gcm) rtcpWordAt(n int) int { return n - rtcpWordLen }

func (g *gcm) sealRTP(dst []byte, headerLen int, payload []byte, ssrc uint32, index uint64) {
	g.rtp.Seal(dst[headerLen:headerLen], g.rtpNonce(ssrc, index), payload, dst[:headerLen])
}

func (g *gcm) openRTP(pkt []byte, headerLen int, ssrc uint32, index uint64) (int, bool) {
	_, err := g.rtp.Open(pkt[headerLen:headerLen], g.rtpNonce(ssrc, index), pkt[headerLen:], pkt[:headerLen])
	return len(pkt) - gcmTagLen, err == nil
}

func (g *gcm) sealRTCP(dst, compound []byte, ssrc, index uint32) {
	word := index | rtcpEncrypted
	copy(dst, compound[:rtcpHeaderLen])
	g.rtcp.Seal(dst[rtcpHeaderLen:rtcpHeaderLen], g.rtcpNonce(ssrc, index), compound[rtcpHeaderLen:], g.rtcpAAD(compound, word))
	binary.BigEndian.PutUint32(dst[len(compound)+gcmTagLen:], word)
}

func (g *gcm) openRTCP(pkt []byte, ssrc, word uint32) (int, bool) {
	sealed := pkt[rtcpHeaderLen : len(pkt)-rtcpWordLen]
	_, err := g.rtcp.Open(sealed[:0], g.rtcpNonce(ssrc, word&^rtcpEncrypted), sealed, g.rtcpAAD(pkt, word))
	return len(pkt) - rtcpWordLen - gcmTagLen, err == nil
}
