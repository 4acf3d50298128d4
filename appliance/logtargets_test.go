package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/config"
	"meetzone/storage"
	"meetzone/storage/storagetest"
)

// rsyslog runs Debian's server on loopback, with TLS and without, and writes what it understood of each message into a file.
type rsyslog struct {
	t         *testing.T
	dir       string
	ca        string
	tcp, tls  string // addresses
	file, pid string
	stop      func()
}

func newRsyslog(t *testing.T) *rsyslog {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs rsyslog and rsyslog-gnutls")
		}
		t.Skip("needs rsyslog and rsyslog-gnutls")
	}
	r := &rsyslog{t: t, dir: t.TempDir()}
	r.file, r.ca = filepath.Join(r.dir, "received"), filepath.Join(r.dir, "ca.pem")
	r.makeCertificate()
	r.tcp, r.tls = freePort(t), freePort(t)
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// makeCertificate makes a certificate that is its own authority.
func (r *rsyslog) makeCertificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "log server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"ca.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(r.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// start starts the server; it can be stopped and started again.
func (r *rsyslog) start() {
	r.t.Helper()
	conf := fmt.Sprintf(`global(workDirectory=%q defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
module(load="imtcp")
template(name="fields" type="string" string="%%PRI%%|%%PROTOCOL-VERSION%%|%%TIMESTAMP:::date-rfc3339%%|%%HOSTNAME%%|%%APP-NAME%%|%%MSGID%%|%%STRUCTURED-DATA%%|%%msg%%\n")
ruleset(name="all") { action(type="omfile" file=%q template="fields" flushOnTXEnd="on") }
input(type="imtcp" address="127.0.0.1" port=%q ruleset="all")
input(type="imtcp" address="127.0.0.1" port=%q ruleset="all" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
`, r.dir, r.ca, r.ca, filepath.Join(r.dir, "key.pem"), r.file, justPort(r.tcp), justPort(r.tls))
	path := filepath.Join(r.dir, "rsyslog.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		r.t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(r.dir, "said"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command("rsyslogd", "-n", "-f", path, "-i", filepath.Join(r.dir, "pid"))
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		r.stop = func() {}
	}
	for _, address := range []string{r.tcp, r.tls} {
		r.until("rsyslog listens", func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
}

func justPort(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

func (r *rsyslog) until(what string, ok func() bool) {
	r.t.Helper()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-limit:
			said, _ := os.ReadFile(filepath.Join(r.dir, "said"))
			r.t.Fatalf("not within 30 s: %s\nreceived:\n%s\nrsyslog said:\n%s", what, r.received(), said)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (r *rsyslog) received() string {
	text, _ := os.ReadFile(r.file)
	return string(text)
}

// newTargetDaemon is as much of a daemon as log targets need.
func newTargetDaemon(t *testing.T, store *storage.Store) *daemon {
	t.Helper()
	d := &daemon{store: store, records: newLogRing()}
	d.log = slog.New(d.records.over(slog.NewTextHandler(io.Discard, nil)))
	var err error
	if d.audit, err = audit.Open(audit.Config{Store: store}); err != nil {
		t.Fatal(err)
	}
	if d.targets, err = openLogTargets(d, new(net.Dialer).DialContext); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *daemon) applyTargets(t *testing.T, targets ...config.LogTarget) {
	t.Helper()
	doc := config.Default()
	doc.Log.Targets = targets
	if err := doc.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := d.targets.Check(doc); err != nil {
		t.Fatal(err)
	}
	if _, err := d.targets.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
}

// TestSyslogServer has Debian's rsyslog receive the audit log, alarms and the daemon's log, by TLS and by TCP.
func TestSyslogServer(t *testing.T) {
	r := newRsyslog(t)
	d := newTargetDaemon(t, storagetest.Open(t, storage.Config{}))
	defer d.targets.close()
	for _, one := range []struct { // the last one is looked at below
		name   string
		target config.LogTarget
	}{{"tls", config.LogTarget{URL: "tls://" + r.tls, CA: r.ca, Log: true}}, {"tcp", config.LogTarget{URL: "tcp://" + r.tcp, Log: true}}} {
		name := one.name
		d.applyTargets(t, one.target)
		who := "ada-" + name
		if err := d.audit.Append(t.Context(), audit.Entry{Who: who, Verb: "config commit", Detail: `quotes " ] \ and ä`, Kind: audit.Done, Result: "done"}); err != nil {
			t.Fatal(err)
		}
		r.until("the audit entry by "+name, func() bool {
			for line := range strings.SplitSeq(r.received(), "\n") {
				if strings.HasPrefix(line, "109|1|") && strings.Contains(line, "|meetzone|audit|[meetzone@32473 seq=") && strings.Contains(line, `who="`+who+`"`) &&
					strings.HasSuffix(line, who+`: config commit: done (quotes " ] \ and ä)`) {
					return true
				}
			}
			return false
		})
		d.targets.alarm("disk-filling", &adminapi.Alarm{Text: "The disk fills by " + name + ".", Advice: "Free some."})
		d.targets.alarm("disk-filling", nil)
		d.log.Warn("a line by " + name)
		r.until("alarm and log by "+name, func() bool {
			got := r.received()
			return strings.Contains(got, `alarm="disk-filling" state="raised"`) && strings.Contains(got, "The disk fills by "+name+". Free some.") &&
				strings.Contains(got, `state="over"`) && strings.Contains(got, "a line by "+name)
		})
	}
	if facts := d.targets.Observe(docWith(config.LogTarget{URL: "tcp://" + r.tcp, Log: true})); len(facts) != 1 || !facts[0].Agrees() {
		t.Errorf("told as %+v", facts)
	}
}

func docWith(targets ...config.LogTarget) config.Document {
	doc := config.Default()
	doc.Log.Targets = targets
	return doc
}

// TestSyslogCatchesUp has a server miss things, also while the daemon is away: it gets each entry of the audit log once it is back.
func TestSyslogCatchesUp(t *testing.T) {
	r := newRsyslog(t)
	cfg := storage.Config{Path: filepath.Join(t.TempDir(), "s.db")}
	target := config.LogTarget{URL: "tcp://" + r.tcp}
	store := storagetest.Open(t, cfg)
	d := newTargetDaemon(t, store)
	n := 0
	act := func() {
		n++
		if err := d.audit.Append(context.Background(), audit.Entry{Who: "ada", Verb: fmt.Sprintf("verb%03d.", n), Kind: audit.Done, Result: "done"}); err != nil {
			t.Fatal(err)
		}
	}
	act() // before there was a server: it does not get this one
	d.applyTargets(t, target)
	act()
	r.until("the first", func() bool { return strings.Contains(r.received(), "verb002.") })
	r.stop()
	r.until("noticed that the server is gone", func() bool { return !d.targets.now[0].sender.Status().Connected })
	for range 20 {
		act()
	}
	d.targets.close()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	d = newTargetDaemon(t, storagetest.Open(t, cfg))
	defer func() { d.targets.close() }()
	d.applyTargets(t, target)
	act()
	r.start()
	r.until("all that was missed", func() bool { return strings.Contains(r.received(), fmt.Sprintf("verb%03d.", n)) })
	got := r.received()
	for i := 2; i <= n; i++ {
		if verb := fmt.Sprintf("verb=\"verb%03d.\"", i); strings.Count(got, verb) != 1 {
			t.Errorf("%s came %d times", verb, strings.Count(got, verb))
		}
	}
	if strings.Contains(got, "verb001.") {
		t.Error("the server got what was before its time")
	}
}

// TestSyslogChecksTheServer has a server whose certificate nobody trusts: nothing is sent there.
func TestSyslogChecksTheServer(t *testing.T) {
	r := newRsyslog(t)
	d := newTargetDaemon(t, storagetest.Open(t, storage.Config{}))
	defer d.targets.close()
	d.applyTargets(t, config.LogTarget{URL: "tls://" + r.tls})
	d.targets.alarm("drops", nil)
	r.until("refused", func() bool {
		s := d.targets.now[0].sender.Status()
		return s.Err != nil && strings.Contains(s.Err.Error(), "certificate")
	})
	if got := r.received(); got != "" {
		t.Errorf("sent all the same: %s", got)
	}
}
