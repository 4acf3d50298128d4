package appliancetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"meetzone/dataplane/nstest"
)

// chromium is a page driven through the DevTools protocol.
type chromium struct{ ctx context.Context }

var _ Browser = (*chromium)(nil)

// Chromium starts a headless Chromium with a fake camera and microphone in a namespace and returns its first page.
func Chromium(t testing.TB, ns *nstest.NS, more ...chromedp.ExecAllocatorOption) Browser {
	t.Helper()
	return ChromiumKnowing(t, ns, "", more...)
}

// ChromiumKnowing is Chromium with an /etc/hosts of its own, in a mount namespace of its own.
func ChromiumKnowing(t testing.TB, ns *nstest.NS, hosts string, more ...chromedp.ExecAllocatorOption) Browser {
	t.Helper()
	program := need(t, "chromium")
	// The driver talks to the browser through a pipe, so it does not matter that the browser is in another namespace.
	wrapper := filepath.Join(t.TempDir(), "chromium")
	command := withHosts(t, hosts, program)
	for i, word := range command {
		command[i] = "'" + word + "'"
	}
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter --net=%s %s \"$@\"\n", ns.Path(), strings.Join(command, " "))
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(wrapper), chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=20"), chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("auto-select-desktop-capture-source", "Entire screen"), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("lang", "en-US"), chromedp.Flag("hide-scrollbars", true), chromedp.WindowSize(1280, 800), chromedp.CombinedOutput(&said),
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v\n%s", err, said.String())
	}
	return &chromium{ctx: ctx}
}

// ChromiumThrough is Chromium that uses a proxy, host:port, and shows it the name and the password of a person when it asks, as the person would.
func ChromiumThrough(t testing.TB, ns *nstest.NS, proxy, user, password string) Browser {
	t.Helper()
	c := Chromium(t, ns, chromedp.ProxyServer("http://"+proxy)).(*chromium)
	if user == "" {
		return c
	}
	asked := chromedp.Events(c.ctx, fetch.AuthRequired)
	paused := chromedp.Events(c.ctx, fetch.RequestPaused)
	yes := true
	if _, err := chromedp.Call(c.ctx, fetch.Enable, fetch.EnableParams{HandleAuthRequests: &yes}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for one, err := range asked {
			if err != nil {
				return
			}
			_, _ = chromedp.Call(c.ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{RequestID: one.RequestID, AuthChallengeResponse: &fetch.AuthChallengeResponse{
				Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: user, Password: password}}) // the page that is gone needs no answer
		}
	}()
	go func() {
		for one, err := range paused {
			if err != nil {
				return
			}
			_, _ = chromedp.Call(c.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: one.RequestID})
		}
	}()
	return c
}

// Open implements Browser.
func (c *chromium) Open(url string) error {
	if err := chromedp.Do(c.ctx, chromedp.Navigate(url)); err != nil {
		return fmt.Errorf("open %s: %w", url, err)
	}
	return nil
}

// Eval implements Browser. The value crosses as JSON text, as it does with Firefox.
func (c *chromium) Eval(expression string, into any) error {
	ctx, cancel := context.WithTimeout(c.ctx, 30*time.Second)
	defer cancel()
	text := "(async () => JSON.stringify(await (" + expression + ")) ?? 'null')()"
	raw, err := chromedp.Run(ctx, chromedp.Evaluate[string](text, func(p *runtime.EvaluateParams) {
		chromedp.EvalAwaitPromise(p)
		yes := true
		p.UserGesture = &yes
	}))
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return decode(json.RawMessage(raw), into)
}

// Screenshot implements Browser.
func (c *chromium) Screenshot() ([]byte, error) {
	ctx, cancel := context.WithTimeout(c.ctx, 30*time.Second)
	defer cancel()
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}
