package main

import (
	"slices"
	"testing"

	"meetzone/appliance/config"
)

// TestManagementPorts: ssh is open by the interfaces of management, and by all where there is none of them, so that nobody is locked out of a box with
// one network.
func TestManagementPorts(t *testing.T) {
	d := &daemon{document: config.Default()}
	by := func(roles ...string) []string {
		doc := config.Default()
		for i, role := range roles {
			doc.Network.Interfaces = append(doc.Network.Interfaces, config.Interface{Name: []string{"eth0", "eth1"}[i], Role: role})
		}
		w, err := d.wantedFirewall(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range w.Open {
			if o.Name == "ssh" {
				return o.Interfaces
			}
		}
		return nil
	}
	if open := by(config.RoleService); !slices.Equal(open, []string{"eth0"}) {
		t.Errorf("one network: ssh by %v", open)
	}
	if open := by(config.RoleService, config.RoleCluster); !slices.Equal(open, []string{"eth0", "eth1"}) {
		t.Errorf("none of management: ssh by %v", open)
	}
	if open := by(config.RoleService, config.RoleManagement); !slices.Equal(open, []string{"eth1"}) {
		t.Errorf("with one of management: ssh by %v", open)
	}
}
