package network

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bonds are made whole: the kernel changes mode and LACP only of a bond that has no ports or is down, so one that is to be otherwise is made anew.

func (b Bond) mode() netlink.BondMode {
	if b.LACP {
		return netlink.BOND_MODE_802_3AD
	}
	return netlink.BOND_MODE_ACTIVE_BACKUP
}

func (b Bond) rate() netlink.BondLacpRate {
	if b.Fast {
		return netlink.BOND_LACP_RATE_FAST
	}
	return netlink.BOND_LACP_RATE_SLOW
}

// is says that a link is that bond, whichever ports it has.
func (b Bond) is(l *link) bool {
	return l.bond != nil && l.bond.Mode == b.mode() && l.bond.Miimon == b.MonitorMS && (!b.LACP || l.bond.LacpRate == b.rate())
}

// isOurBond says that an index is that of a bond of the appliance.
func (k kernel) isOurBond(index int) bool {
	for _, l := range k.links {
		if index != 0 && l.index == index {
			return l.bond != nil && l.alias == made
		}
	}
	return false
}

func makeBond(i Interface) step {
	return step{about: i.Name, what: i.Name + ": the bond is not there", take: func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = i.Name
		bond := netlink.NewLinkBond(attrs)
		bond.Mode, bond.Miimon = i.Bond.mode(), i.Bond.MonitorMS
		if i.Bond.LACP {
			bond.LacpRate = i.Bond.rate()
			bond.XmitHashPolicy = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4 // media are many flows between few addresses
		}
		err := netlink.LinkAdd(bond)
		if errors.Is(err, unix.EOPNOTSUPP) {
			return errors.New("this kernel has no bonds (module bonding)")
		}
		if err != nil {
			return err
		}
		return netlink.LinkSetAlias(bond, made)
	}}
}

// planPort puts an interface into its bond, which sets it up. Going in, it must be down.
func planPort(i Interface, l *link, k kernel, m *memory) (steps []step) {
	bond := k.links[i.master]
	switch {
	case bond == nil || bond.bond == nil || bond.alias != made:
		return []step{{about: i.master, what: fmt.Sprintf("%s: it is no port of %s", i.Name, i.master), take: func() error { return fmt.Errorf("%s is not there", i.master) }}}
	case l.master != bond.index:
		return []step{{about: i.master, what: fmt.Sprintf("%s: it is no port of %s", i.Name, i.master), take: func() error {
			if err := m.setsMTU(l); err != nil { // the bond does
				return err
			}
			if err := netlink.LinkSetDown(l.nl); err != nil {
				return err
			}
			return netlink.LinkSetMasterByIndex(l.nl, bond.index)
		}}}
	case !i.Disabled && !l.up:
		return []step{{about: i.master, what: i.Name + ": it is down", take: func() error { return netlink.LinkSetUp(l.nl) }}}
	}
	return nil
}
