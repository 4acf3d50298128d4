// Package dataplane moves datagrams in batches between a UDP port and the handlers of its workers. It knows addresses, classes and
// sizes; what is inside a datagram is the handler's affair. It refuses to block on sending, to fragment, and to reorder what was
// committed for one path and class (only when the kernel's send buffer is full, audio is kept back and everything else of that round dropped).
//
// The main types: a [Plane] owns one port, possibly on several addresses, and a table of marks. A [Worker] is one thread, pinned to a
// CPU, with a socket of its own in the port's SO_REUSEPORT group to receive from, and an outlet for each class to send through. A [Handler] is what the worker feeds; a [Path] names the two ends of
// a flow; [Actual] says what the kernel granted of what the [Config] wanted, and [WorkerStats] what happened.
//
// A [Stream] carries datagrams over one connection, of the TCP side of the port or handed over by another package, under the same [Path] and Commit.
//
// Goroutines. [Plane.Run] starts one goroutine per worker, runWorker, each locked to its thread, and ends when all of them have ended. With
// several workers runSteering tells the kernel, at most once a second, which peers belong to which.
// A worker owns its sockets, receive and send arenas, counters and handler; nothing on the packet path is locked or shared. Others
// reach it in two ways: [Worker.Post] (a short lock around the list of waiting tasks, never per datagram) and, from another worker's
// thread, [Worker.HandOver] (one single-producer ring per ordered pair of workers). The marks are an immutable table behind an atomic
// pointer, the counters are published once a round. Plane.mu guards the life cycle, egresses.mu the list of egresses without GSO. Each TCP
// listener has a goroutine, runAccept, and each stream runReader and, once it has something to write, runWriter; between worker and writer
// stands the stream's queue under a lock that is taken once for each run of datagrams.
//
// Buffers. A received datagram belongs to the worker and lives until HandleBatch returns. Bytes from [Worker.Reserve] belong to the
// handler until [Worker.Commit], then to the worker until the flush.
//
// Kernel basis: recvmmsg(2), sendmmsg(2), udp(7) UDP_SEGMENT (4.18) and UDP_GRO (5.0), socket(7) SO_REUSEPORT, SO_MARK, SO_RXQ_OVFL,
// ip(7) and ipv6(7) for destination address and TOS; RFC 2474 for marks, RFC 8899 for leaving path MTU to the sender of datagrams.
//
// Caveats. Linux with a 64-bit kernel only. A plane has one port, since a Path has no local port. A task posted after Run has ended is
// refused with net.ErrClosed; one that was accepted is always run. Handlers must not keep the thread: everything else waits for it.
package dataplane
