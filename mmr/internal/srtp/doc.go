// Package srtp seals and opens SRTP and SRTCP for one transport, without allocation on the packet path.
//
// A Sealer protects what leaves and an Opener what arrives; NewPair makes both from the keying material that DTLS exported, for either
// role. The profiles are AEAD_AES_128_GCM and AES128_CM_HMAC_SHA1_80. SealRTP writes header, ciphertext and tag straight into the send
// buffer; OpenRTP decrypts in place.
//
// Refused: packets that do not authenticate, were seen before or are too old to tell (the window is 1024 packets), and more than MaxSSRCs
// streams in one direction. A stream gets state only once a packet of it has authenticated. The Sealer refuses an index that it has
// used, or that is too old to tell: under one key the same SSRC, rollover counter and sequence number never protect anything twice, which
// with GCM would give the authentication key away. To resend, send the same ciphertext or use RTX.
//
// Who owns what: a Sealer or Opener belongs to one goroutine, the worker of its transport. There are no locks.
//
// Basis: RFC 3711 sections 3.3 (index, replay), 4.1 (AES-CM), 4.2 (HMAC-SHA1), 4.3 (key derivation, rate 0), 3.4 (SRTCP); RFC 7714 sections 8
// and 9 (GCM); RFC 5764 section 4.2 (keys from DTLS); MKIs, encrypted header extensions and RFC 9335 are not supported.
//
// Caveats: the rollover counter is guessed from the sequence number, so a stream should begin below 32768: a receiver that loses the very
// first packets around a wrap would guess wrongly. SRTCP of a stream also counts towards MaxSSRCs.
package srtp
