package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

// seed is what a box is configured as that nobody has configured yet. It comes from a file beside the system (--seed), which counts only while there is no
// revision: a file that somebody leaves there never changes a configured box.
type seed struct {
	document config.Document
	refused  string // why a file that was there was not taken
}

// readSeed returns the defaults where no file is, or one that cannot be used: then the box starts with them and says why. A box that owns its network
// asks for addresses on every network card, so that it can be reached at all.
func readSeed(file, zoneID string, ownHost bool) seed {
	s := seed{document: config.Default()}
	if ownHost {
		s.document.Network.Interfaces = askedByDefault("/sys/class/net", interfaceNames())
	}
	text, err := os.ReadFile(file)
	switch {
	case file == "" || errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.refused = err.Error()
	case len(strings.TrimSpace(string(text))) == 0: // systemd makes an empty credential of a missing file
	default:
		if d, err := config.Parse(text); err != nil {
			s.refused = err.Error()
		} else {
			s.document = d
		}
	}
	if s.document.Zone.ID == "" {
		s.document.Zone.ID = zoneID
	}
	return s
}

// interfaceNames are those that this process has, which in a network namespace are others than /sys shows.
func interfaceNames() (names []string) {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, one := range all {
		names = append(names, one.Name)
	}
	return names
}

// askedByDefault is every network card among the interfaces, with addresses from the network's own servers. Interfaces without a device are somebody's making.
func askedByDefault(folder string, names []string) (list []config.Interface) {
	const ethernet = "1" // ARPHRD_ETHER
	for _, name := range names {
		_, noDevice := os.Stat(filepath.Join(folder, name, "device"))
		if noDevice == nil && readWord(filepath.Join(folder, name, "type")) == ethernet {
			list = append(list, config.Interface{Name: name, DHCP: []string{config.DHCPAddress, config.DHCPGateway, config.DHCPDNS, config.DHCPNTP}})
		}
	}
	return list
}

// alarms tells of a seed that was not taken, as long as the daemon runs that refused it.
func (s seed) alarms() []adminapi.Alarm {
	if s.refused == "" {
		return nil
	}
	return []adminapi.Alarm{{Code: "seed-refused", Text: fmt.Sprintf("The first configuration that lies beside the system was not taken: %s.", s.refused)}}
}
