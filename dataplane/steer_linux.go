package dataplane

import (
	"context"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Steering: which worker's socket gets what comes from a peer. By itself the kernel spreads peers over the group by a hash, and what arrives at
// another worker than the one that is home to its meeting has to be handed over. So handlers say what belongs to whom (Belongs), and once a
// second a classic BPF program is made of that, which names the socket. It knows no single peers, which would need a map and CAP_BPF, but
// divides them into buckets by a hash of its own; a bucket goes where most of its datagrams belong. What is left is handed over as before.

const (
	bucketBits = 9 // a program of the worst case still fits the 20,480 bytes that kernels before 6.8 allow (net.core.optmem_max)
	buckets    = 1 << bucketBits

	steerEvery = time.Second
	// unsteered is no socket: the kernel's own hash decides.
	unsteered = 1 << 16

	hashAddr = 0x9e3779b1
	hashPort = 0x85ebca6b
)

// bucketOf returns the bucket of a peer, as steeringProgram computes it.
func bucketOf(p *Path) int {
	low := binary.BigEndian.Uint32(p.remote[12:])
	if !isMapped(&p.remote) {
		low ^= binary.BigEndian.Uint32(p.remote[8:])
	}
	return int((low*hashAddr ^ uint32(p.remotePort)*hashPort) >> (32 - bucketBits))
}

// votes is what one worker's handler has said between two looks at it: datagrams by the worker that they belong to, and by bucket.
type votes [][buckets]uint32

// Belongs says that n datagrams which came by a path belong to a worker, so that its like are led there. The handler says it of those alone of
// which it is sure: what anybody can make up must not move anybody. Whether they could be handed over does not matter.
func (w *Worker) Belongs(p *Path, to int, n uint32) {
	if p.rung == UDP && to >= 0 && to < len(w.votes) {
		w.votes[to][bucketOf(p)] += n
	}
}

// steering is which worker gets which bucket. It belongs to runSteering.
type steering struct {
	socks  []int              // a socket of each group
	homes  [buckets]int       // worker, or unsteered
	weight [buckets][]float64 // of late, by the worker that they belong to
}

func newSteering(groups [][]*socket, workers int) *steering {
	s := &steering{}
	for _, g := range groups {
		s.socks = append(s.socks, g[0].fd)
	}
	for b := range s.homes {
		s.homes[b], s.weight[b] = unsteered, make([]float64, workers)
	}
	return s
}

// attach has the kernel steer by homes.
func (s *steering) attach() error {
	program := steeringProgram(&s.homes)
	for _, fd := range s.socks {
		prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &prog); err != nil {
			return err
		}
	}
	return nil
}

// runSteering has the kernel steer anew, at most once a second, when buckets have come to belong elsewhere.
func (p *Plane) runSteering(ctx context.Context) {
	ticker := time.NewTicker(steerEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := p.collectVotes(ctx); err != nil {
			return
		}
		if !p.steering.choose() {
			continue
		}
		if err := p.steering.attach(); err != nil {
			p.cfg.Logger.Warn("steering refused by the kernel; what arrives at other workers is handed over", "error", err)
			return
		}
	}
}

// collectVotes takes what the workers have counted.
func (p *Plane) collectVotes(ctx context.Context) error {
	s := p.steering
	for b := range s.weight {
		for home := range s.weight[b] {
			s.weight[b][home] /= 2
		}
	}
	for _, w := range p.workers {
		if err := w.Do(ctx, func(Instant) { s.count(w.votes) }); err != nil {
			return err
		}
	}
	return nil
}

// count adds what a worker has counted, and has it count from zero.
func (s *steering) count(v votes) {
	for home := range v {
		for b, n := range v[home] {
			s.weight[b][home] += float64(n)
		}
		clear(v[home][:])
	}
}

// choose gives each bucket to the worker to which most of it belongs, and tells whether anything has changed. Where it is nearly even, nothing does.
func (s *steering) choose() (changed bool) {
	const clearly, least = 1.25, 1
	for b, weight := range s.weight {
		best := 0
		for home := range weight {
			if weight[home] > weight[best] {
				best = home
			}
		}
		now := s.homes[b]
		if best != now && weight[best] >= least && (now == unsteered || weight[best] > clearly*weight[now]) {
			s.homes[b], changed = best, true
		}
	}
	return changed
}

// steeringChoice is where a program has the bucket in A and begins to choose.
const steeringChoice = 18

// steeringProgram makes the program. It reads the sender's address and port from the headers, where it expects no options: with those, a datagram goes to
// some worker, as it would without a program.
func steeringProgram(homes *[buckets]int) []unix.SockFilter {
	const (
		network = 0xfff00000 // SKF_NET_OFF: from the network header on
		load4   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		load2   = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		load1   = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		tax     = unix.BPF_MISC | unix.BPF_TAX
		jump    = unix.BPF_JMP | unix.BPF_JA
		mul     = unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K
		xor     = unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X
	)
	program := []unix.SockFilter{
		{Code: load1, K: network},
		{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 4, Jf: 5},
		{Code: load4, K: network + 12}, // IPv4: source address, RFC 791
		{Code: mul, K: hashAddr},
		{Code: tax},
		{Code: load2, K: network + 20},
		{Code: jump, K: 7},             // over the seven for IPv6
		{Code: load4, K: network + 16}, // IPv6: low half of the source address, RFC 8200
		{Code: tax},
		{Code: load4, K: network + 20},
		{Code: xor},
		{Code: mul, K: hashAddr},
		{Code: tax},
		{Code: load2, K: network + 40},
		{Code: mul, K: hashPort}, // the two lead here: port in A, address in X
		{Code: xor},
		{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 32 - bucketBits},
	}
	return appendChoice(program, homes[:], 0)
}

// appendChoice appends what returns the home of the bucket in A, which is one of those that begin with first. Runs of buckets with one home take
// no instruction each.
func appendChoice(program []unix.SockFilter, homes []int, first int) []unix.SockFilter {
	if !slices.ContainsFunc(homes, func(home int) bool { return home != homes[0] }) {
		return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(homes[0])})
	}
	half := 1 << (bits.Len(uint(len(homes)-1)) - 1)
	at := len(program)
	program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: uint32(first + half), Jf: 1}, unix.SockFilter{})
	program = appendChoice(program, homes[:half], first)
	program[at+1] = unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(program) - at - 2)} // further than a conditional jump reaches
	return appendChoice(program, homes[half:], first+half)
}
