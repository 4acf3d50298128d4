package update

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A bundle is: the magic, the length of the head (four bytes, most significant first), the head as JSON, and UKI, root and verity one behind the other. The head
// holds certificate and manifest, both signed; sizes and sums of the parts are in the manifest. Nothing follows.

const (
	magic   = "meetzone bundle 1\n"
	maxHead = 2 * maxManifest
)

// Reasons to refuse a bundle that have to do with its bytes.
var (
	ErrFormat    = errors.New("the file is no bundle")
	ErrTruncated = errors.New("the bundle is not complete")
	ErrDamaged   = errors.New("the bundle is damaged")
)

// head is the signed beginning of a bundle.
type head struct {
	Certificate Certificate `json:"certificate"`
	Manifest    signed      `json:"manifest"`
}

// Bundle is a bundle whose signatures are good. Its parts are good only when Verify, or a reader of parts, has said so.
type Bundle struct {
	Manifest Manifest
	Key      ReleaseKey
	src      io.ReaderAt
	starts   [3]int64
}

// Open reads the head of a bundle of that many bytes, and checks who signed it.
func Open(src io.ReaderAt, size int64, trust Trust) (*Bundle, error) {
	b, err := OpenHead(io.NewSectionReader(src, 0, size), trust)
	if err != nil {
		return nil, err
	}
	b.src = src
	switch end := b.Size(); {
	case size < end:
		return nil, fmt.Errorf("%w: %d of %d bytes are there", ErrTruncated, size, end)
	case size > end:
		return nil, fmt.Errorf("%w: there are %d bytes behind its end", ErrDamaged, size-end)
	}
	return b, nil
}

// OpenHead reads only the head, as it comes from a stick or a server; the parts cannot be read.
func OpenHead(src io.Reader, trust Trust) (*Bundle, error) {
	var fixed [len(magic) + 4]byte
	if _, err := io.ReadFull(src, fixed[:]); err != nil {
		return nil, fmt.Errorf("%w: it is too short", ErrFormat)
	}
	n := binary.BigEndian.Uint32(fixed[len(magic):])
	if string(fixed[:len(magic)]) != magic || n > maxHead {
		return nil, fmt.Errorf("%w: it begins with something else", ErrFormat)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(src, raw); err != nil {
		return nil, fmt.Errorf("%w: its head is cut off", ErrTruncated)
	}
	var h head
	if err := decodeStrictly(raw, &h); err != nil {
		return nil, fmt.Errorf("%w: its head cannot be read: %w", ErrDamaged, err)
	}
	m, k, err := trust.manifest(h.Certificate, h.Manifest)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Manifest: m, Key: k}
	at := int64(len(fixed)) + int64(n)
	for i, p := range m.parts() {
		b.starts[i] = at
		at += p.Size
	}
	return b, nil
}

// Size is how many bytes the whole bundle has.
func (b *Bundle) Size() int64 { return b.starts[2] + b.Manifest.Verity.Size }

// Start is how many bytes the head has.
func (b *Bundle) Start() int64 { return b.starts[0] }

// MaxHead is how many bytes from the start of a bundle hold its head at most.
const MaxHead = len(magic) + 4 + maxHead

// copyPart writes a part somewhere and says whether its sum is right; progress, if any, is told each stretch.
func (b *Bundle) copyPart(ctx context.Context, w io.Writer, i int, progress func(bytes int64)) error {
	part := b.Manifest.parts()[i]
	sum := sha256.New()
	src := io.NewSectionReader(b.src, b.starts[i], part.Size)
	buffer := make([]byte, 1<<20)
	for left := part.Size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(left, int64(len(buffer)))
		if _, err := io.ReadFull(src, buffer[:n]); err != nil {
			return fmt.Errorf("%w: its end cannot be read: %w", ErrTruncated, err)
		}
		sum.Write(buffer[:n])
		if _, err := w.Write(buffer[:n]); err != nil {
			return err
		}
		left -= n
		if progress != nil {
			progress(n)
		}
	}
	if hex.EncodeToString(sum.Sum(nil)) != part.SHA256 {
		return fmt.Errorf("%w: the sum of %s is wrong", ErrDamaged, [...]string{"the UKI", "the root", "the verity tree"}[i])
	}
	return nil
}

// Verify reads all parts and compares their sums, and that UKI and root belong together.
func (b *Bundle) Verify(ctx context.Context, progress func(bytes int64)) error {
	if _, err := b.uki(ctx, progress); err != nil {
		return err
	}
	return errors.Join(b.copyPart(ctx, io.Discard, 1, progress), b.copyPart(ctx, io.Discard, 2, progress))
}

// uki returns the kernel image, which names the root hash that it boots in its command line.
func (b *Bundle) uki(ctx context.Context, progress func(int64)) ([]byte, error) {
	var to bytes.Buffer
	to.Grow(int(b.Manifest.UKI.Size))
	if err := b.copyPart(ctx, &to, 0, progress); err != nil {
		return nil, err
	}
	if !bytes.Contains(to.Bytes(), []byte("roothash="+b.Manifest.RootHash)) {
		return nil, fmt.Errorf("%w: its UKI boots another root hash", ErrDamaged)
	}
	return to.Bytes(), nil
}

// Contents is what Create makes a bundle of. Sizes and sums of the manifest are filled in.
type Contents struct {
	Manifest          Manifest
	Certificate       Certificate
	Key               ed25519.PrivateKey // the release key
	UKI, Root, Verity io.ReadSeeker
}

// Create writes a bundle. A UKI is padded with zeros to whole sectors.
func Create(w io.Writer, c Contents) (Manifest, error) {
	sources := []io.ReadSeeker{c.UKI, c.Root, c.Verity}
	parts := []*Part{&c.Manifest.UKI, &c.Manifest.Root, &c.Manifest.Verity}
	for i, src := range sources {
		p, err := measure(src)
		if err != nil {
			return c.Manifest, err
		}
		*parts[i] = p
	}
	if err := c.Manifest.Validate(); err != nil {
		return c.Manifest, fmt.Errorf("the manifest would not be valid: %w", err)
	}
	statement, err := sign(c.Key, contextManifest, c.Manifest)
	if err != nil {
		return c.Manifest, err
	}
	raw, err := json.Marshal(head{c.Certificate, statement})
	if err != nil || len(raw) > maxHead {
		return c.Manifest, errors.Join(err, errors.New("the head would be too long"))
	}
	start := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(raw)))
	if _, err := w.Write(append(start, raw...)); err != nil {
		return c.Manifest, err
	}
	for i, src := range sources {
		n, err := io.Copy(w, src)
		if err == nil {
			_, err = w.Write(make([]byte, parts[i].Size-n))
		}
		if err != nil {
			return c.Manifest, err
		}
	}
	return c.Manifest, nil
}

// measure returns size and sum of a source, padded to whole sectors, and goes back to its start.
func measure(src io.ReadSeeker) (Part, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, src)
	if err != nil {
		return Part{}, err
	}
	pad := -n & (sectorSize - 1)
	sum.Write(make([]byte, pad))
	_, err = src.Seek(0, io.SeekStart)
	return Part{n + pad, hex.EncodeToString(sum.Sum(nil))}, err
}
