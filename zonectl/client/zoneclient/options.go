package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meetzone/zonectl/client"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// software is what the client says of itself.
const software = "zoneclient"

// options are the flags that join and load share.
type options struct {
	url          string
	passcode     string
	proxy, pac   string
	cache        string
	name         string
	ca           string
	insecure     bool
	audio        string
	video        string
	receiveVideo int
	decode       []string
	length       time.Duration
	profile      string
	asJSON       bool
	verbose      bool
}

// registerReach registers what says how to reach the zone.
func (o *options) registerReach(flags *pflag.FlagSet) {
	flags.StringVar(&o.url, "url", "", "base URL of the zone, or a join link `https://HOST/j/NUMBER`")
	flags.StringVar(&o.ca, "ca", "", "PEM `FILE` with the certificates to trust")
	flags.BoolVar(&o.insecure, "insecure", false, "trust any certificate (tests only)")
	flags.StringVar(&o.proxy, "proxy", "", "HTTP proxy, `http://[USER:PASSWORD@]HOST:PORT`; otherwise that of HTTPS_PROXY and NO_PROXY; none for none")
	flags.StringVar(&o.pac, "pac", "", "PAC file that says which proxy to use, `URL|FILE`; MEETZONE_PROXY_LOGIN may have USER:PASSWORD for its proxies")
	flags.StringVar(&o.cache, "cache", cacheFolder(), "`DIR` that keeps what lookups said and which zone was best; empty for none")
	flags.StringVar(&o.profile, "dscp", "", "DSCP profile of what is sent: rfc4594 (default), webex, zoom, off")
	flags.BoolVar(&o.verbose, "verbose", false, "log everything to standard error, not only warnings")
}

func (o *options) register(flags *pflag.FlagSet) {
	o.registerReach(flags)
	flags.StringVar(&o.passcode, "passcode", "", "passcode of the meeting")
	flags.StringVar(&o.name, "name", "zoneclient", "name that the others see")
	flags.StringVar(&o.audio, "audio", "tone", "what to send: tone, an Opus `FILE.ogg`, or none")
	flags.StringVar(&o.video, "video", "pattern", "what to send: pattern, sizes (one in three sizes, as browsers do), `FILE.ivf`, or none; several with commas between them, one for each codec, of which one must be VP8")
	flags.IntVar(&o.receiveVideo, "receive-video", 1, "number of video slots to receive, 0 to 49")
	flags.StringSliceVar(&o.decode, "decode", []string{"vp8", "vp9", "av1", "h264"}, "codecs of pictures that may be received")
	flags.DurationVar(&o.length, "for", 10*time.Second, "how long to stay once media flow; 0 is until interrupted")
	flags.BoolVar(&o.asJSON, "json", false, "print one JSON object")
}

// cacheFolder is the usual place, "" where there is none.
func cacheFolder() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "meetzone")
}

// config makes the part of the client's configuration that the shared flags say.
func (o *options) config() (client.Config, error) {
	cfg := client.Config{URL: o.url, Passcode: o.passcode, Name: o.name, Software: software, Insecure: o.insecure, Profile: o.profile, Proxy: o.proxy, PAC: o.pac, ProxyLogin: os.Getenv("MEETZONE_PROXY_LOGIN"), Cache: o.cache,
		VideoSlots: o.receiveVideo}
	for _, name := range o.decode {
		i := slices.IndexFunc(media.Pictures[:], func(c media.Codec) bool { return strings.EqualFold(c.String(), name) })
		if i < 0 {
			return cfg, &client.Error{Text: fmt.Sprintf("There is no codec %q.", name), Advice: "Use vp8, vp9, av1 and h264 with --decode."}
		}
		cfg.Decode = append(cfg.Decode, media.Pictures[i])
	}
	if o.url == "" {
		return cfg, &client.Error{Text: "No address was given.", Advice: "Say where the zone is with --url https://HOST."}
	}
	if o.ca != "" {
		roots, err := readRoots(o.ca)
		if err != nil {
			return cfg, err
		}
		cfg.Roots = roots
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return cfg, nil
}

// errNoCertificate says that a file given with --ca is of no use.
var errNoCertificate = errors.New("no certificate in the file")

func readRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, &client.Error{Text: fmt.Sprintf("The file with the certificates cannot be read: %v.", err), Advice: "Check --ca.", Err: err}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &client.Error{Text: fmt.Sprintf("There is no certificate in %s.", path), Advice: "Give a PEM file with --ca.", Err: errNoCertificate}
	}
	return roots, nil
}

// sends lists the media for which there is something to send.
func sends(audio, video, content bool) []wire.Medium {
	var media []wire.Medium
	for i, wanted := range [...]bool{audio, video, content} {
		if wanted {
			media = append(media, wire.Media[i])
		}
	}
	return media
}
