package helper

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestRequestsSurviveTheWire(t *testing.T) {
	for _, r := range []Request{Reboot{Reason: "new cables"}, PowerOff{}, FactoryReset{Reason: "sold"}, SetHostname{Hostname: "box-1.example.org"}} {
		line, err := encode(r)
		if err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%#v: %q, %v", r, line, err)
		}
		if back, err := decode(line); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%#v came back as %#v, %v", r, back, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, line := range map[string]string{
		"empty":           ``,
		"no object":       `7`,
		"no verb":         `{"values":{}}`,
		"unknown verb":    `{"verb":"run","values":{"command":"id"}}`,
		"unknown member":  `{"verb":"reboot","values":{"reason":"x","path":"/etc"}}`,
		"unknown beside":  `{"verb":"reboot","values":{},"as":"root"}`,
		"two values":      `{"verb":"reboot","values":{}} {}`,
		"long reason":     `{"verb":"reboot","values":{"reason":"` + strings.Repeat("x", maxReason+1) + `"}}`,
		"steering reason": `{"verb":"reboot","values":{"reason":"a\u001b[2Jb"}}`,
		"no name":         `{"verb":"set-hostname","values":{"hostname":""}}`,
		"long name":       `{"verb":"set-hostname","values":{"hostname":"` + strings.Repeat("a.", 33) + `a"}}`,
		"hyphen first":    `{"verb":"set-hostname","values":{"hostname":"-a"}}`,
		"slash":           `{"verb":"set-hostname","values":{"hostname":"a/b"}}`,
		"empty label":     `{"verb":"set-hostname","values":{"hostname":"a..b"}}`,
	} {
		if r, err := decode([]byte(line)); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %#v, %v", name, r, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []Request{Reboot{Reason: "x"}, PowerOff{}, SetHostname{Hostname: "box"}} {
		line, err := encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decode(line)
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Errorf("%#v was let in: %v", r, err)
		}
	})
}
