package helper

import (
	"context"
	"fmt"
	"os"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"
)

// call is what comes with a request beside its values.
type call struct {
	file *os.File  // nil: none
	tell func(any) // progress
}

// perform does what a valid request asks for.
func (s *Server) perform(ctx context.Context, r Request, c call) (any, error) {
	if _, is := r.(UpdateStick); is {
		return openStick()
	}
	if result, done, err := s.performUpdate(ctx, r, c); done {
		return result, err
	}
	return nil, performSimple(ctx, r)
}

// performSimple does what has no answer.
func performSimple(ctx context.Context, r Request) error {
	switch r := r.(type) {
	case Reboot:
		return startTarget(ctx, "reboot.target", "replace-irreversibly")
	case PowerOff:
		return startTarget(ctx, "poweroff.target", "replace-irreversibly")
	case FactoryReset:
		// The restart that it ends with replaces this job.
		return startTarget(ctx, "factory-reset.target", "replace")
	case SetHostname:
		if err := unix.Sethostname([]byte(r.Hostname)); err != nil {
			return fmt.Errorf("setting the host name: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%w: there is no way to do %q", ErrRequest, r.verb())
}

// startTarget asks systemd to end everything, as `systemctl reboot` does without logind. It returns when the job is queued: the end of
// the job is the end of this process.
func startTarget(ctx context.Context, target, mode string) error {
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("systemd does not answer: %w", err)
	}
	defer conn.Close()
	if _, err := conn.StartUnitContext(ctx, target, mode, nil); err != nil {
		return fmt.Errorf("systemd refuses %s: %w", target, err)
	}
	return nil
}
