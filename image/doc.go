// Package image holds the tests of the image: they boot what `make image` has built, through firmware, as a box in a rack does.
//
// How the image is made: README.md in this folder. The machine that boots it: package image/qemu.
package image
