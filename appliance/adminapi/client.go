package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"
)

// CodeUnreachable is the client's own: nobody answers at the socket.
const CodeUnreachable Code = "unreachable"

// maxAnswer bounds what the client reads, in bytes. The history of large documents fits.
const maxAnswer = 64 << 20

// Client speaks to the daemon. Its errors are *Error.
type Client struct {
	socket string
	http   *http.Client
	token  atomic.Pointer[string] // of the session; nil: none
}

// New returns a client for the socket; "" is DefaultSocket. Nothing is dialled yet.
func New(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the box at a glance.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, PathStatus, nil)
}

// Config returns what is at path of a source; "" is everything, and the running document.
func (c *Client) Config(ctx context.Context, path, source string) (Document, error) {
	query := url.Values{}
	for name, value := range map[string]string{"path": path, "source": source} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return call[Document](ctx, c, http.MethodGet, PathConfig+"?"+query.Encode(), nil)
}

// Replace replaces the candidate.
func (c *Client) Replace(ctx context.Context, document Document) error {
	_, err := call[struct{}](ctx, c, http.MethodPut, PathCandidate, document)
	return err
}

// Set changes one key of the candidate.
func (c *Client) Set(ctx context.Context, change Change) error {
	_, err := call[struct{}](ctx, c, http.MethodPatch, PathCandidate, change)
	return err
}

// Discard drops the candidate.
func (c *Client) Discard(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, PathCandidate, nil)
	return err
}

// Diff returns how the candidate differs from what runs.
func (c *Client) Diff(ctx context.Context) (Diff, error) {
	return call[Diff](ctx, c, http.MethodGet, PathDiff, nil)
}

// Commit makes the candidate the running configuration.
func (c *Client) Commit(ctx context.Context, commit Commit) (Revision, error) {
	return call[Revision](ctx, c, http.MethodPost, PathCommit, commit)
}

// Confirm keeps the revision that waits to be confirmed.
func (c *Client) Confirm(ctx context.Context) (Revision, error) {
	return call[Revision](ctx, c, http.MethodPost, PathConfirm, Confirm{})
}

// Rollback commits an earlier revision again.
func (c *Client) Rollback(ctx context.Context, rollback Rollback) (Revision, error) {
	return call[Revision](ctx, c, http.MethodPost, PathRollback, rollback)
}

// History returns the revisions, newest first.
func (c *Client) History(ctx context.Context) (History, error) {
	return call[History](ctx, c, http.MethodGet, PathHistory, nil)
}

// CreateMeeting makes a meeting or a room.
func (c *Client) CreateMeeting(ctx context.Context, spec MeetingSpec) (Meeting, error) {
	return call[Meeting](ctx, c, http.MethodPost, PathMeetings, spec)
}

// Meetings returns all meetings.
func (c *Client) Meetings(ctx context.Context) (Meetings, error) {
	return call[Meetings](ctx, c, http.MethodGet, PathMeetings, nil)
}

// Meeting returns one meeting with its participants.
func (c *Client) Meeting(ctx context.Context, number string) (Meeting, error) {
	return call[Meeting](ctx, c, http.MethodGet, PathMeeting+url.PathEscape(number), nil)
}

// MeetingHistory returns what is kept of the quality of a number's meetings, with at most so many samples of a flow.
func (c *Client) MeetingHistory(ctx context.Context, number string, points int) (MeetingHistory, error) {
	return call[MeetingHistory](ctx, c, http.MethodGet, fmt.Sprintf("%s%s%s?points=%d", PathMeeting, url.PathEscape(number), PathQuality, points), nil)
}

// EndMeeting ends a meeting, or removes a room.
func (c *Client) EndMeeting(ctx context.Context, number string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, PathMeeting+url.PathEscape(number), nil)
	return err
}

// Power restarts the machine or switches it off. It returns when systemd has begun with it.
func (c *Client) Power(ctx context.Context, power Power) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, PathPower, power)
	return err
}

// Certificates returns all certificates.
func (c *Client) Certificates(ctx context.Context) (Certificates, error) {
	return call[Certificates](ctx, c, http.MethodGet, PathCerts, nil)
}

