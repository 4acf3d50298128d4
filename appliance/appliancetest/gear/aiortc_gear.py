"""Gear made of aiortc, which knows no AES-GCM for SRTP and sends no audio levels."""

import asyncio
import fractions
import math
import threading
import time

import av
import numpy
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from session import arguments, say, when_told_to_leave

RATE = 48000
SAMPLES = RATE // 50  # of 20 ms


class Tone(MediaStreamTrack):
    kind = "audio"

    def __init__(self):
        super().__init__()
        self.began, self.stamp = None, 0

    async def recv(self):
        if self.began is None:
            self.began = time.time()
        await asyncio.sleep(max(0, self.began + self.stamp / RATE - time.time()))
        wave = (8000 * numpy.sin(2 * math.pi * 440 * (self.stamp + numpy.arange(SAMPLES)) / RATE)).astype(numpy.int16)
        frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.stamp, fractions.Fraction(1, RATE)
        self.stamp += SAMPLES
        return frame


class Picture(MediaStreamTrack):
    kind = "video"

    def __init__(self, width=320, height=240, rate=15):
        super().__init__()
        self.size, self.rate = (height, width, 3), rate
        self.began, self.count = None, 0

    async def recv(self):
        if self.began is None:
            self.began = time.time()
        await asyncio.sleep(max(0, self.began + self.count / self.rate - time.time()))
        frame = av.VideoFrame.from_ndarray(numpy.full(self.size, self.count * 4 % 256, numpy.uint8), format="bgr24")
        frame.pts, frame.time_base = self.count * 90000 // self.rate, fractions.Fraction(1, 90000)
        self.count += 1
        return frame


seen = {"frames": 0, "width": 0, "height": 0, "loud": 0}


ended = False  # connectionState of aiortc is that of ICE, which does not tell that DTLS was closed


async def look(track):
    global ended
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            ended = True
            return
        if track.kind == "video":
            seen.update(frames=seen["frames"] + 1, width=frame.width, height=frame.height)
        elif numpy.abs(frame.to_ndarray()).max() > 1000:
            seen["loud"] += 1


async def main():
    what, session = arguments()
    pc = RTCPeerConnection()
    if what == "publish":
        pc.addTransceiver(Tone(), direction="sendonly")
        pc.addTransceiver(Picture(), direction="sendonly")
    else:
        pc.addTransceiver("audio", direction="recvonly")
        pc.addTransceiver("video", direction="recvonly")
    pc.on("track", lambda track: asyncio.ensure_future(look(track)))
    await pc.setLocalDescription(await pc.createOffer())
    answer = await asyncio.to_thread(session.post, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    when_told_to_leave(lambda: loop.call_soon_threadsafe(over.set))
    while not over.is_set():
        say(state="closed" if ended else pc.connectionState, **seen)
        try:
            await asyncio.wait_for(over.wait(), 0.2)
        except asyncio.TimeoutError:
            pass
    await asyncio.to_thread(session.delete)
    await pc.close()


asyncio.run(main())
