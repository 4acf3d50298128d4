package client

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// TestCheckOverALongWay has a responder that is 90 ms away, so that several requests are under way when the first answer comes: the check takes that answer, and
// knows how long it took.
func TestCheckOverALongWay(t *testing.T) {
	const away = 90 * time.Millisecond
	responder, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer responder.Close()
	with := &wire.ProbeCheck{Ufrag: "ufrag", Password: "password", Candidates: []string{responder.LocalAddr().String()}}
	go func() {
		buffer := make([]byte, maxSTUN)
		for {
			n, from, err := responder.ReadFrom(buffer)
			if err != nil {
				return
			}
			request := &stun.Message{Raw: append([]byte(nil), buffer[:n]...)}
			if request.Decode() != nil {
				continue
			}
			answer := stun.MustBuild(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess, stun.NewShortTermIntegrity(with.Password), stun.Fingerprint)
			time.AfterFunc(away, func() { _, _ = responder.WriteTo(answer.Raw, from) })
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := checkUDP(ctx, with, dscp.Audio, dscp.EF)
	if r.State != ReachAnswers || r.RoundTrip < away || r.RoundTrip > away+2*time.Second {
		t.Errorf("%+v", r)
	}
	wrong := *with
	wrong.Password = "another"
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if r := checkUDP(short, &wrong, dscp.Audio, dscp.EF); r.State != ReachSilent {
		t.Errorf("an answer that is not authentic: %+v", r)
	}
}
