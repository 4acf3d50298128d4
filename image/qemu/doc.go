// Package qemu boots Debian's kernel in QEMU for tests, with the test program itself as the only process: what a test finds out there is true of the
// kernel that the image will have, and not of the one that happens to run the tests. It is for tests only, needs no root and no KVM.
//
// The types: a [Guest] says what to boot; [Guest.Run] boots it, and the same test goes on inside, where [InGuest] is true. [Main] belongs into TestMain of every package
// that does so: as process 1 it mounts what Linux programs expect, loads the kernel modules that were packed, runs the tests and switches the machine off.
//
// The guest has a serial console, which becomes the output of the test, and two virtual network cards on one hub, eth0 and eth1: what one sends the other receives.
//
// The kernel comes from the Debian package linux-image-amd64, unpacked below the folder .cache of this package by the script fetch-kernel.
package qemu
