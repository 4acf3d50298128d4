// Package drift tells when somebody has changed what the kernel is wanted to hold, and has it looked at again.
//
// A Watch listens to groups of the kernel's notices over netlink (rtnetlink(7), nf_tables). Run calls heal after each: soon enough to be done
// within a second, seldom enough that two programs that undo each other's work do not eat the processor. Notices can be lost, so that it also
// calls heal without any. What its owner changes itself is noticed too; heal then finds nothing to do.
//
// Goroutines: runWatch, which is Run itself, and runListener for each socket.
package drift
