package web_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"meetzone/mmr"
	"meetzone/zonectl/web"
	"meetzone/zonectl/wire"
)

const othersPlaying = "document.querySelectorAll('.tile.playing:not(.self):not(.content) video').length"

// TestBrowsersMeet lets two pages meet through a real router: both see and hear each other over three transports, talk, share a screen, lose
// connections and get over it, until the host removes one and ends the meeting.
func TestBrowsersMeet(t *testing.T) {
	z := newZone(t)
	b := openBrowser(t, devices())
	ada := b.person(z.url+"/", 1280, 800, "dark")
	ada.accessible("home-dark")
	ada.button("Start")
	ada.sees("join as its host")
	ada.wait("document.querySelector('.preview video')?.videoWidth > 0")
	ada.accessible("lobby-dark")
	ada.join("Ada Lovelace")
	ada.sees("You are the only one here")
	ada.shot("meeting-alone")
	bob := b.person(z.url+"/j/"+meetingNumber, 1280, 800, "light")
	bob.wait("document.querySelector('.preview video')?.videoWidth > 0")
	bob.wait("Number(document.querySelector('.level').getAttribute('aria-valuenow')) > 0")
	bob.accessible("lobby-light")
	bob.join("Bob")
	for _, p := range []*person{ada, bob} {
		p.wait(othersPlaying + " === 1")
		p.wait("[...document.querySelectorAll('audio')].some((a) => !a.paused && a.currentTime > 0)")
	}
	ada.accessible("meeting-two-dark")
	bob.accessible("meeting-two-light")
	if views := heard[wire.SetViews](z, "Ada Lovelace"); len(views) == 0 {
		t.Error("no views were asked for")
	}
	lookAtConnection(t, bob)
	talk(ada, bob)
	muteAndShow(ada, bob)
	shareScreen(t, z, ada, bob)
	loseWays(t, z, bob)
	actAsHost(ada, bob)
}

// lookAtConnection reads the panel: three transports, encrypted, with figures.
func lookAtConnection(t *testing.T, bob *person) {
	bob.button("Connection")
	bob.wait("[...document.querySelectorAll('.badge')].map((b) => b.textContent).join() === 'UDP,UDP,UDP'")
	bob.sees("AEAD_AES_128_GCM")
	bob.wait("/↑ [1-9].*\\s+↓ [1-9]/.test(document.querySelector('.medium .graphs').innerText)")
	if n := eval[int](bob, "new Set([...document.querySelectorAll('.medium .facts dt')].filter((d) => d.textContent === 'This device').map((d) => d.nextSibling.textContent)).size"); n != 3 {
		t.Errorf("%d different addresses of this device, want one for each medium", n)
	}
	// When a picture was shown is known to one frame, of which a machine with much to do shows few.
	const frames = "Number(/↓ (\\d+)/.exec([...document.querySelectorAll('.graph')].find((g) => g.innerText.includes('Pictures')).innerText)[1])"
	bob.wait("Math.abs(parseInt([...document.querySelectorAll('.facts dt')].find((d) => d.textContent === 'Lip sync').nextSibling.textContent)) < 80 + 1000 / " + frames)
	bob.accessible("connection")
}

// talk sends texts both ways; what looks like a shortcut is text while typing.
func talk(ada, bob *person) {
	bob.button("Chat")
	bob.enter("Hello Ada, the plan is at https://example.test/plan")
	bob.press("Enter", "Enter")
	ada.sees("1 new")
	ada.press("c", "KeyC")
	ada.sees("Hello Ada")
	ada.enter("Thanks! c m v")
	ada.press("Enter", "Enter")
	bob.wait("[...document.querySelectorAll('.chat-text')].some((p) => p.textContent === 'Thanks! c m v')")
	ada.accessible("chat-dark")
	bob.accessible("chat-light")
	ada.keys(kb.Escape)
	ada.wait("document.activeElement.textContent.includes('Chat')")
}

// muteAndShow turns microphone and camera off and on by keys.
func muteAndShow(ada, bob *person) {
	ada.keys("m")
	bob.wait("document.querySelector('.tile:not(.self) .flag[aria-label=Muted]')")
	ada.keys("v")
	bob.wait(othersPlaying + " === 0")
	bob.shot("camera-off")
	ada.keys("v", "m")
	bob.wait(othersPlaying + " === 1 && !document.querySelector('.tile:not(.self) .flag[aria-label=Muted]')")
}

// shareScreen shows a screen and takes it back.
func shareScreen(t *testing.T, z *zone, ada, bob *person) {
	ada.button("Share screen")
	bob.wait("document.querySelector('.tile.content.playing video')?.videoWidth > 0")
	bob.accessible("content")
	ada.accessible("sharing")
	// The browser marks its uplink as it was told: EF, AF41, AF42.
	eventually(t, func() bool { return z.marks(t, "Ada Lovelace") == [mmr.NumMedia]int{46, 34, 36} })
	ada.button("Stop sharing")
	bob.wait("!document.querySelector('.tile.content')")
}

