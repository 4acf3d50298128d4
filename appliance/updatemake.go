package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/update"
)

// What whoever makes releases does, offline and on a machine of their own: keys and bundles. None of this asks a daemon, and no private key is ever on a box.

func newKeygenCommand() *cobra.Command {
	var out, rootKey, comment string
	var serial uint32
	var days int
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a root key, or with --root-key a release key (offline)",
		Long: "Without --root-key it makes a root key: NAME.key is private and belongs into a safe, NAME.pub goes into images.\n\n" +
			"With --root-key it makes a release key: NAME.key is private and signs bundles, NAME.cert is the root key's word for it and goes into bundles. " +
			"Boxes that have taken a bundle of a release key refuse those with a lower --serial from then on.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			public, private, err := ed25519.GenerateKey(nil)
			if err != nil {
				return err
			}
			if rootKey == "" {
				return errors.Join(writeNew(out+".key", 0o600, update.EncodeKey(update.KindRootPrivate, private.Seed())),
					writeNew(out+".pub", 0o644, update.EncodeKey(update.KindRootPublic, public)))
			}
			root, err := privateKey(update.KindRootPrivate, rootKey)
			if err != nil {
				return err
			}
			now := time.Now().UTC().Truncate(time.Second)
			certificate, err := update.Certify(root, update.ReleaseKey{Key: public, Serial: serial, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(0, 0, days), Comment: comment})
			if err != nil {
				return err
			}
			raw, err := json.Marshal(certificate)
			if err != nil {
				return err
			}
			return errors.Join(writeNew(out+".key", 0o600, update.EncodeKey(update.KindReleasePrivate, private.Seed())), writeNew(out+".cert", 0o644, append(raw, '\n')))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&out, "out", "", "`NAME` of the files to write")
	flags.StringVar(&rootKey, "root-key", "", "private root key `FILE`, to make a release key")
	flags.Uint32Var(&serial, "serial", 1, "serial number of the release key; higher than that of every one before")
	flags.IntVar(&days, "days", 400, "how long the release key is good")
	flags.StringVar(&comment, "comment", "", "whose the release key is")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// makeFlags are those of `appliance update bundle`.
type makeFlags struct {
	key, certificate, uki, root, verity, rootHash, notes, built, out string
	manifest                                                         update.Manifest
}

