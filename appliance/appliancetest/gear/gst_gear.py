"""Gear made of GStreamer's webrtcbin. It gathers while the session is being made, and sends its candidates by PATCH."""

import re
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from session import arguments, say, when_told_to_leave  # noqa: E402

PUBLISH = """
webrtcbin name=rtc bundle-policy=max-bundle
audiotestsrc is-live=true wave=sine volume=0.5 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay pt=97 ! rtc.
videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=600
    target-bitrate=300000 ! rtpvp8pay pt=96 picture-id-mode=15-bit ! rtc.
"""
WATCH = "pipeline. ( webrtcbin name=rtc bundle-policy=max-bundle )"
CODECS = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
    "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000,rtcp-fb-nack-pli=(boolean)true",
)


class Gear:
    def __init__(self):
        self.what, self.session = arguments()
        self.seen = {"frames": 0, "width": 0, "height": 0, "loud": 0}
        self.candidates, self.lock = [], threading.Lock()
        self.pipe = Gst.parse_launch(PUBLISH if self.what == "publish" else WATCH)
        self.rtc = self.pipe.get_by_name("rtc")
        self.rtc.connect("on-ice-candidate", self.gathered)
        self.rtc.connect("pad-added", self.arrives)
        self.loop = GLib.MainLoop()
        bus = self.pipe.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: sys.exit(f"pipeline: {message.parse_error()}"))
        bus.connect("message::element", self.level)

    def run(self):
        if self.what == "watch":
            for caps in CODECS:
                self.rtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
        self.pipe.set_state(Gst.State.PLAYING)
        if self.what == "publish":
            self.only_send()
        GLib.idle_add(self.begin)
        GLib.timeout_add(200, self.report)
        when_told_to_leave(lambda: GLib.idle_add(self.leave))
        self.loop.run()

    def only_send(self):
        index = 0
        while (transceiver := self.rtc.emit("get-transceiver", index)) is not None:
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
            index += 1

    def begin(self):
        self.rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise):
        reply = promise.get_reply()  # owns the offer
        offer = reply["offer"]
        self.rtc.emit("set-local-description", offer, Gst.Promise.new())
        text = offer.sdp.as_text()
        answer = self.session.post(text)
        result, message = GstSdp.SDPMessage.new_from_text(answer)
        assert result == GstSdp.SDPResult.OK, answer
        self.rtc.emit("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message), Gst.Promise.new())
        self.credentials = [re.search(f"^a={key}:.*$", text, re.M).group().strip() for key in ("ice-ufrag", "ice-pwd")]
        with self.lock:
            self.trickle(self.candidates)
            self.candidates = None

    def gathered(self, _, section, candidate):
        if section != 0 or not candidate:
            return
        with self.lock:
            if self.candidates is None:
                self.trickle([candidate])
            else:
                self.candidates.append(candidate)

    def trickle(self, candidates):
        lines = self.credentials + ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"] + ["a=" + c for c in candidates]
        self.session.trickle("".join(line + "\r\n" for line in lines))
        say(trickled=len(candidates))

    def arrives(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        if kind == "video":
            text = "rtpvp8depay ! vp8dec ! identity name=look signal-handoffs=true ! fakesink sync=false"
        else:
            text = "rtpopusdepay ! opusdec ! audioconvert ! level interval=100000000 ! fakesink sync=false"
        sink = Gst.parse_bin_from_description("queue ! " + text, True)
        if kind == "video":
            sink.get_by_name("look").connect("handoff", self.picture)
        self.pipe.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def picture(self, look, _):
        caps = look.get_static_pad("sink").get_current_caps().get_structure(0)
        self.seen.update(frames=self.seen["frames"] + 1, width=caps.get_int("width")[1], height=caps.get_int("height")[1])

    def level(self, _, message):
        structure = message.get_structure()
        if structure.get_name() == "level" and max(structure.get_value("peak")) > -40:
            self.seen["loud"] += 1

    def report(self):
        say(state=self.rtc.get_property("connection-state").value_nick, **self.seen)
        return True

    def leave(self):
        self.session.delete()
        self.pipe.set_state(Gst.State.NULL)
        self.loop.quit()


Gst.init(None)
Gear().run()
