package srtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
)

// material returns repeatable keying material.
func material(p Profile, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, p.KeyingMaterialLen())
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// pair returns the two ends of one direction.
func pair(t testing.TB, p Profile) (*Sealer, *Opener) {
	t.Helper()
	m := material(p, 1)
	s, _, err := NewPair(p, m, true)
	if err != nil {
		t.Fatal(err)
	}
	_, o, err := NewPair(p, m, false)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// pionContexts returns pion's contexts of the client and the server that hold the keying material.
func pionContexts(t testing.TB, p Profile, m []byte) (client, server *pion.Context) {
	t.Helper()
	n := p.saltLen()
	salts := m[2*keyLen:]
	client, err := pion.CreateContext(m[:keyLen], salts[:n], pion.ProtectionProfile(p), pion.SRTPReplayProtection(1024))
	if err != nil {
		t.Fatal(err)
	}
	server, err = pion.CreateContext(m[keyLen:2*keyLen], salts[n:], pion.ProtectionProfile(p), pion.SRTPReplayProtection(1024))
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// eachProfile runs a test once for each profile.
func eachProfile(t *testing.T, f func(t *testing.T, p Profile)) {
	for _, p := range Profiles() {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

// randomRTP returns a packet with a random shape: CSRCs, extension, payload of any length.
func randomRTP(r *rand.Rand, ssrc uint32, seq uint16) (header, payload []byte) {
	h := rtp.Header{Version: 2, Marker: r.IntN(2) == 0, PayloadType: uint8(r.IntN(128)), SequenceNumber: seq, SSRC: ssrc}
	h.Timestamp = r.Uint32()
	for range r.IntN(4) {
		h.CSRC = append(h.CSRC, r.Uint32())
	}
	if r.IntN(2) == 0 {
		for id := range uint8(r.IntN(5)) {
			if err := h.SetExtension(id+1, make([]byte, 1+r.IntN(16))); err != nil {
				panic(err)
			}
		}
	}
	header, err := h.Marshal()
	if err != nil {
		panic(err)
	}
	payload = make([]byte, r.IntN(1300))
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	return header, payload
}

// sequence walks seq forward with gaps and a little disorder, over several wraps.
type sequence struct{ next uint64 }

func (s *sequence) take(r *rand.Rand) uint16 {
	switch r.IntN(10) {
	case 0:
		s.next += uint64(r.IntN(20000))
	case 1:
		return uint16(s.next - 1 - uint64(r.IntN(50)))
	}
	s.next++
	return uint16(s.next)
}

func TestSealAgainstPion(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		r := rand.New(rand.NewPCG(2, uint64(p)))
		m := material(p, 3)
		client, server := pionContexts(t, p, m)
		for side, theirs := range map[bool]*pion.Context{true: client, false: server} {
			s, _, err := NewPair(p, m, side)
			if err != nil {
				t.Fatal(err)
			}
			seqs := map[uint32]*sequence{1: {next: 1000}, 2: {next: 30000}, 0xfffffffe: {next: 7}}
			sealed := 0
			for i := range 4000 {
				ssrc := []uint32{1, 2, 0xfffffffe}[i%3]
				header, payload := randomRTP(r, ssrc, seqs[ssrc].take(r))
				dst := make([]byte, len(header)+len(payload)+RTPOverhead)
				n, err := s.SealRTP(dst, header, payload)
				if err == ErrReuse {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				sealed++
				plain, err := theirs.DecryptRTP(nil, dst[:n], nil)
				if err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				if !bytes.Equal(plain, append(header, payload...)) {
					t.Fatalf("packet %d: plaintext differs", i)
				}
			}
			if roc, _ := theirs.ROC(1); roc < 10 || sealed < 3000 {
				t.Fatalf("too tame: rollover counter %d, %d packets", roc, sealed)
			}
		}
	})
}

func TestOpenAgainstPion(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		r := rand.New(rand.NewPCG(4, uint64(p)))
		m := material(p, 5)
		client, _ := pionContexts(t, p, m)
		_, o, err := NewPair(p, m, false)
		if err != nil {
			t.Fatal(err)
		}
		seq := uint64(60000)
		for i := range 4000 {
			seq += 1 + uint64(r.IntN(30000))*uint64(r.IntN(2))
			header, payload := randomRTP(r, 42, uint16(seq))
			plain := append(header, payload...)
			sealed, err := client.EncryptRTP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.OpenRTP(sealed)
			if err != nil {
				t.Fatalf("packet %d: %v", i, err)
			}
			if !bytes.Equal(got, plain) {
				t.Fatalf("packet %d: plaintext differs", i)
			}
		}
	})
}

func TestRTCPAgainstPion(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		r := rand.New(rand.NewPCG(6, uint64(p)))
		m := material(p, 7)
		toServer, _ := pionContexts(t, p, m)
		fromClient, _ := pionContexts(t, p, m)
		s, _, err := NewPair(p, m, true)
		if err != nil {
			t.Fatal(err)
		}
		_, o, err := NewPair(p, m, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 500 {
			compound := make([]byte, 8+4*r.IntN(100))
			binary.BigEndian.PutUint32(compound, 2<<30|201<<16|uint32(len(compound)/4-1))
			binary.BigEndian.PutUint32(compound[4:], uint32(i%5))
			for j := 8; j < len(compound); j++ {
				compound[j] = byte(r.Uint32())
			}
			dst := make([]byte, len(compound)+RTCPOverhead)
			n, err := s.SealRTCP(dst, compound)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := fromClient.DecryptRTCP(nil, dst[:n], nil)
			if err != nil || !bytes.Equal(plain, compound) {
				t.Fatalf("packet %d: %v", i, err)
			}
			sealed, err := toServer.EncryptRTCP(nil, compound, nil)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err = o.OpenRTCP(sealed); err != nil || !bytes.Equal(plain, compound) {
				t.Fatalf("packet %d: %v", i, err)
			}
		}
	})
}

func TestNamesAgainstPion(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		q := pion.ProtectionProfile(p)
		k, err := q.KeyLen()
		if err != nil {
			t.Fatal(err)
		}
		n, err := q.SaltLen()
		if err != nil || 2*(k+n) != p.KeyingMaterialLen() {
			t.Fatal(fmt.Sprint(k, n, err, p.KeyingMaterialLen()))
		}
	})
}
