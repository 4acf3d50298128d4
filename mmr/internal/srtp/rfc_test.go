package srtp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex decodes a vector as the RFCs print it.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 3711, appendix B.3.
func TestRFC3711KeyDerivation(t *testing.T) {
	key, salt := unhex(t, "E1F97A0D3E018BE0D64FA32C06DE4139"), unhex(t, "0EC675AD498AFEEBB6960B3AABE6")
	for _, v := range []struct {
		label byte
		want  string
	}{
		{labelRTPKey, "C61E7A93744F39EE10734AFE3FF7A087"},
		{labelRTPSalt, "30CBBC08863D8C85D49DB34A9AE1"},
		{labelRTPAuth, `CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098
			6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2`},
	} {
		want := unhex(t, v.want)
		got, err := derive(key, salt, v.label, len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("label %d: %x %v, want %x", v.label, got, err, want)
		}
	}
}

// RFC 3711, appendix B.2: the key stream for SSRC 0 and index 0. Its first and last blocks, the last of which the counter reaches at 0xff01.
func TestRFC3711KeyStream(t *testing.T) {
	block, err := aes.NewCipher(unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C"))
	if err != nil {
		t.Fatal(err)
	}
	k := ctrKey{block: block}
	copy(k.salt[:], unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD"))
	c := &counterMode{}
	stream := make([]byte, 0xff02*aes.BlockSize)
	c.xor(&k, stream, stream, 0, 0)
	for at, want := range map[int]string{
		0:      "E03EAD0935C95E80E166B16DD92B4EB4",
		1:      "D23513162B02D0F72A43A2FE4A5F97AB",
		2:      "41E95B3BB0A2E8DD477901E4FCA894C0",
		0xfeff: "EC8CDF7398607CB0F2D21675EA9EA1E4",
		0xff00: "362B7C3C6773516318A077D7FC5073AE",
		0xff01: "6A2CC3787889374FBEB4C81B17BA6C44",
	} {
		if got := stream[at*aes.BlockSize:][:aes.BlockSize]; !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("block %#x is %x, want %s", at, got, want)
		}
	}
}

// rfc7714 returns the transform of RFC 7714, sections 16 and 17, whose vectors give session keys.
func rfc7714(t *testing.T) *gcm {
	t.Helper()
	block, err := aes.NewCipher(unhex(t, "000102030405060708090a0b0c0d0e0f"))
	if err != nil {
		t.Fatal(err)
	}
	g := &gcm{}
	if g.rtp, err = cipher.NewGCM(block); err != nil {
		t.Fatal(err)
	}
	g.rtcp = g.rtp
	copy(g.rtpSalt[:], "Quid pro quo")
	g.rtcpSalt = g.rtpSalt
	return g
}

// RFC 7714, section 16.1.1 and 16.1.2.
func TestRFC7714RTP(t *testing.T) {
	plain := unhex(t, "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573")
	sealed := unhex(t, `8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf
		8833899d 7f27beb1 6a9152cf 765ee439 0cce`)
	g := rfc7714(t)
	got := make([]byte, len(sealed))
	copy(got, plain[:12])
	g.sealRTP(got, 12, plain[12:], 0x5501a0b2, 0xf17b)
	if !bytes.Equal(got, sealed) {
		t.Fatalf("sealed\n%x, want\n%x", got, sealed)
	}
	n, ok := g.openRTP(got, 12, 0x5501a0b2, 0xf17b)
	if !ok || !bytes.Equal(got[:n], plain) {
		t.Fatalf("opened %v %x", ok, got[:n])
	}
}

// RFC 7714, section 17.1 and 17.2.
func TestRFC7714RTCP(t *testing.T) {
	plain := unhex(t, `81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef
		deadbeef`)
	sealed := unhex(t, `81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded
		0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4`)
	g := rfc7714(t)
	got := make([]byte, len(sealed))
	g.sealRTCP(got, plain, 0x4d617273, 0x5d4)
	if !bytes.Equal(got, sealed) {
		t.Fatalf("sealed\n%x, want\n%x", got, sealed)
	}
	n, ok := g.openRTCP(got, 0x4d617273, 0x800005d4)
	if !ok || !bytes.Equal(got[:n], plain) {
		t.Fatalf("opened %v %x", ok, got[:n])
	}
}

// IANA, "DTLS-SRTP Protection Profiles": RFC 5764 section 4.1.2 and RFC 7714 section 14.2.
func TestIANAProfiles(t *testing.T) {
	for p, want := range map[Profile]struct {
		value uint16
		name  string
		bytes int
	}{
		AEADAES128GCM:          {0x0007, "SRTP_AEAD_AES_128_GCM", 56},
		AES128CMHMACSHA1With80: {0x0001, "SRTP_AES128_CM_HMAC_SHA1_80", 60},
	} {
		if uint16(p) != want.value || p.String() != want.name || p.KeyingMaterialLen() != want.bytes {
			t.Errorf("%v is %#x with %d bytes, want %+v", p, uint16(p), p.KeyingMaterialLen(), want)
		}
	}
}
