package zonectl

import (
	"context"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// Router holds the media of meetings. All methods of the three interfaces may be called from any goroutine.
type Router interface {
	Open(mmr.MeetingConfig) (RouterMeeting, error)
}

// RouterMeeting is the media of one meeting.
type RouterMeeting interface {
	Join(mmr.EndpointConfig) (RouterEndpoint, error)
	// SetContent says whose content everybody sees; "" for nobody's.
	SetContent(mmr.EndpointID) error
	// Close ends it with all its endpoints.
	Close()
}

// RouterEndpoint is the media of one participant.
type RouterEndpoint interface {
	// Offer describes the router's side: an ICE restart of the present transports, or fresh ones for a new PeerConnection.
	Offer(ctx context.Context, fresh bool) (sdp string, err error)
	Answer(ctx context.Context, sdp string) error
	// Accept answers the offer of a client that offers itself; Restart restarts its ICE and returns a fragment.
	Accept(context.Context, *mmr.ClientOffer) (sdp string, err error)
	Restart(context.Context) (fragment string, err error)
	SetViews([]mmr.View) error
	// SetMuted makes the router drop what comes of a medium.
	SetMuted(mmr.Medium, bool) error
	Stats(context.Context) (mmr.EndpointStats, error)
	Close() error
}

var _ RouterEndpoint = (*mmr.Endpoint)(nil)

// OnRouter makes a Router of the real one.
func OnRouter(r *mmr.Router) Router { return onRouter{r} }

type onRouter struct{ r *mmr.Router }

func (o onRouter) Open(cfg mmr.MeetingConfig) (RouterMeeting, error) {
	m, err := o.r.Open(cfg)
	if err != nil {
		return nil, err
	}
	return onMeeting{m}, nil
}

type onMeeting struct{ *mmr.Meeting }

func (o onMeeting) Join(cfg mmr.EndpointConfig) (RouterEndpoint, error) {
	e, err := o.Meeting.Join(cfg)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// The media have names on the wire and numbers in the router, in the same order.

func mediumOf(m wire.Medium) mmr.Medium {
	for i, name := range wire.Media {
		if name == m {
			return mmr.Medium(i)
		}
	}
	return mmr.Audio // not reached: messages are validated
}

func nameOf(m mmr.Medium) wire.Medium { return wire.Media[min(int(m), len(wire.Media)-1)] }
