package appliancetest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"meetzone/dataplane/nstest"
)

// firefoxPrefs give a fake camera and microphone, permit them, and keep the browser from talking to anybody else.
const firefoxPrefs = `user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("services.settings.server", "");
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
`

// firefox is a page driven through WebDriver BiDi.
type firefox struct {
	conn    *websocket.Conn
	context string // browsing context

	mu      sync.Mutex // guards what follows
	next    int
	waiting map[int]chan bidiAnswer
}

var _ Browser = (*firefox)(nil)

type bidiAnswer struct {
	ID      int             `json:"id"`
	Type    string          `json:"type"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Result  json.RawMessage `json:"result"`
}

// Firefox starts a headless Firefox with a fake camera and microphone in a namespace and returns its first page.
func Firefox(t testing.TB, ns *nstest.NS) Browser {
	t.Helper()
	return FirefoxKnowing(t, ns, "")
}

// FirefoxKnowing is Firefox with an /etc/hosts of its own, in a mount namespace of its own.
func FirefoxKnowing(t testing.TB, ns *nstest.NS, hosts string) Browser {
	t.Helper()
	program := need(t, "firefox-esr")
	profile := t.TempDir()
	args := append(withHosts(t, hosts, program), "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0", "about:blank")
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := ns.Command(context.Background(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+profile, "MOZ_HEADLESS_WIDTH=1280", "MOZ_HEADLESS_HEIGHT=800")
	line, _ := start(t, cmd, "WebDriver BiDi listening on", 2*time.Minute)
	host := strings.TrimSpace(line[strings.Index(line, "ws://")+len("ws://"):])

	transport := &http.Transport{DialContext: func(_ context.Context, _, _ string) (net.Conn, error) { return dialIn(t, ns, host) }}
	ctx, cancel := context.WithCancel(context.Background())
	conn, _, err := websocket.Dial(ctx, "ws://"+host+"/session", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		cancel()
		t.Fatalf("firefox: %v", err)
	}
	conn.SetReadLimit(64 << 20)
	f := &firefox{conn: conn, waiting: map[int]chan bidiAnswer{}}
	done := make(chan struct{})
	go func() { defer close(done); f.runReader(ctx) }()
	t.Cleanup(func() { cancel(); conn.CloseNow(); <-done })
	f.mustStart(t)
	return f
}

func (f *firefox) mustStart(t testing.TB) {
	t.Helper()
	accept := map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}}
	if err := f.call("session.new", accept, nil); err != nil {
		t.Fatal(err)
	}
	var tree struct {
		Contexts []struct{ Context string }
	}
	if err := f.call("browsingContext.getTree", map[string]any{}, &tree); err != nil || len(tree.Contexts) == 0 {
		t.Fatalf("firefox has no page: %v", err)
	}
	f.context = tree.Contexts[0].Context
	size := map[string]any{"context": f.context, "viewport": map[string]int{"width": 1280, "height": 800}}
	if err := f.call("browsingContext.setViewport", size, nil); err != nil {
		t.Fatal(err)
	}
}

func (f *firefox) runReader(ctx context.Context) {
	for {
		var answer bidiAnswer
		if err := wsjson.Read(ctx, f.conn, &answer); err != nil {
			f.mu.Lock()
			for id, ch := range f.waiting {
				delete(f.waiting, id)
				close(ch)
			}
			f.mu.Unlock()
			return
		}
		f.mu.Lock()
		ch := f.waiting[answer.ID]
		delete(f.waiting, answer.ID)
		f.mu.Unlock()
		if ch != nil && answer.Type != "event" {
			ch <- answer
		}
	}
}

func (f *firefox) call(method string, params, into any) error {
	ch := make(chan bidiAnswer, 1)
	f.mu.Lock()
	f.next++
	id := f.next
	f.waiting[id] = ch
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := wsjson.Write(ctx, f.conn, map[string]any{"id": id, "method": method, "params": params}); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case answer, ok := <-ch:
		if !ok {
			return fmt.Errorf("%s: firefox is gone", method)
		}
		if answer.Type == "error" {
			return fmt.Errorf("%s: %s: %s", method, answer.Error, answer.Message)
		}
		return decode(answer.Result, into)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// Open implements Browser.
func (f *firefox) Open(url string) error {
	return f.call("browsingContext.navigate", map[string]any{"context": f.context, "url": url, "wait": "complete"}, nil)
}

// Eval implements Browser. The value crosses as JSON text, since BiDi's own serialisation is another.
func (f *firefox) Eval(expression string, into any) error {
	var out struct {
		Type   string
		Result struct {
			Value string
		}
		ExceptionDetails struct{ Text string }
	}
	err := f.call("script.evaluate", map[string]any{
		"expression": "(async () => JSON.stringify(await (" + expression + ")) ?? 'null')()", "awaitPromise": true, "userActivation": true,
		"target": map[string]any{"context": f.context},
	}, &out)
	if err != nil {
		return err
	}
	if out.Type == "exception" {
		return fmt.Errorf("eval: %s", out.ExceptionDetails.Text)
	}
	return decode([]byte(out.Result.Value), into)
}

// Screenshot implements Browser.
func (f *firefox) Screenshot() ([]byte, error) {
	var out struct{ Data string }
	if err := f.call("browsingContext.captureScreenshot", map[string]any{"context": f.context}, &out); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(out.Data)
}
