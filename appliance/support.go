package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

// The support bundle: what somebody who is to help needs to know of the box, as one tar.gz. All of the box is asked over the admin API, which gives
// no secrets to anybody; the rest are facts of the kernel that every process may read. What cannot be had is noted, and stops nothing.

// Bounds of a bundle.
const (
	bundlePart     = 4 << 20 // bytes of one file; what is longer is cut
	bundleMeetings = 100     // whose history is taken
	bundleWithin   = 20 * time.Second
)

// kernelFacts are files that tell of the machine and its network.
var kernelFacts = []string{
	"/proc/version", "/proc/cmdline", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/cpuinfo", "/proc/interrupts", "/proc/softirqs", "/proc/net/softnet_stat",
	"/proc/net/snmp", "/proc/net/snmp6", "/proc/net/netstat", "/proc/net/sockstat", "/proc/net/udp", "/proc/net/udp6", "/proc/net/dev", "/proc/pressure/cpu", "/proc/pressure/memory",
	"/proc/pressure/io", "/etc/os-release",
}

// nicFacts are read of each interface below /sys/class/net.
var nicFacts = []string{"operstate", "mtu", "speed", "duplex", "address", "carrier_changes", "tx_queue_len", "device/uevent"}

// bundle is a tar.gz that grows.
type bundle struct {
	tar    *tar.Writer
	at     time.Time
	failed []string
}

// add writes one file, or notes why there is none.
func (b *bundle) add(name string, content []byte, err error) error {
	if err != nil {
		b.failed = append(b.failed, fmt.Sprintf("%s: %v", name, err))
	}
	if len(content) == 0 {
		return nil
	}
	if len(content) > bundlePart {
		b.failed = append(b.failed, fmt.Sprintf("%s: only the last %d of %d bytes", name, bundlePart, len(content)))
		content = content[len(content)-bundlePart:]
	}
	header := &tar.Header{Name: "meetzone-support/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: b.at, Typeflag: tar.TypeReg}
	if err := b.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err = b.tar.Write(content)
	return err
}

// asked adds what the admin API answers.
func asked[T any](b *bundle, name string, value T, err error) error {
	text, bad := json.MarshalIndent(value, "", "  ")
	if err != nil {
		text = nil
	}
	return b.add(name, text, errors.Join(err, bad))
}

// writeBundle gathers everything.
func writeBundle(ctx context.Context, c *adminapi.Client, w io.Writer) (failed []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*bundleWithin)
	defer cancel()
	z := gzip.NewWriter(w)
	b := &bundle{tar: tar.NewWriter(z), at: time.Now()}
	err = errors.Join(b.addBox(ctx, c), b.addMeetings(ctx, c), b.addMachine(ctx))
	if len(b.failed) > 0 {
		err = errors.Join(err, b.add("missing.txt", []byte(strings.Join(b.failed, "\n")+"\n"), nil))
	}
	return b.failed, errors.Join(err, b.tar.Close(), z.Close())
}

// addBox adds what the daemon tells of itself.
func (b *bundle) addBox(ctx context.Context, c *adminapi.Client) error {
	var errs []error
	status, err := c.Status(ctx)
	errs = append(errs, asked(b, "status.json", status, err))
	document, err := c.Config(ctx, "", "")
	errs = append(errs, b.add("config.yaml", []byte(document.YAML), err))
	history, err := c.History(ctx)
	errs = append(errs, asked(b, "history.json", history, err))
	audit, err := c.Audit(ctx, adminapi.AuditQuery{Most: adminapi.MaxAudit})
	errs = append(errs, asked(b, "audit.json", audit, err))
	log, err := c.Log(ctx, adminapi.LogQuery{})
	text := new(bytes.Buffer)
	for _, line := range log.Lines {
		fmt.Fprintf(text, "%s %s %s\n", line.Time.UTC().Format(time.RFC3339), line.Level, line.Text)
	}
	errs = append(errs, b.add("log.txt", text.Bytes(), err))
	network, err := c.BoxNetwork(ctx)
	errs = append(errs, asked(b, "network.json", network, err))
	marks, err := c.Marks(ctx)
	errs = append(errs, asked(b, "marks.json", marks, err))
	died, err := c.MarkPaths(ctx)
	errs = append(errs, asked(b, "mark-paths.json", died, err))
	paths, err := c.Paths(ctx)
	errs = append(errs, asked(b, "paths.json", paths, err))
	zones, err := c.Zones(ctx, "")
	errs = append(errs, asked(b, "zones.json", zones, err))
	certificates, err := c.Certificates(ctx)
	errs = append(errs, asked(b, "certificates.json", certificates, err))
	listen, err := c.Config(ctx, "box.listen.metrics", "")
	var metrics []byte
	if address := strings.Trim(strings.TrimSpace(listen.YAML), `"`); err == nil && address != "" {
		metrics, err = fetchMetrics(ctx, address)
	}
	return errors.Join(append(errs, b.add("metrics.txt", metrics, err))...)
}

