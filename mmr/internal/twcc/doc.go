// Package twcc writes transport-wide congestion control feedback: which packets of a transport arrived, and when, so that the sender can
// estimate its bandwidth.
//
// A Recorder takes each packet's transport-wide sequence number and arrival time with Record, and Append writes everything that is new as
// complete RTCP packets. A packet that comes after others were reported is reported with those behind it once more, as libwebrtc does.
//
// Refused: numbers more than 1024 behind the newest. A gap that large is not reported either; the feedback goes on behind it.
//
// A Recorder belongs to one goroutine, the worker of its transport. There are no locks and no allocations but the growth of the buffer that
// Append is given.
//
// Basis: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1; RFC 4585 section 6.1 for the packet around it.
//
// Caveat: how often Append is called is the owner's decision; 50 to 100 ms suit browsers.
package twcc
