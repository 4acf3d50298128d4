package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]error{
		``: ErrMalformed, `null`: ErrMalformed, `[]`: ErrMalformed, `"ping"`: ErrMalformed, `{`: ErrMalformed, `{"type":1}`: ErrMalformed,
		`{"type":"ping"} x`: ErrMalformed, "{\"type\":\"ping\xff\"}": ErrMalformed,
		`{}`: ErrUnknownType, `{"type":"dance"}`: ErrUnknownType,
		`{"type":"ping","sent":"now"}`:                                                   ErrValue,
		`{"type":"set-mute","medium":"smell"}`:                                           ErrValue,
		`{"type":"send-chat","text":" \u0000 "}`:                                         ErrValue,
		`{"type":"send-chat","text":"` + strings.Repeat("x", 4001) + `"}`:                ErrValue,
		`{"type":"hello","min_version":2,"max_version":1}`:                               ErrValue,
		`{"type":"hello","min_version":1,"max_version":1,"video_slots":50}`:              ErrValue,
		`{"type":"hello","min_version":1,"max_version":1,"send":["audio","audio"]}`:      ErrValue,
		`{"type":"hello","min_version":1,"max_version":1,"resume":{}}`:                   ErrValue,
		`{"type":"set-views","views":[{"slot":-1}]}`:                                     ErrValue,
		`{"type":"report","media":[{"medium":"audio","dscp":64}]}`:                       ErrValue,
		`{"type":"answer","generation":1,"sdp":"` + strings.Repeat("x", MaxSDP+1) + `"}`: ErrValue,
		`{"type":"ping","x":"` + strings.Repeat("x", MaxMessage) + `"}`:                  ErrTooLarge,
	} {
		if m, err := Decode([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%.60s: %v, %v; want %v", text, m, err, want)
		}
	}
	var unknown *UnknownTypeError
	if _, err := Decode([]byte(`{"type":"` + strings.Repeat("é", 100) + `"}`)); !errors.As(err, &unknown) || len(unknown.Name) > MaxID || !utf8.ValidString(unknown.Name) {
		t.Errorf("unknown type: %v", err)
	}
}

func TestDecodeAccepts(t *testing.T) {
	for text, want := range map[string]Message{
		` {"sent":5,"type":"ping","later":{"version":[1]}}`:                         Ping{Sent: 5},
		`{"type":"send-chat","text":"\u202ea\r\nb\u0007 "}`:                         SendChat{Text: "a\nb"},
		`{"type":"hello","min_version":1,"max_version":9,"name":" A \n\tB\u0000 "}`: Hello{MinVersion: 1, MaxVersion: 9, Name: "A B"},
	} {
		if got, err := Decode([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, m := range []Message{Offer{Generation: 1}, SetMute{Medium: "smell"}, Joined{}, Bye{}} {
		if data, err := Encode(m); !errors.Is(err, ErrValue) {
			t.Errorf("%+v: %s, %v", m, data, err)
		}
	}
	crowd := make([]Participant, MaxParticipants)
	for i := range crowd {
		crowd[i] = Participant{ID: strings.Repeat("i", MaxID), Name: strings.Repeat("\"", MaxName), Role: RoleParticipant}
	}
	if _, err := Encode(Participants{Participants: crowd}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", " a  b ": "a b", "a\u200fb\ufeff": "ab", "👩\u200d💻": "👩\u200d💻", "é́": "é́", "a\u2028b": "a b", "\u2066x\u2069": "x",
	} {
		if got := CleanLine(in, 100); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := CleanLine("ééé", 5); got != "éé" {
		t.Errorf("cut to %q", got)
	}
	for in, want := range map[string]string{"123 456-789": "123456789", "123456789\n": "123456789", "12": "", "12a4": "", "１２３４": "",
		strings.Repeat("1", 17): "", "1 2 3 4": "1234"} {
		if got := Number(in); got != want {
			t.Errorf("number of %q: %q, want %q", in, got, want)
		}
	}
}

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
		other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
		public := key.Public().(ed25519.PublicKey)
		claims := Claims{ID: NewTokenID(), Zone: "z1", Meeting: "123456789", Role: RoleHost, Expires: time.Now().Add(5 * time.Minute)}
		sign := func(c Claims, k ed25519.PrivateKey) string {
			token, err := SignToken(k, c)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		good := sign(claims, key)
		got, err := VerifyToken(public, "z1", good)
		if err != nil || got.ID != claims.ID || got.Role != RoleHost || got.Meeting != "123456789" || !got.Expires.Equal(claims.Expires.Truncate(time.Second)) {
			t.Fatalf("%+v, %v", got, err)
		}
		part := strings.Split(good, ".")
		encode := base64.RawURLEncoding.EncodeToString
		noRole, noNumber, noID := claims, claims, claims
		noRole.Role, noNumber.Meeting, noID.ID = "king", "12a", ""
		for name, token := range map[string]string{
			"empty": "", "garbage": "a.b.c", "cut": good[:len(good)-4], "long": good + strings.Repeat("x", MaxToken),
			"other key":    sign(claims, other),
			"no algorithm": encode([]byte(`{"alg":"none"}`)) + "." + part[1] + ".",
			"other claims": part[0] + "." + encode([]byte(`{"iss":"z1","sub":"1234","role":"host","jti":"x","exp":99999999999}`)) + "." + part[2],
			"unknown role": sign(noRole, key), "bad number": sign(noNumber, key), "no id": sign(noID, key),
			"symmetric key": encode([]byte(`{"alg":"HS256"}`)) + "." + part[1] + "." + part[2],
			"no expiry":     sign(Claims{ID: "x", Zone: "z1", Meeting: "1234", Role: RoleHost}, key),
		} {
			if c, err := VerifyToken(public, "z1", token); !errors.Is(err, ErrToken) {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		}
		if _, err := VerifyToken(public, "z2", good); !errors.Is(err, ErrToken) {
			t.Errorf("other zone: %v", err)
		}
		time.Sleep(5*time.Minute + time.Second)
		if _, err := VerifyToken(public, "z1", good); !errors.Is(err, ErrToken) {
			t.Errorf("expired: %v", err)
		}
	})
}

// FuzzDecode: what is decoded can be encoded again and decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.JSON))
	}
	f.Add([]byte(`{"type":"send-chat","text":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			for _, known := range []error{ErrMalformed, ErrTooLarge, ErrUnknownType, ErrValue} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("unknown error %v", err)
		}
		again, err := Encode(m)
		if errors.Is(err, ErrTooLarge) {
			return // escaping made it longer
		}
		if err != nil {
			t.Fatal(err)
		}
		same, err := Decode(again)
		if err != nil || fmt.Sprintf("%#v", same) != fmt.Sprintf("%#v", m) && !reflect.DeepEqual(clearEmpty(same), clearEmpty(m)) {
			t.Fatalf("%#v became %#v, %v", m, same, err)
		}
	})
}

// clearEmpty makes empty lists nil, which JSON does not tell apart where they are left out.
func clearEmpty(m Message) Message {
	if h, ok := m.(Hello); ok && len(h.Send) == 0 {
		h.Send = nil
		return h
	}
	return m
}
