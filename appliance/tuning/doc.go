// Package tuning knows what the kernel's settings should be for a box that forwards media, reads what they are, and sets those of network cards.
//
// A [Setting] is one of them, wanted and actual, with what it is for and what it was measured to gain. [Read] returns them all and changes
// nothing. [Apply] sets those of a network card that differ, by ethtool, for which CAP_NET_ADMIN is enough. Keys of the kernel need root: the
// image has systemd set them at boot (init/meetzone.sysctl, init/meetzone.tmpfiles), and here they are only looked at.
//
// Nothing is ever lowered: what stands above what is wanted is right. What a kernel, a card or a namespace does not have is no fault and says so.
//
// Kernel basis: sysctl net.core (Documentation/admin-guide/sysctl/net.rst), cpufreq (admin-guide/pm/cpufreq.rst), ethtool's ioctls.
// There are no goroutines and no locks.
package tuning
