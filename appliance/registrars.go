package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/dataplane/tunnel"
	"meetzone/dscp"
)

// registrars keep the zone registered with the tunnels that the document names, and serve what clients open through them.
type registrars struct {
	d     *daemon
	alive sync.WaitGroup // runRegistrar and runRegistered

	mu      sync.Mutex // guards what follows
	running map[registration]*tunnel.Registrar
	closed  bool
}

// registration is a tunnel that is wanted, and who it must be.
type registration struct{ url, fingerprint string }

// apply starts and ends registrations until they are as the document says.
func (r *registrars) apply(list []config.Tunnel) (config.Actual, error) {
	wanted := map[registration]bool{}
	for _, t := range list {
		if t.Register {
			wanted[registration{t.URL, t.Fingerprint}] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for one, registrar := range r.running {
		if !wanted[one] {
			_ = registrar.Close()
			delete(r.running, one)
		}
	}
	for one := range wanted {
		if r.running[one] != nil || r.closed {
			continue
		}
		var certificate *tunnel.Fingerprint
		if one.fingerprint != "" {
			parsed, err := tunnel.ParseFingerprint(one.fingerprint)
			if err != nil {
				return nil, err
			}
			certificate = &parsed
		}
		registrar, err := tunnel.NewRegistrar(tunnel.RegistrarConfig{URL: one.url, Fingerprint: certificate, Key: r.d.identity.zone, Dial: r.d.dialMarked, Logger: r.d.log})
		if err != nil {
			return nil, err
		}
		if r.running == nil {
			r.running = map[registration]*tunnel.Registrar{}
		}
		r.running[one] = registrar
		r.alive.Go(func() { r.runRegistrar(registrar) })
		r.alive.Go(func() { r.runRegistered(registrar) })
	}
	return r.observeLocked(list), nil
}

// runRegistrar keeps one registration.
func (r *registrars) runRegistrar(registrar *tunnel.Registrar) { _ = registrar.Run() } // ends with Close, and for no other reason

// runRegistered serves what comes through it, as the HTTPS listener is served.
func (r *registrars) runRegistered(registrar *tunnel.Registrar) {
	if err := ended(r.d.serveTLS(registrar)); err != nil {
		r.d.log.Warn("connections of a tunnel are not served any more", "tunnel", registrar.Addr().String(), "err", err)
	}
}

// observe says which tunnels the zone is registered with.
func (r *registrars) observe(list []config.Tunnel) config.Actual {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.observeLocked(list)
}

func (r *registrars) observeLocked(list []config.Tunnel) (facts config.Actual) {
	for _, t := range list {
		registrar := r.running[registration{t.URL, t.Fingerprint}]
		if !t.Register || registrar == nil {
			continue
		}
		f := config.Fact{Key: "tunnels." + t.Name, Wanted: "registered", Actual: "registered"}
		if _, err := registrar.Problem(); err != nil {
			f.Actual, f.Note = "not registered", err.Error()
		}
		facts = append(facts, f)
	}
	return facts
}

// registerGrace is how long a registration may be missing before it is an alarm.
const registerGrace = 15 * time.Second

// alarms tells of tunnels with which the zone cannot register.
func (r *registrars) alarms() (list []adminapi.Alarm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for one, registrar := range r.running {
		if since, err := registrar.Problem(); err != nil && time.Since(since) > registerGrace {
			list = append(list, adminapi.Alarm{Code: "tunnel", Since: since,
				Text: fmt.Sprintf("The zone is not registered with the tunnel %s: %v. Clients cannot come in that way.", one.url, err)})
		}
	}
	return list
}

// close ends all registrations and waits for them.
func (r *registrars) close() {
	r.mu.Lock()
	r.closed = true
	for one, registrar := range r.running {
		_ = registrar.Close()
		delete(r.running, one)
	}
	r.mu.Unlock()
	r.alive.Wait()
}

// dialMarked opens a connection to a tunnel or to another zone, marked as signalling.
func (d *daemon) dialMarked(ctx context.Context, network, address string) (net.Conn, error) {
	return markedDialer(dscp.Signalling, d.https.marked)(ctx, network, address)
}

// ---- the part of the document

type tunnelsPart struct{ d *daemon }

var _ config.Observer = tunnelsPart{}

func (tunnelsPart) Name() string { return "tunnels" }

func (tunnelsPart) Check(config.Document) error { return nil } // the document's own checks are all there is

func (p tunnelsPart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	return p.d.registrars.apply(doc.Tunnels)
}

func (p tunnelsPart) Observe(doc config.Document) config.Actual {
	return p.d.registrars.observe(doc.Tunnels)
}
