// Package placement chooses the router for somebody who joins, from what the routers of the zone report. A plain function of values.
//
// The router on which the meeting already is keeps it until it is full, so that a meeting is not spread without need. Otherwise the least loaded router is
// taken. A router that drains, is full, or has not reported of late gets nobody.
//
// The load of a router is the largest of five shares of its capacity: processor of its busiest worker, packets, bits sent, participants, and datagrams that its
// kernel dropped for want of room, of which one in a thousand received counts as all there is.
package placement