// RequestCertificate makes a key on the box, and a request for it.
func (c *Client) RequestCertificate(ctx context.Context, request SigningRequest) (Signable, error) {
	return call[Signable](ctx, c, http.MethodPost, PathCSR, request)
}

// InstallCertificate installs a certificate and returns all.
func (c *Client) InstallCertificate(ctx context.Context, certificate InstallCertificate) (Certificates, error) {
	return call[Certificates](ctx, c, http.MethodPut, PathCerts, certificate)
}

// Zones returns the zones in the order that a client at an address is told; "" is one of which nothing is known.
func (c *Client) Zones(ctx context.Context, address string) (Zones, error) {
	return call[Zones](ctx, c, http.MethodGet, PathZones+"?"+url.Values{"for": {address}}.Encode(), nil)
}

// Paths tells on which rungs the media of each client network stand.
func (c *Client) Paths(ctx context.Context) (Paths, error) {
	return call[Paths](ctx, c, http.MethodGet, PathPaths, nil)
}

// Drain starts or ends draining.
func (c *Client) Drain(ctx context.Context, drain Drain) error {
	_, err := call[struct{}](ctx, c, http.MethodPut, PathDrain, drain)
	return err
}

// Draining tells whether the box drains, and who is left.
func (c *Client) Draining(ctx context.Context) (Draining, error) {
	return call[Draining](ctx, c, http.MethodGet, PathDrain, nil)
}

// BoxNetwork returns the own network of the box.
func (c *Client) BoxNetwork(ctx context.Context) (BoxNetwork, error) {
	return call[BoxNetwork](ctx, c, http.MethodGet, PathNetwork, nil)
}

// Marks returns what is marked and enforced.
func (c *Client) Marks(ctx context.Context) (Marks, error) {
	return call[Marks](ctx, c, http.MethodGet, PathMarks, nil)
}

// MarkPaths returns where marks die.
func (c *Client) MarkPaths(ctx context.Context) (MarkPaths, error) {
	return call[MarkPaths](ctx, c, http.MethodGet, PathMarkPaths, nil)
}

// call makes one request. An answer without body leaves the result zero.
func call[T any](ctx context.Context, c *Client, method, path string, body any) (result T, err error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return result, &Error{Code: CodeBad, Text: "The request cannot be written: " + err.Error() + "."}
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://box"+path, content)
	if err != nil {
		return result, &Error{Code: CodeBad, Text: "The request cannot be made: " + err.Error() + "."}
	}
	request.Header.Set("Content-Type", "application/json")
	c.identify(request)
	answer, err := c.http.Do(request)
	if err != nil {
		return result, c.unreachable(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return result, c.unreachable(err)
	}
	if answer.StatusCode >= 300 {
		return result, refused(answer.StatusCode, raw)
	}
	if len(raw) == 0 {
		return result, nil
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, &Error{Code: CodeServer, Text: "The daemon's answer cannot be read: " + err.Error() + ".",
			Advice: "It may be of another version than this program."}
	}
	return result, nil
}

// refused reads the daemon's error.
func refused(status int, raw []byte) error {
	told := new(Error)
	if json.Unmarshal(raw, told) != nil || told.Text == "" {
		return &Error{Code: CodeServer, Text: fmt.Sprintf("The daemon answered with status %d.", status), Advice: "Its log has more."}
	}
	return told
}

// unreachable says what to do where nobody answers.
func (c *Client) unreachable(err error) error {
	told := &Error{Code: CodeUnreachable, Text: fmt.Sprintf("Nobody answers at %s.", c.socket)}
	switch {
	case errors.Is(err, context.Canceled):
		told.Text = "The request was cancelled."
	case errors.Is(err, context.DeadlineExceeded):
		told.Text, told.Advice = "The daemon did not answer in time.", "See whether it runs: `systemctl status meetzone`."
	case errors.Is(err, fs.ErrPermission):
		told.Text = fmt.Sprintf("You may not use %s.", c.socket)
		told.Advice = "Become root, or join the group the socket belongs to."
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		told.Advice = "See whether the daemon runs (`systemctl status meetzone`), or name another socket with --admin."
	default:
		told.Text = "The connection to the daemon failed: " + err.Error() + "."
	}
	return told
}
