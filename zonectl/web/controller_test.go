package web_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"iter"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"meetzone/zonectl"
	"meetzone/zonectl/web"
	"meetzone/zonectl/wire"
)

// table keeps nothing over a restart, which is enough for a controller that lives as long as a test.
type table[V any] map[string]V

func (m table[V]) Put(_ context.Context, key string, value V) error {
	m[key] = value
	return nil
}

func (m table[V]) Delete(_ context.Context, key string) error {
	delete(m, key)
	return nil
}

func (m table[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for key, value := range m {
			if !yield(key, value) {
				return
			}
		}
	}
}

// serveController serves a real controller on a real router.
func serveController(t *testing.T) (controller *zonectl.Controller, address string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	controller, err = zonectl.New(zonectl.Config{}, zonectl.Deps{
		Router: zonectl.OnRouter(openRouter(t)), SigningKey: key, Web: web.Handler(),
		Store: zonectl.Store{Rooms: table[zonectl.Room]{}, Tokens: table[zonectl.APIToken]{}},
	})
	must(t, err)
	server := httptest.NewUnstartedServer(controller.Handler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.StartTLS()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- controller.Run(ctx) }()
	t.Cleanup(func() {
		_ = controller.Close()
		cancel()
		<-ran
		server.CloseClientConnections()
		server.Close()
	})

	return controller, server.URL
}

// TestBrowserWithController is the same journey without anything scripted: the real controller, the real router, two people.
func TestBrowserWithController(t *testing.T) {
	controller, address := serveController(t)
	b := openBrowser(t, devices())
	ada := b.person(address+"/", 1100, 700, "dark")
	ada.wait("document.querySelectorAll('.card input').length === 3")
	ada.tabTo("document.activeElement.closest('[aria-labelledby=start-title]')")
	ada.enter("Design")
	ada.keys("\t")
	ada.enter("open sesame")
	ada.keys("\r")
	ada.sees("join as its host")
	link := eval[string](ada, "location.href")
	ada.join("Ada")
	bob := b.person(link, 1100, 700, "light")
	bob.wait("document.querySelector('.preview video')?.videoWidth > 0")
	bob.tryJoin("Bob")
	bob.sees("There is no meeting with this number and passcode.")
	bob.enter("open sesame")
	bob.button("Join now")
	for _, p := range []*person{ada, bob} {
		p.wait(othersPlaying + " === 1")
		p.wait("[...document.querySelectorAll('audio')].some((a) => !a.paused && a.currentTime > 0)")
	}
	lookAtQuality(t, controller, ada, bob)
	bob.press("p", "KeyP")
	bob.button("Become host")
	bob.enter("guess")
	bob.keys("\r")
	bob.sees("That is not the host key of this meeting.")
	ada.button("Share screen")
	bob.wait("document.querySelector('.tile.content.playing video')?.videoWidth > 0")
	bob.button("Share screen")
	bob.sees("Somebody else is sharing.")
	ada.shot("controller-ada")
	bob.shot("controller-bob")
	ada.press("p", "KeyP")
	ada.button("Mute Bob")
	bob.sees("Ada muted you.")
	bob.press("m", "KeyM")
	bob.sees("A host has muted you.")
	bob.wait("document.querySelector('.tool.off')")
	ada.button("End meeting")
	ada.button("End meeting")
	bob.sees("The meeting has ended.")
	ada.sees("The meeting has ended.")
}

