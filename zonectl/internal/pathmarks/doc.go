// Package pathmarks remembers with which code points media arrive, for each subnet of clients, medium and direction: what tells where in a
// network marks die. It holds samples, not packets, in bounded memory: when there are too many subnets, the one that was heard least recently goes.
//
// The types: a Table, which may be used by several goroutines, of Paths. Table.mu is its only lock.
package pathmarks
