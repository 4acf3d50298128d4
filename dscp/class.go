package dscp

import "fmt"

// Class is a traffic class of the policy: what a packet carries, as far as the network cares. The zero value
// is Signalling, so that a packet nobody classified is treated like the control traffic that it most likely is.
type Class uint8

// The classes, in the order in which status and metrics list them.
const (
	Signalling Class = iota // control channel, HTTPS, STUN checks of a transport that has no medium yet
	Audio
	Video
	Content
	Cluster
	Management
	Bulk           // downloads, updates
	NumClasses int = iota
)

var classNames = [NumClasses]string{"signalling", "audio", "video", "content", "cluster", "management", "bulk"}

// String returns the lower-case name that the configuration document and the metrics use.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

// ParseClass reads the name of a class.
func ParseClass(s string) (Class, error) {
	for i, name := range classNames {
		if name == s {
			return Class(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no traffic class: use one of %v", s, classNames)
}

// Fwmark returns the netfilter mark that carries the class to the kernel: every mechanism behind the socket
// selects by it, because all media leave from one port. It is never zero, which is everybody else's traffic.
func (c Class) Fwmark() uint32 { return fwmarkBase | uint32(c) + 1 }

// fwmarkBase keeps our marks apart from those that other software on the same host may use.
const fwmarkBase = 0x4d5a0000 // "MZ"

// Marks is what the sender needs of a policy: one code point for each class.
type Marks [NumClasses]CodePoint