// lookAtQuality reads scores and graphs in the panel, and finds the same at the controller: good ones, since nothing is in the way.
func lookAtQuality(t *testing.T, controller *zonectl.Controller, ada, bob *person) {
	t.Helper()
	graph := func(medium int, label string) string {
		return fmt.Sprintf("[...document.querySelectorAll('.medium')[%d].querySelectorAll('.graph')].find((g) => g.innerText.includes('%s'))", medium, label)
	}
	bob.press("i", "KeyI")
	for medium := range 2 {
		bob.wait("/↑ [345](\\.\\d)?\\s+↓ [345]/.test(" + graph(medium, "Quality") + ".innerText)")
		bob.wait("/now [345].*lowest.*now [345]/.test(" + graph(medium, "Quality") + ".querySelector('svg').getAttribute('aria-label'))")
	}
	bob.wait("/↑ [1-9]\\d*\\s+↓ [1-9]/.test(" + graph(1, "Pictures") + ".innerText)")
	bob.wait(graph(1, "Bit rate") + ".querySelector('path.down').getAttribute('d').split('L').length > 5")
	bob.accessible("quality-light")
	ada.press("i", "KeyI")
	ada.wait("/↑ [345]/.test(" + graph(0, "Quality") + ".innerText)")
	ada.accessible("quality-dark")
	ada.look(360, 740, "dark")
	ada.wait("document.querySelector('.tool.leave').getBoundingClientRect().right <= 360")
	ada.accessible("quality-360")
	if eval[bool](ada, "document.querySelector('.panel-scroll').scrollWidth > document.querySelector('.panel-scroll').clientWidth") {
		t.Error("the panel is wider than 360 pixels")
	}
	ada.look(1100, 700, "dark")
	ada.keys("\x1b")
	bob.keys("\x1b")

	number := eval[string](bob, "location.pathname.split('/').at(-1)")
	eventually(t, func() bool { // a client's second report tells the first rates
		info, err := controller.Meeting(t.Context(), number)
		must(t, err)
		return len(info.Participants) == 2 && isWhole(info.Participants[0].Quality) && isWhole(info.Participants[1].Quality)
	})
	eventually(t, func() bool {
		kept := controller.History(number, 1000, 100_000)
		return len(kept) == 1 && len(kept[0].People) == 2 && len(kept[0].People[0].Flows) >= 4
	})
}

// isWhole says whether everything is known that a browser and the router can tell of sound and picture.
func isWhole(q []wire.MediumQuality) bool {
	if len(q) < 2 || q[0].Up == nil || q[0].Down == nil || q[1].Up == nil || q[1].Down == nil {
		return false
	}
	sound, sent, shown := q[0].Down, q[1].Up, q[1].Down
	return sound.Concealed != nil && sent.FPS != nil && *sent.FPS > 1 && shown.FPS != nil && *shown.FPS > 1 && shown.Frozen != nil && shown.Bitrate > 0
}

// TestBrowserFullPage looks at 49 people on one page, of whom 48 are native clients that really send pictures: all of them are to be seen, and move.
func TestBrowserFullPage(t *testing.T) {
	controller, address := serveController(t)
	meeting, err := controller.CreateMeeting(zonectl.MeetingSpec{Title: "All hands"})
	must(t, err)
	b := openBrowser(t, devices())
	p := b.person(address+"/j/"+meeting.Number, 1920, 1080, "dark")
	p.wait("document.querySelector('.preview video')?.videoWidth > 0")
	p.join("Mina")
	folder := t.TempDir()
	run(t, "ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=8", "-t", "8", "-c:v", "libvpx", "-b:v", "60k", "-g", "16", folder+"/clip.ivf")
	run(t, "go", "build", "-o", folder+"/zoneclient", "meetzone/zonectl/client/zoneclient")
	crowd := exec.Command(folder+"/zoneclient", "load", "--url", address, "--insecure", "--meeting", meeting.Number, "--participants", "48", "--receive-video", "0",
		"--video", folder+"/clip.ivf", "--senders-audio", "2", "--for", "2m")
	must(t, crowd.Start())
	t.Cleanup(func() {
		_ = crowd.Process.Kill()
		_ = crowd.Wait()
	})
	p.waitUpTo(time.Minute, othersPlaying+" === 48")
	p.wait("document.querySelectorAll('.tile').length === 49")
	const frames = "[...document.querySelectorAll('.tile:not(.self) video')].map((v) => v.getVideoPlaybackQuality().totalVideoFrames)"
	before := eval[[]int](p, frames)
	p.wait(fmt.Sprintf("((before) => %s.every((n, i) => n > before[i] + 4))(%s)", frames, strings.Join(strings.Fields(fmt.Sprint(before)), ",")))
	p.accessible("full-page-dark")
}

// run runs a command of the system.
func run(t *testing.T, name string, arguments ...string) {
	t.Helper()
	if output, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, output)
	}
}
