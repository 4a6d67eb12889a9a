"""x264 as a video call uses it: driven directly through PyAV, one key frame, no look-ahead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import av
import numpy as np

from benchmarks.metrics import Picture

FLOOR_CRF = 51
"""x264 cannot code coarser than this."""
RTP_OVERHEAD = 69
"""Bytes around the payload of one RTP video packet: IPv4, UDP, RTP with extensions, SRTP tag (measured)."""
RTP_PAYLOAD = 1100
"""Payload bytes of a full packet."""
_SEI = 6


@dataclass(frozen=True, eq=False)
class Coded:
    """A coded clip."""

    sizes: list[int]
    """Bytes of each frame."""
    pictures: list[Picture]
    """As decoded."""

    @property
    def payload_bytes(self) -> int:
        return sum(self.sizes)

    @property
    def wire_bytes(self) -> int:
        """With RTP, UDP and IP around it; RTCP not counted."""
        return self.payload_bytes + RTP_OVERHEAD * sum(ceil(size / RTP_PAYLOAD) for size in self.sizes)


def code(pictures: Sequence[Picture], fps: float, crf: int) -> Coded:
    """Codes and decodes (S, S, 3) RGB pictures of even size: preset veryfast, tune zerolatency."""
    rate = Fraction(fps).limit_denominator(1001)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", rate, 1 / rate
    encoder.gop_size = len(pictures) + 1
    encoder.options = {
        "preset": "veryfast", "tune": "zerolatency", "crf": str(crf), "threads": "1",
        "x264-params": "scenecut=0:keyint=infinite",
    }  # fmt: skip
    packets = []
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, 1 / rate
        frame.pict_type = av.video.frame.PictureType.NONE  # a type that came with the frame would be obeyed
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    coded = [bytes(packet) for packet in packets]
    coded[0] = _without_settings(coded[0])
    decoder = av.CodecContext.create("h264", "r")
    decoded = [frame for data in coded for frame in decoder.decode(av.Packet(data))] + decoder.decode(None)
    shown = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded]
    return Coded([len(data) for data in coded], shown)


def _without_settings(data: bytes) -> bytes:
    """The first packet without the text of 700 bytes in which x264 names its settings: no call needs it."""
    units = re.split(b"\x00?\x00\x00\x01", data)[1:]
    return b"".join(b"\0\0\0\1" + unit for unit in units if unit[0] & 0x1F != _SEI)
