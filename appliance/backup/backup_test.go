package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"filippo.io/age"
)

const passphrase = "correct horse battery staple"

func sample() Contents {
	return Contents{Version: Version, Document: "version: 1\n", ZoneKey: []byte("the zone's own key"), Zone: "zone-x", Box: "box-x",
		Certificates: map[string][]byte{"office.pem": []byte("a certificate and a key")}, Users: map[string]json.RawMessage{"ada": json.RawMessage(`{"role":"operate"}`)},
		Tables: map[string]map[string]json.RawMessage{"rooms": {"1234": json.RawMessage(`{"title":"Board"}`)}}}
}

func TestWriteAndRead(t *testing.T) {
	file := new(bytes.Buffer)
	if err := Write(file, passphrase, sample()); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"own key", "zone-x", "ada"} {
		if bytes.Contains(file.Bytes(), []byte(secret)) {
			t.Errorf("%q can be read in the file", secret)
		}
	}
	got, err := Read(bytes.NewReader(file.Bytes()), passphrase)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Read(bytes.NewReader(file.Bytes()), passphrase+"x"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	for i := 0; i < file.Len(); i += 1 + file.Len()/8 { // a key derivation each: a few are enough
		damaged := bytes.Clone(file.Bytes())
		damaged[i] ^= 1
		if _, err := Read(bytes.NewReader(damaged), passphrase); err == nil {
			t.Errorf("byte %d is another and nobody noticed", i)
		}
	}
	if _, err := Read(bytes.NewReader(file.Bytes()[:file.Len()-1]), passphrase); !errors.Is(err, ErrFormat) {
		t.Errorf("cut short: %v", err)
	}
	if err := Write(new(bytes.Buffer), "short", sample()); !errors.Is(err, ErrWeak) {
		t.Errorf("a weak passphrase: %v", err)
	}
}

// TestWorkIsBounded has a file ask for gigabytes of memory.
func TestWorkIsBounded(t *testing.T) {
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	recipient.SetWorkFactor(12)
	file := new(bytes.Buffer)
	w, err := age.Encrypt(file, recipient)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	greedy := bytes.Replace(file.Bytes(), []byte(" 12\n"), []byte(" 24\n"), 1)
	if _, err := Read(bytes.NewReader(greedy), passphrase); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v", err)
	}
	large := sample()
	large.Document = strings.Repeat("x", MaxContents)
	if _, err := Pack(large); !errors.Is(err, ErrLarge) {
		t.Errorf("too large: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	packed, err := Pack(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Unpack(raw)
		if err != nil {
			return
		}
		again, err := Pack(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(again); err != nil {
			t.Fatal(err)
		}
	})
}
