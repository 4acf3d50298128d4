// Package nstest gives tests network namespaces of their own, links between them, and a look at what is on the wire. It is for tests
// only, needs root, and touches nothing outside the namespaces it makes.
//
// The main types: an [NS] is a named namespace with a unique name, which ends with its test; [Link] joins two of them by a veth pair,
// [NS.Bridge] and [Attach] several by a bridge, [NS.Forward] makes one a router. A [Capture] collects what an interface sends and
// receives, as decoded [Packet] values.
//
// [Emulate] joins two namespaces by a link that is as bad as a [Path] says: rate, queue, delay, jitter, loss, reordering, duplicates, each
// direction by itself and changing by a schedule of [Step]s. Its [Emulator] counts what becomes of packets and keeps a [Sample] of the queue
// for each tenth of a second. It needs no netem, works on what is real traffic for both kernels, and costs about 0.2 cores at 50 Mbit/s.
//
// Goroutines. Whatever has to happen inside a namespace is done by a goroutine with a thread of its own, which ends with it, so that no
// thread of the program is ever left in the wrong namespace. A capture has one goroutine, runCapture, which ends when it is closed;
// Capture.mu guards the packets it has collected. An emulator has one, runEmulator, with a thread of its own; Emulator.mu guards its pipes.
//
// Links behave like plain network cards: checksum and segmentation offload is switched off, so that a capture shows datagrams as they
// would travel, and costs are not those of memory alone. [NS.SetOffload] switches it on again for tests that need speed. Addresses skip
// duplicate address detection and can be used at once.
//
// Kernel basis: network_namespaces(7), veth(4), the TUN/TAP driver (Documentation/networking/tuntap.rst), packet(7), setns(2).
// Processes are put into a namespace by nsenter(1).
//
// Caveat: a function given to [NS.Do] must do its work itself. Goroutines that it starts run elsewhere; sockets that it opens stay in
// the namespace for good.
package nstest
