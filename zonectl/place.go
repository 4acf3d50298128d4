package zonectl

import (
	"errors"
	"math"
	"time"

	"meetzone/zonectl/internal/placement"
)

// Router selection, the controller's half of stage 3. One box has one router; the choice is made over a list all the same.

// RouterLoad is what a router does, against what it can.
type RouterLoad = placement.Load

// routers are those of the zone with what they last reported. This box's own is asked now.
func (c *Controller) routers() []placement.Router {
	own := placement.Router{ID: c.config().Member, Reported: time.Now()}
	_, own.Draining = c.Draining()
	if c.load != nil {
		own.Load = c.load()
	}
	own.Load.Participants, own.Load.MaxParticipants = c.sessionCount(), c.config().Limits.Sessions
	return []placement.Router{own}
}

// Members is how many boxes the zone has that could take meetings over from one another, this one included.
func (c *Controller) Members() int { return len(c.routers()) }

// placeIn chooses the router for somebody who joins a meeting. Meetings that run here are on this box's router.
func (c *Controller) placeIn(meeting string) (placement.Router, error) {
	present := ""
	c.mu.Lock()
	if c.meetings[meeting] != nil {
		present = c.config().Member
	}
	c.mu.Unlock()
	router, err := placement.Choose(c.routers(), present, time.Now())
	switch {
	case errors.Is(err, placement.ErrDraining):
		if why := c.drained(); why != nil {
			return router, why
		}
		return router, errBusy
	case err != nil:
		return router, errBusy
	}
	return router, nil
}

// bestLoad is the load of the router that somebody would get, in percent.
func (c *Controller) bestLoad() int {
	return int(math.Round(100 * min(placement.Least(c.routers(), time.Now()), 10)))
}
