package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"meetzone/appliance/adminapi"
)

// Charset is what the terminal can show.
type Charset int

// The character sets.
const (
	ASCII   Charset = iota // a VT220 whose character set nobody knows
	Latin                  // the Linux console: Latin-1 and block elements
	Unicode                // any other terminal with UTF-8
)

// Config says whose console it is and on what terminal.
type Config struct {
	Client  *adminapi.Client
	In, Out *os.File
	Charset Charset
}

// CharsetOf guesses from the environment, as locale(7) and systemd set it.
func CharsetOf(env func(string) string) Charset {
	terminal := env("TERM")
	if terminal == "linux" {
		return Latin // UTF-8 is what the kernel starts with
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToUpper(env(name)); value != "" {
			if (strings.Contains(value, "UTF-8") || strings.Contains(value, "UTF8")) && !strings.HasPrefix(terminal, "vt") {
				return Unicode
			}
			break
		}
	}
	return ASCII
}

// Run shows the console until the person leaves it, the terminal is gone, or ctx ends.
func Run(ctx context.Context, cfg Config) (err error) {
	state, err := term.MakeRaw(int(cfg.In.Fd()))
	if err != nil {
		return fmt.Errorf("the console needs a terminal: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(int(cfg.In.Fd()), state)) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	p := newPainter(cfg.Out, cfg.Charset)
	a := newApp(cfg.Client, cfg.Charset, p)
	a.ctx = ctx
	if width, height := sizeOf(cfg.Out); width > 0 {
		a.sized = true
		a.resize(width, height)
	} else {
		p.probe()
	}
	program := tea.NewProgram(a, tea.WithContext(ctx), tea.WithInput(nil), tea.WithOutput(io.Discard), tea.WithoutRenderer(), tea.WithoutSignalHandler(), tea.WithoutCatchPanics())

	var tasks sync.WaitGroup
	tasks.Go(func() { p.runPainter(ctx) })
	tasks.Go(func() { runResize(ctx, cfg.Out, program.Send) })
	go runKeys(cfg.In, program) // a read of a terminal cannot be called off: it ends with the process
	_, err = program.Run()
	cancel()
	tasks.Wait()
	p.leave()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// runKeys reads the terminal until it is gone. What comes faster than a person types goes to the app in one piece.
func runKeys(in io.Reader, program *tea.Program) {
	d := newDecoder(in)
	var rate torrent
	for {
		messages, err := d.next()
		if rate.too(len(messages), time.Now()) {
			program.Send(burstMsg(messages))
		} else {
			for _, m := range messages {
				program.Send(m)
			}
		}
		if err != nil {
			program.Quit()
			return
		}
	}
}

// runResize tells of the terminal's size whenever it changes.
func runResize(ctx context.Context, out *os.File, send func(tea.Msg)) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if width, height := sizeOf(out); width > 0 {
				send(sizeMsg{width, height})
			}
		}
	}
}

// sizeOf asks the kernel; 0 where it does not know, as of a serial line.
func sizeOf(f *os.File) (width, height int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}