func newBundleCommand() *cobra.Command {
	f := makeFlags{manifest: update.Manifest{Format: update.ManifestFormat, State: update.StateVersion, MinimumState: update.MinimumStateVersion}}
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Make a signed bundle of an image's parts (offline)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := f.run()
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: version %s, %d bytes of image\n", f.out, made.Version, made.UKI.Size+made.Root.Size+made.Verity.Size)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "private release key `FILE`")
	flags.StringVar(&f.certificate, "cert", "", "`FILE` with the root key's word for it")
	flags.StringVar(&f.uki, "uki", "", "unified kernel image `FILE`")
	flags.StringVar(&f.root, "root", "", "root file system `FILE`")
	flags.StringVar(&f.verity, "verity", "", "`FILE` with the root's dm-verity hash tree")
	flags.StringVar(&f.rootHash, "root-hash", "", "root `HASH`, or a file with it")
	flags.StringVar(&f.manifest.Version, "version", "", "version, as 0.9.1")
	flags.StringVar(&f.manifest.Architecture, "architecture", "x86-64", "architecture")
	flags.StringSliceVar(&f.manifest.Hardware, "hardware", []string{update.GenericHardware}, "models it runs on")
	flags.StringVar(&f.manifest.Floor, "floor", "", "version below which nothing is installed any more once this one is good")
	flags.StringVar(&f.notes, "notes", "", "`FILE` with what is new, for people")
	flags.StringVar(&f.built, "built", "", "`TIME` of the build as 2026-01-31T12:00:00Z; without it, now")
	flags.StringVar(&f.out, "out", "", "bundle `FILE` to write")
	for _, name := range []string{"key", "cert", "uki", "root", "verity", "root-hash", "version", "out"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f makeFlags) run() (made update.Manifest, err error) {
	contents := update.Contents{Manifest: f.manifest}
	if contents.Key, err = privateKey(update.KindReleasePrivate, f.key); err != nil {
		return made, err
	}
	raw, err := os.ReadFile(f.certificate)
	if err == nil {
		err = json.Unmarshal(raw, &contents.Certificate)
	}
	if err != nil {
		return made, fmt.Errorf("reading the certificate of the release key: %w", err)
	}
	if contents.Manifest.RootHash, err = rootHash(f.rootHash); err != nil {
		return made, err
	}
	contents.Manifest.Built = time.Now().UTC().Truncate(time.Second)
	if f.built != "" {
		if contents.Manifest.Built, err = time.Parse(time.RFC3339, f.built); err != nil {
			return made, fmt.Errorf("--built: %w", err)
		}
	}
	if f.notes != "" {
		notes, err := os.ReadFile(f.notes)
		if err != nil {
			return made, err
		}
		contents.Manifest.Notes = string(notes)
	}
	for _, part := range []struct {
		path string
		to   *io.ReadSeeker
	}{{f.uki, &contents.UKI}, {f.root, &contents.Root}, {f.verity, &contents.Verity}} {
		file, err := os.Open(part.path)
		if err != nil {
			return made, err
		}
		defer file.Close()
		*part.to = file
	}
	out, err := os.Create(f.out)
	if err != nil {
		return made, err
	}
	made, err = update.Create(out, contents)
	return made, errors.Join(err, out.Sync(), out.Close())
}

// rootHash takes the digits, or a file with them.
func rootHash(s string) (string, error) {
	if raw, err := hex.DecodeString(s); err == nil && len(raw) == 32 {
		return s, nil
	}
	raw, err := os.ReadFile(s)
	if err != nil {
		return "", fmt.Errorf("reading the root hash: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func privateKey(kind, path string) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := update.DecodeKeys(kind, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ed25519.NewKeyFromSeed(keys[0]), nil
}

// writeNew writes a file that must not be there yet: a key is never overwritten.
func writeNew(path string, mode os.FileMode, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: fmt.Sprintf("%s is there already.", filepath.Base(path)), Advice: "Choose another --out; keys are never overwritten."}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func newShowCommand() *cobra.Command {
	r := new(remote)
	var keys string
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Verify a bundle and show what it holds (offline)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, done, err := openBundle(args[0], keys)
			if err != nil {
				return err
			}
			defer done()
			if err := b.Verify(cmd.Context(), nil); err != nil {
				return err
			}
			return r.show(cmd, b.Manifest, func(w io.Writer) { printManifest(w, b) })
		},
	}
	cmd.Flags().BoolVar(&r.asJSON, "json", false, "print JSON for programs")
	cmd.Flags().StringVar(&keys, "root-keys", update.DefaultRootKeys, "`FILE` of public root keys")
	return cmd
}

// openBundle opens a bundle file and checks its signatures.
func openBundle(path, rootKeys string) (b *update.Bundle, done func(), err error) {
	raw, err := os.ReadFile(rootKeys)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the root keys: %w", err)
	}
	roots, err := update.RootKeys(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", rootKeys, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		b, err = update.Open(f, info.Size(), update.Trust{Roots: roots, Now: time.Now()})
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return b, func() { _ = f.Close() }, nil
}

func printManifest(w io.Writer, b *update.Bundle) {
	m := b.Manifest
	table(w, [][]string{{"Version", m.Version}, {"Built", when(m.Built)}, {"For", m.Architecture + " on " + strings.Join(m.Hardware, ", ")}, {"Floor", dash(m.Floor)},
		{"State", fmt.Sprintf("%d, readable from %d", m.State, m.MinimumState)}, {"Root hash", m.RootHash}, {"Bytes", fmt.Sprint(b.Size())},
		{"Release key", fmt.Sprintf("number %d, until %s %s", b.Key.Serial, b.Key.NotAfter.Format(time.DateOnly), oneLine(b.Key.Comment))}})
	if m.Notes != "" {
		fmt.Fprintf(w, "\n%s\n", printable(strings.TrimSpace(m.Notes)))
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
