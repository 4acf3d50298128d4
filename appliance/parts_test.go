package main

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"meetzone/appliance/config"
)

// TestZonePorts: a change of box.listen, which waits for the next start, does not move links and media to ports where nobody listens.
func TestZonePorts(t *testing.T) {
	running := config.Default()
	running.Box.Listen.HTTPS, running.Box.Listen.Media = ":8443", []string{":8801"}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	d := &daemon{document: running, identity: &identity{zone: key, box: key}}
	wanted := running
	wanted.Zone.Hosts = []string{"meet.example"}
	wanted.Box.Listen.HTTPS, wanted.Box.Listen.Media = ":9443", []string{":9801"}
	cfg := d.zoneConfig(wanted)
	if cfg.Media != ":8801" || !slices.Equal(cfg.URLs, []string{"https://meet.example:8443"}) {
		t.Errorf("media %q, links %q", cfg.Media, cfg.URLs)
	}
}