// loseWays breaks the control channel, then restarts ICE, then replaces the whole connection.
func loseWays(t *testing.T, z *zone, bob *person) {
	z.cut()
	bob.sees("Reconnecting")
	bob.wait("document.querySelector('.status').textContent === '' && " + othersPlaying + " === 1")
	for _, fresh := range []bool{false, true} {
		before := len(heard[wire.Answer](z, "Bob"))
		z.mu.Lock()
		for _, m := range z.participants {
			if m.Name == "Bob" {
				z.offer(m, fresh)
			}
		}
		z.mu.Unlock()
		eventually(t, func() bool { return len(heard[wire.Answer](z, "Bob")) > before })
		bob.wait("document.querySelector('.status').textContent === '' && " + othersPlaying + " === 1")
	}
	at := eval[float64](bob, "document.querySelector('.tile:not(.self) video').currentTime")
	bob.wait(fmt.Sprintf("document.querySelector('.tile:not(.self) video').currentTime !== %v", at))
}

// actAsHost locks, mutes, asks, removes and ends.
func actAsHost(ada, bob *person) {
	ada.keys("p")
	ada.button("Lock meeting")
	bob.wait("document.querySelector('.meeting-title .flag').checkVisibility()")
	ada.button("Mute Bob")
	bob.sees("Ada Lovelace muted you.")
	ada.accessible("people-dark")
	ada.button("Ask Bob to unmute")
	bob.sees("asks you to unmute")
	bob.accessible("asked")
	bob.button("Unmute")
	ada.wait("[...document.querySelectorAll('.person')].some((p) => p.innerText.includes('Bob') && p.querySelector('[aria-label=\"Microphone on\"]'))")
	ada.button("Remove Bob")
	ada.sees("cannot come back")
	ada.accessible("ask")
	ada.button("Remove")
	bob.sees("A host removed you from the meeting.")
	bob.accessible("removed")
	ada.button("End meeting")
	ada.button("End meeting")
	ada.sees("The meeting has ended.")
}

// TestBrowserKeyboardAlone goes from the start page to the end of a meeting without a pointer.
func TestBrowserKeyboardAlone(t *testing.T) {
	z := newZone(t)
	b := openBrowser(t, devices())
	p := b.person(z.url+"/", 1024, 700, "light")
	p.wait("document.querySelector('input.number')")
	p.accessible("home-light")
	p.tabTo("document.activeElement.matches('input.number')")
	p.enter("482 913-756")
	p.keys(kb.Enter)
	p.tabTo("document.activeElement.matches('input[autocomplete=name]')")
	p.enter("Grace")
	p.keys(kb.Enter)
	p.wait("document.querySelector('.meeting') && document.activeElement.tagName === 'H1'")
	p.keys("?")
	p.wait("document.querySelector('dialog[open]')")
	p.accessible("help")
	p.keys(kb.Escape)
	p.wait("!document.querySelector('dialog')")
	p.keys("m")
	p.wait("document.querySelector('.tool.off')")
	p.keys("p")
	p.wait("document.activeElement.matches('.panel h2')")
	p.tabTo("document.activeElement.textContent === 'Become host'")
	p.keys(kb.Enter)
	p.enter("wrong")
	p.accessible("claim")
	p.keys(kb.Enter)
	p.sees("That is not the host key of this meeting.")
	p.accessible("notice-error")
	p.tabTo("document.activeElement.textContent === 'Become host'")
	p.keys(kb.Enter)
	p.enter(hostKey)
	p.keys(kb.Enter)
	p.sees("You are a host now.")
	p.tabTo("document.activeElement.getAttribute('aria-label') === 'Settings'")
	p.keys(kb.Enter)
	p.wait("document.querySelector('dialog[open] .devices')")
	p.accessible("settings")
	p.keys(kb.Escape)
	p.tabTo("document.activeElement.matches('.tool.leave')")
	p.keys(kb.Enter)
	p.wait("document.querySelector('dialog[open]')")
	p.tabTo("document.activeElement.textContent === 'Leave'")
	p.keys(kb.Enter)
	p.sees("You left the meeting")
	p.accessible("left")
	eventually(t, func() bool {
		z.mu.Lock()
		defer z.mu.Unlock()
		return len(z.participants) == 0
	})
}

