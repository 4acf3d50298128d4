package verity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrMismatch says that data, tree and root hash do not belong together.
var ErrMismatch = errors.New("the data do not match their root hash")

// superblock is what is read of one.
type superblock struct {
	blocks int64 // of data
	salt   []byte
}

// The sizes that images of this product have. Others are refused rather than believed.
const (
	blockSize = 4096
	perBlock  = blockSize / sha256.Size
	maxBlocks = 1 << 30 // 4 TiB
)

// readSuperblock reads the first sector of the hash device. struct verity_sb of cryptsetup.
func readSuperblock(tree io.ReaderAt) (sb superblock, err error) {
	var raw [512]byte
	if _, err := tree.ReadAt(raw[:], 0); err != nil {
		return sb, err
	}
	saltSize := binary.LittleEndian.Uint16(raw[80:])
	switch {
	case string(raw[:8]) != "verity\x00\x00" || binary.LittleEndian.Uint32(raw[8:]) != 1:
		return sb, errors.New("there is no verity superblock")
	case binary.LittleEndian.Uint32(raw[12:]) != 1 || string(bytes.TrimRight(raw[32:64], "\x00")) != "sha256":
		return sb, errors.New("the hash tree is not of type 1 with sha256")
	case binary.LittleEndian.Uint32(raw[64:]) != blockSize || binary.LittleEndian.Uint32(raw[68:]) != blockSize:
		return sb, fmt.Errorf("the hash tree's blocks are not of %d bytes", blockSize)
	case saltSize > 256:
		return sb, errors.New("the salt is too long")
	}
	blocks := binary.LittleEndian.Uint64(raw[72:])
	if blocks == 0 || blocks > maxBlocks {
		return sb, errors.New("the number of data blocks is out of bounds")
	}
	return superblock{int64(blocks), bytes.Clone(raw[88:][:saltSize])}, nil
}

// Check reads data and tree and compares them with the root hash. The tree's device begins with the superblock. Errors wrap ErrMismatch, or are of reading.
func Check(ctx context.Context, data, tree io.ReaderAt, root []byte) error {
	sb, err := readSuperblock(tree)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	c := checker{ctx: ctx, sb: sb, tree: tree}
	// The levels lie from the root downwards behind the superblock; the lowest hashes the data.
	var sizes []int64
	for n := sb.blocks; n > 1; {
		n = (n + perBlock - 1) / perBlock
		sizes = append(sizes, n)
	}
	at := int64(1)
	c.starts = make([]int64, len(sizes))
	for i := len(sizes) - 1; i >= 0; i-- {
		c.starts[i] = at
		at += sizes[i]
	}
	c.open = make([][]byte, len(sizes))
	c.next = make([]int64, len(sizes))
	if err := c.run(data); err != nil {
		return err
	}
	if !bytes.Equal(c.top, root) {
		return fmt.Errorf("%w: it is %x", ErrMismatch, c.top)
	}
	return nil
}

// checker carries hashes up the tree, one open block a level.
type checker struct {
	ctx    context.Context
	sb     superblock
	tree   io.ReaderAt
	starts []int64  // first block of each level, lowest first
	open   [][]byte // hashes of each level that do not fill a block yet
	next   []int64  // blocks of each level that were compared
	top    []byte
}

func (c *checker) run(data io.ReaderAt) error {
	buffer := make([]byte, 256*blockSize)
	for at := int64(0); at < c.sb.blocks; {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(buffer)/blockSize), c.sb.blocks-at)
		part := buffer[:n*blockSize]
		if _, err := data.ReadAt(part, at*blockSize); err != nil {
			return fmt.Errorf("reading the data: %w", err)
		}
		for ; len(part) > 0; part = part[blockSize:] {
			if err := c.add(0, c.hash(part[:blockSize])); err != nil {
				return err
			}
		}
		at += n
	}
	for level := range c.open {
		if len(c.open[level]) > 0 {
			if err := c.close(level); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) hash(block []byte) []byte {
	h := sha256.New()
	h.Write(c.sb.salt)
	h.Write(block)
	return h.Sum(nil)
}

// add takes the hash of a block into a level; above the highest it is the root.
func (c *checker) add(level int, sum []byte) error {
	if level == len(c.open) {
		c.top = sum
		return nil
	}
	c.open[level] = append(c.open[level], sum...)
	if len(c.open[level]) == blockSize {
		return c.close(level)
	}
	return nil
}

// close compares a level's open block with the disk's, and hands its hash up.
func (c *checker) close(level int) error {
	want := make([]byte, blockSize)
	copy(want, c.open[level])
	have := make([]byte, blockSize)
	at := c.starts[level] + c.next[level]
	if _, err := c.tree.ReadAt(have, at*blockSize); err != nil {
		return fmt.Errorf("reading the hash tree: %w", err)
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("%w: block %d of the hash tree differs", ErrMismatch, at)
	}
	c.open[level] = c.open[level][:0]
	c.next[level]++
	return c.add(level+1, c.hash(have))
}
