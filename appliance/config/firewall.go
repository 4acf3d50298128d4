package config

import (
	"fmt"
	"slices"
	"strings"
)

// Firewall is what others may reach by the interfaces of the document. Each role has its ports: service those of HTTPS and media, management those of
// ssh and, unless they are on loopback, metrics, cluster that of HTTPS; an interface without a role has all. Where no
// interface is for management, its ports are open by all interfaces.
type Firewall struct {
	Enabled        bool       `yaml:"enabled" help:"drops what comes by an interface of network.interfaces for a port that its role does not have"`
	ManagementFrom []string   `yaml:"management_from" help:"subnets from which the ports of management can be reached; empty: from anywhere"`
	Open           []OpenPort `yaml:"open" help:"further ports"`
}

// OpenPort is a port beside those that the roles have.
type OpenPort struct {
	Name     string   `yaml:"name" help:"what it is for, in small letters, digits and hyphens"`
	Protocol string   `yaml:"protocol" values:"tcp|udp" help:"tcp or udp"`
	Port     int      `yaml:"port" help:"1 to 65535"`
	Role     string   `yaml:"role" values:"|service|management|cluster" help:"of the interfaces that it is open on; empty: all"`
	From     []string `yaml:"from" help:"subnets from which it can be reached; empty: from anywhere"`
}

// Names of the ports that roles have, which no further one may take.
var roleports = []string{"https", "media", "metrics", "ssh"}

const maxOpenPorts = 32

// HasRole says that an interface has a role.
func (n Network) HasRole(role string) bool {
	return slices.ContainsFunc(n.Interfaces, func(i Interface) bool { return i.Role == role })
}

// warnings names what a firewall leaves open that somebody may think closed.
func (n Network) warnings() (out []string) {
	if len(n.Interfaces) > 0 && n.Firewall.Enabled && !n.HasRole("") && !n.HasRole(RoleManagement) {
		out = append(out, "network.interfaces: none has the role management, so that its ports (ssh, metrics) are open by all of them")
	}
	return out
}

func (f Firewall) check(c *checker) {
	at := "network.firewall"
	for i, text := range f.ManagementFrom {
		c.subnet(fmt.Sprintf("%s.management_from[%d]", at, i), text)
	}
	c.that(len(f.ManagementFrom) <= maxOpenPorts, at+".management_from", "there are more than %d subnets", maxOpenPorts)
	c.that(len(f.Open) <= maxOpenPorts, at+".open", "there are more than %d ports", maxOpenPorts)
	for i, one := range f.Open {
		where := fmt.Sprintf("%s.open[%d]", at, i)
		c.that(one.Name != "" && len(one.Name) <= 31 && strings.Trim(one.Name, nameLetters) == "", where+".name", "%q is no name: use small letters, digits and hyphens", one.Name)
		c.that(!slices.Contains(roleports, one.Name), where+".name", "%s is the name of a port that roles have; choose another", one.Name)
		twice := slices.ContainsFunc(f.Open[:i], func(other OpenPort) bool { return other.Name == one.Name })
		c.that(!twice, where+".name", "%s is there twice", one.Name)
		c.oneOf(where+".protocol", one.Protocol, "tcp", "udp")
		c.between(where+".port", one.Port, 1, 65535)
		c.that(one.Role == "" || slices.Contains([]string{RoleService, RoleManagement, RoleCluster}, one.Role), where+".role", "%q is not one of service, management, cluster; leave it empty for all", one.Role)
		c.that(len(one.From) <= maxOpenPorts, where+".from", "there are more than %d subnets", maxOpenPorts)
		for j, text := range one.From {
			c.subnet(fmt.Sprintf("%s.from[%d]", where, j), text)
		}
	}
}