// TestBrowserManyPeople looks at a full meeting on a large and a small screen.
func TestBrowserManyPeople(t *testing.T) {
	z := newZone(t)
	b := openBrowser(t, devices())
	p := b.person(z.url+"/j/"+meetingNumber, 360, 740, "dark")
	p.accessible("lobby-360")
	if wide := eval[bool](p, "document.documentElement.scrollWidth > innerWidth"); wide {
		t.Error("the lobby is wider than 360 pixels")
	}
	p.join("Mina Park")
	names := []string{"Ada Lovelace", "김민수", "Grace Hopper", "Alan Turing", "이서연", "Katherine Johnson", "Radia Perlman", "Edsger Dijkstra", "Barbara Liskov"}
	var people []wire.Participant
	for i := range 29 {
		person := wire.Participant{ID: fmt.Sprintf("x%d", i), Name: names[i%len(names)], Role: wire.RoleParticipant, Audio: i%3 == 0}
		if i == 1 {
			person.Role = wire.RoleHost
		}
		people = append(people, person)
	}
	z.invent(people...)
	z.say(wire.Speaker{Participant: "x3"})
	p.wait("document.querySelector('.tile.speaking')")
	p.accessible("many-360-dark")
	if wide := eval[bool](p, "document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight"); wide {
		t.Error("the meeting does not fit 360 × 740 pixels")
	}
	p.button("Next page")
	p.sees("2 of")
	p.button("People")
	p.accessible("people-360")
	p.keys("c")
	p.accessible("chat-360")
	p.keys(kb.Escape)
	p.look(360, 740, "light")
	p.keys("l")
	p.wait("document.querySelector('.tile.main')")
	p.accessible("speaker-360")
	p.keys("l", "[")
	// A speaker who would be on a later page comes to the first one.
	z.say(wire.Speaker{Participant: "x27"})
	p.wait("document.querySelector('.tile.speaking')")
	p.button("Show Ada Lovelace large")
	p.wait("document.querySelector('.tile.main [aria-pressed=true]')")

	p = b.person(z.url+"/j/"+meetingNumber, 1280, 800, "dark")
	p.wait("document.querySelector('.preview video')?.videoWidth > 0")
	p.join("Jin")
	p.wait("document.querySelectorAll('.tile').length > 20")
	p.accessible("many-dark")
	p.keys("l")
	p.wait("document.querySelector('.tile.main')")
	p.accessible("speaker-dark")
	p.keys("l", "p")
	p.look(1280, 800, "light")
	p.accessible("people-light")
}

// TestBrowserErrorsSayWhatToDo looks at every sentence in place.
func TestBrowserErrorsSayWhatToDo(t *testing.T) {
	z := newZone(t)
	z.passcode = "secret"
	insecure := httptest.NewServer(web.Handler())
	defer insecure.Close()
	address, err := url.Parse(insecure.URL)
	must(t, err)
	b := openBrowser(t, noDevices(), chromedp.Flag("host-resolver-rules", "MAP meetzone.test "+address.Host))
	p := b.person(z.url+"/j/"+meetingNumber, 1024, 800, "light")
	p.sees("does not allow this page to use the camera")
	p.sees("does not allow this page to use the microphone")
	p.accessible("no-devices")
	p.button("Join now")
	p.sees("Your name is missing.")
	p.run(chromedp.SetValue(chromedp.CSS("input[autocomplete=name]"), "Eve"))
	p.button("Join now")
	p.sees("no meeting with this number and passcode")
	p.wait("document.activeElement.matches('input[type=password][aria-invalid=true]')")
	p.accessible("refused")
	p.enter("secret")
	for code, sentence := range map[wire.Code]string{
		wire.CodeLocked: "The meeting is locked. Ask the host", wire.CodeFull: "The zone cannot take more people at present. Try again", wire.CodeEnded: "The meeting has ended. Start a new one",
		wire.CodeGuess: "Try again in 10 min", wire.CodeDrain: "is being serviced", "brand-new": "A sentence of the server. Its advice.",
	} {
		z.mu.Lock()
		z.refuse = &wire.Error{Code: code, Text: "A sentence of the server.", Advice: "Its advice.", Retry: 600}
		z.mu.Unlock()
		p.button("Join now")
		p.sees(sentence)
	}
	p.accessible("guess")
	z.mu.Lock()
	z.refuse = nil
	z.startRefused = &wire.Error{Code: wire.CodePolicy, Text: "no"}
	z.mu.Unlock()
	p.button("Join now") // without camera and microphone
	p.sees("You are the only one here")
	p.keys("m")
	p.sees("does not allow this page to use the microphone")
	z.say(wire.Bye{Error: wire.Error{Code: wire.CodeDrain, Text: "drain"}})
	p.sees("This box is being serviced")
	p.accessible("drain")

	p.run(chromedp.Navigate(z.url + "/"))
	p.button("Start")
	p.sees("This zone does not permit that.")
	p.accessible("policy")
	p.run(chromedp.Navigate(z.url + "/nowhere"))
	p.sees("There is nothing at this address")
	p.accessible("missing")
	p.run(chromedp.Navigate("http://meetzone.test/j/" + meetingNumber))
	p.sees("was not opened securely")
	p.accessible("insecure")
	insecure.Close()
	p.tryJoin("Eve")
	p.sees("The box cannot be reached.")
	p.accessible("network")
}

// TestBrowserKorean reads the pages in the second language.
func TestBrowserKorean(t *testing.T) {
	z := newZone(t)
	b := openBrowser(t, devices(), chromedp.Flag("lang", "ko-KR"), chromedp.Flag("accept-lang", "ko-KR,ko"))
	p := b.person(z.url+"/", 800, 700, "dark")
	p.sees("회의 참가")
	if lang := eval[string](p, "document.documentElement.lang"); lang != "ko" {
		t.Errorf("language of the page is %q", lang)
	}
	p.accessible("home-ko")
}
