package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is a Chromium with fake devices; each of its pages is a person.
type browser struct {
	t   *testing.T
	ctx context.Context
	axe string // source of axe-core
}

// openBrowser starts Chromium with a profile of its own. Where there is none the test is skipped, but not where CI is set.
func openBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("drives a browser: left out by -short")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed: apt-get install chromium")
		}
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	axe, err := os.ReadFile("testdata/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal("axe-core is not installed: run npm ci in zonectl/web/testdata")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=15"), chromedp.Flag("lang", "en-US"),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns,Translate"), chromedp.Flag("allow-loopback-in-peer-connection", true),
		chromedp.Flag("auto-select-desktop-capture-source", "Entire screen"), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true), chromedp.Flag("hide-scrollbars", true), chromedp.WindowSize(1280, 800),
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	must(t, chromedp.Do(ctx))
	return &browser{t: t, ctx: ctx, axe: string(axe)}
}

// devices answers the browser's questions for camera and microphone with yes.
func devices() chromedp.ExecAllocatorOption {
	return chromedp.Flag("use-fake-ui-for-media-stream", true)
}

// noDevices answers them with no.
func noDevices() chromedp.ExecAllocatorOption { return chromedp.Flag("deny-permission-prompts", true) }

// person is one page.
type person struct {
	t   *testing.T
	ctx context.Context
	axe string
}

// person opens a page of the given size. What the page logs as an error fails the test.
func (b *browser) person(url string, width, height int64, scheme string) *person {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	must(b.t, chromedp.Do(ctx))
	must(b.t, chromedp.Listen(ctx, func(event any) {
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			b.t.Errorf("exception in the page: %v %v", event.ExceptionDetails.Text, event.ExceptionDetails.Exception)
		case *runtime.EventConsoleAPICalled:
			if event.Type == runtime.ConsoleAPICalledTypeError {
				b.t.Logf("console: %s", consoleText(event))
			}
		}
	}))
	p := &person{t: b.t, ctx: ctx, axe: b.axe}
	p.look(width, height, scheme)
	p.run(chromedp.Navigate(url))
	return p
}

// look sets the size of the page and the system's theme.
func (p *person) look(width, height int64, scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500,
	})
	must(p.t, err)
	_, err = chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	must(p.t, err)
}

// density sets the size of the page and how many device pixels a CSS pixel has.
func (p *person) density(width, height int64, scale float64) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale})
	must(p.t, err)
}

func consoleText(event *runtime.EventConsoleAPICalled) string {
	var parts []string
	for _, arg := range event.Args {
		parts = append(parts, string(arg.Value)+arg.Description)
	}
	return strings.Join(parts, " ")
}

func (p *person) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.shot("failed")
		p.t.Fatal(err)
	}
}

// wait asks until a JavaScript expression is true. It does so from here: the page's policy permits no code made of text.
func (p *person) wait(expression string) {
	p.t.Helper()
	p.waitUpTo(20*time.Second, expression)
}

// waitUpTo is wait with a patience of its own.
func (p *person) waitUpTo(patience time.Duration, expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	ask := chromedp.Evaluate[bool](fmt.Sprintf("(() => { try { return Boolean(%s) } catch { return false } })()", expression))
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ok, err := chromedp.Run(ctx, ask); err == nil && ok {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			p.shot("failed")
			text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			p.t.Fatalf("waited in vain for %s; the page says:\n%s", expression, text)
		}
	}
}

// sees waits for a text on the page.
func (p *person) sees(text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// button presses the visible button with this text or label, of the dialog where one is open.
func (p *person) button(name string) {
	p.t.Helper()
	find := fmt.Sprintf(`[...(document.querySelector('dialog[open]') ?? document).querySelectorAll('button')].find((b) => b.checkVisibility() &&
		!b.disabled && [b.innerText.trim(), b.getAttribute('aria-label'), b.querySelector('.tool-text')?.textContent].includes(%q))`, name)
	p.wait(find)
	p.run(chromedp.Evaluate[chromedp.Void]("void "+find+".click()", func(params *runtime.EvaluateParams) {
		yes := true
		params.UserGesture = &yes
	}))
}

// keys presses keys one after the other; names as in chromedp/kb.
func (p *person) keys(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.run(chromedp.KeyEvent(key))
	}
}

// press presses a key that the page takes for itself. A browser drops the character of such a key; the protocol's own KeyEvent does not.
func (p *person) press(key, code string) {
	p.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		_, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: key, Code: code})
		must(p.t, err)
	}
}

// enter types into what has the focus.
func (p *person) enter(text string) {
	p.t.Helper()
	p.wait("document.activeElement.matches('input, textarea')")
	p.run(chromedp.KeyEvent(text))
}

// tabTo presses Tab until the condition holds.
func (p *person) tabTo(condition string) {
	p.t.Helper()
	p.wait("document.querySelector('h1')")
	for range 80 {
		if eval[bool](p, "Boolean("+condition+")") {
			if !eval[bool](p, "document.activeElement.matches(':focus-visible')") {
				p.t.Errorf("the focus is not to be seen at %s", condition)
			}
			return
		}
		p.keys(kb.Tab)
	}
	p.shot("failed")
	p.t.Fatalf("the Tab key never reached %s", condition)
}

// eval returns the value of an expression, a promise's when it is one.
func eval[T any](p *person, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, func(params *runtime.EvaluateParams) {
		yes := true
		params.AwaitPromise = &yes
	}))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// tryJoin fills the lobby's form in and sends it.
func (p *person) tryJoin(name string) {
	p.t.Helper()
	p.wait("document.querySelector('input[autocomplete=name]')")
	p.run(chromedp.SetValue(chromedp.CSS("input[autocomplete=name]"), name))
	p.button("Join now")
}

// join goes from the lobby into the meeting.
func (p *person) join(name string) {
	p.t.Helper()
	p.tryJoin(name)
	p.wait("document.querySelector('.meeting')")
}

// shot keeps a picture of the page where WEB_SHOTS names a folder.
func (p *person) shot(name string) {
	folder := os.Getenv("WEB_SHOTS")
	if folder == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	data, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), data, 0o644)
	}
	if err != nil {
		p.t.Logf("picture %s: %v", name, err)
	}
}

// accessible runs axe-core, with its best practices, and keeps a picture.
func (p *person) accessible(name string) {
	p.t.Helper()
	p.run(chromedp.Evaluate[chromedp.Void](p.axe + "; void 0"))
	found := eval[string](p, `Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {})))
		.then(() => axe.run(document, { resultTypes: ['violations'] }))
		.then((result) => JSON.stringify(result.violations.map((v) => ({ id: v.id, help: v.help, nodes: v.nodes.map((n) => n.html + ' ' + n.failureSummary) }))))`)
	p.shot(name)
	var violations []struct {
		ID, Help string
		Nodes    []string
	}
	must(p.t, json.Unmarshal([]byte(found), &violations))
	for _, v := range violations {
		p.t.Errorf("axe in %s: %s (%s):\n%s", name, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
	}
}

// eventually waits for something that the server side sees.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatal("waited in vain")
		}
	}
}
