package codec

// Bits of the AV1 aggregation header. AV1 RTP specification, section 4.4.
const (
	av1Continues = 0x80 // Z: begins with the rest of an OBU
	av1NewCoded  = 0x08 // N: the first packet of a coded video sequence, that is of a keyframe
)

// av1StartsKeyframe says whether a coded video sequence begins with the packet.
func av1StartsKeyframe(payload []byte) bool {
	return len(payload) > 1 && payload[0]&av1NewCoded != 0 && payload[0]&av1Continues == 0
}
