package qemu

import (
	"fmt"
	"io"
)

// archive writes an initramfs (Documentation/driver-api/early-userspace/buffer-format.rst, the format "newc").
type archive struct {
	w     io.Writer
	at    int64
	inode int
	err   error
}

const (
	modeFolder = 0o040755
	modeFile   = 0o100755
	modeDevice = 0o020600
)

func (a *archive) folder(name string)            { a.entry(name, modeFolder, 0, 0, nil) }
func (a *archive) file(name string, data []byte) { a.entry(name, modeFile, 0, 0, data) }
func (a *archive) device(name string, major, minor int) {
	a.entry(name, modeDevice, major, minor, nil)
}

func (a *archive) entry(name string, mode, major, minor int, data []byte) {
	a.inode++
	links := 1
	a.write([]byte(fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", a.inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0)))
	a.write(append([]byte(name), 0))
	a.pad()
	a.write(data)
	a.pad()
}

func (a *archive) end() error {
	a.entry("TRAILER!!!", 0, 0, 0, nil)
	return a.err
}

func (a *archive) pad() { a.write(make([]byte, (4-a.at%4)%4)) }

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(b)
	a.at, a.err = a.at+int64(n), err
}