// fetchMetrics reads the counters as a scraper would.
func fetchMetrics(ctx context.Context, address string) ([]byte, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "::" || host == "0.0.0.0") {
		address = net.JoinHostPort("localhost", port)
	}
	ctx, cancel := context.WithTimeout(ctx, bundleWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(io.LimitReader(answer.Body, bundlePart))
}

// addMeetings adds who is in meetings, and how good their media were in the last 24 hours.
func (b *bundle) addMeetings(ctx context.Context, c *adminapi.Client) error {
	meetings, err := c.Meetings(ctx)
	errs := []error{asked(b, "meetings.json", meetings, err)}
	for i, m := range meetings.Meetings {
		if i == bundleMeetings {
			b.failed = append(b.failed, fmt.Sprintf("quality: only the first %d meetings", bundleMeetings))
			break
		}
		told := new(adminapi.Error)
		history, err := c.MeetingHistory(ctx, m.Number, 288) // five minutes a sample
		if errors.As(err, &told) && told.Code == adminapi.CodeUnknown {
			continue // nobody has been in it
		}
		errs = append(errs, asked(b, "quality/"+m.Number+".json", history, err))
	}
	return errors.Join(errs...)
}

// addMachine adds facts of the kernel and its network cards, and the end of the journal where it can be read.
func (b *bundle) addMachine(ctx context.Context) error {
	var errs []error
	for _, path := range kernelFacts {
		text, err := readBounded(path, bundlePart)
		errs = append(errs, b.add("kernel"+path, text, err))
	}
	cards, err := filepath.Glob("/sys/class/net/*")
	facts := new(bytes.Buffer)
	for _, card := range cards {
		for _, fact := range nicFacts {
			if text, err := readBounded(filepath.Join(card, fact), 4096); err == nil { // many cards have not all of them
				fmt.Fprintf(facts, "%s %s: %s\n", filepath.Base(card), fact, strings.TrimSpace(string(text)))
			}
		}
	}
	errs = append(errs, b.add("kernel/cards.txt", facts.Bytes(), err))
	ctx, cancel := context.WithTimeout(ctx, bundleWithin)
	defer cancel()
	journal, err := exec.CommandContext(ctx, "journalctl", "--no-pager", "--lines=5000", "--unit=meetzone*", "--output=short-iso").Output()
	return errors.Join(append(errs, b.add("journal.txt", journal, err))...)
}

func newSupportCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "support", Short: "Gather what somebody who is to help needs to know", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "bundle FILE", Short: "Write a support bundle (tar.gz), without secrets", Args: cobra.ExactArgs(1),
		Long: "Writes state, configuration, history, audit log, counters, the quality of meetings of 24 hours, log, and facts of kernel and network cards.\n" +
			"It has names of people and addresses of clients, and no passwords, keys or passcodes.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c := r.client()
			if _, err := c.Status(cmd.Context()); err != nil {
				return err
			}
			out := new(bytes.Buffer)
			failed, err := writeBundle(cmd.Context(), c, out)
			if err == nil {
				err = writeNew(args[0], 0o600, out.Bytes())
			}
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s has %d bytes. What could not be had, in missing.txt: %d.\n", printable(args[0]), out.Len(), len(failed))
			}
			return err
		},
	})
	return cmd
}
