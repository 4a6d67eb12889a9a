"""Video codecs as a call uses them: through PyAV, one key frame, no look-ahead, every frame out as soon as it is in."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
import av.video.codeccontext
import numpy as np

from benchmarks.metrics import Picture
from shared.codec.av1 import calm_threads
from shared.resampling import resampled

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints a banner for every encoder otherwise


class CodecError(Exception):
    """A codec cannot be used here; the message says which and why."""


class Variant(NamedTuple):
    """What of a clip is coded."""

    size: int = 256
    """Side in pixels at which pictures are coded; they are shown enlarged bicubically. Smaller ones stay."""
    every: int = 1
    """Only every n-th frame is coded, and shown n times."""

    def __str__(self) -> str:
        return f"{self.size} px" + (f", 1/{self.every} of the frames" if self.every > 1 else "")


WHOLE = Variant()
VARIANTS = tuple(Variant(size, every) for every in (1, 2) for size in (256, 192, 128))
"""Of clips of 25 frames a second: at 25 and 12.5."""


@dataclass(frozen=True)
class Codec:
    """A codec at its settings for a call."""

    title: str
    encoder: str
    decoder: str
    ladders: Mapping[int, tuple[int, ...]]
    """Quantiser settings of the curve by the side that is coded, from the codec's floor up to 30 to 60 kbit/s."""
    options: Callable[[int], dict[str, str]]
    """Encoder options at a quantiser setting."""
    strip: Callable[[bytes], bytes]
    """A packet without what a call does not send."""

    def ladder(self, variant: Variant) -> tuple[int, ...]:
        """Of a variant. All frames at the finest setting would take more than any rate that is compared."""
        ladder = self.ladders[variant.size]
        return ladder[:-1] if variant.every == 1 else ladder


@dataclass(frozen=True, eq=False)
class Coded:
    """A coded clip."""

    sizes: list[int]
    """Payload bytes of each coded frame."""
    pictures: list[Picture]
    """As shown, one for every frame of the clip."""


def _x264(crf: int) -> dict[str, str]:
    parameters = "scenecut=0:keyint=infinite"
    return {"preset": "veryfast", "tune": "zerolatency", "crf": str(crf), "threads": "1", "x264-params": parameters}


def _x265(crf: int) -> dict[str, str]:
    parameters = "scenecut=0:keyint=-1:pools=none:frame-threads=1:log-level=none:info=0"
    return {"preset": "fast", "tune": "zerolatency", "crf": str(crf), "x265-params": parameters}


def _vp9(quantiser: int) -> dict[str, str]:
    # A constant quantiser: with `crf` alone the floor costs half as much again, with aq-mode 3 a third.
    fixed = {"qmin": str(quantiser), "qmax": str(quantiser), "crf": str(quantiser), "b": "0", "aq-mode": "0"}
    return {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "threads": "1", "row-mt": "0"} | fixed


def _av1(crf: int) -> dict[str, str]:
    # crf stands here since FFmpeg's own option ends at 63; rtc costs nothing and lowers the floor.
    return {"preset": "8", "svtav1-params": f"rtc=1:pred-struct=1:lp=1:keyint=-1:scd=0:crf={crf}"}


def _units(sei: Callable[[int], bool]) -> Callable[[bytes], bytes]:
    """H.264 and H.265 without start codes, which RTP has no use for, and without SEI, which no call needs."""

    def strip(data: bytes) -> bytes:
        return b"".join(unit for unit in re.split(b"\0?\0\0\1", data)[1:] if not sei(unit[0]))

    return strip


def _without_delimiter(data: bytes) -> bytes:
    """AV1 without temporal delimiters, which RTP leaves out (AV1 RTP specification, section 5)."""
    return data.removeprefix(b"\x12\0")


_X264 = ("libx264", "h264", _x264, _units(lambda header: header & 0x1F == 6))
_X265 = ("libx265", "hevc", _x265, _units(lambda header: header >> 1 & 0x3F in (39, 40)))
_VP9 = ("libvpx-vp9", "vp9", _vp9, bytes)
_AV1 = ("libsvtav1", "libdav1d", _av1, _without_delimiter)


def _codec(title: str, how: tuple[str, str, Callable[[int], dict[str, str]], Callable[[bytes], bytes]],
           **ladders: tuple[int, ...]) -> Codec:  # fmt: skip
    encoder, decoder, options, strip = how
    return Codec(title, encoder, decoder, {int(size[2:]): each for size, each in ladders.items()}, options, strip)


_H26X = {"px256": (51, 45, 39, 33), "px192": (51, 44, 37, 30), "px128": (51, 43, 35, 27)}

CODECS: Mapping[str, Codec] = {
    "x264": _codec("x264 veryfast", _X264, **_H26X),
    "x265": _codec("x265 fast", _X265, **_H26X),
    "vp9": _codec("VP9 real time", _VP9, px256=(63, 57, 49, 40), px192=(63, 55, 46, 36), px128=(63, 54, 43, 32)),
    "svt_av1": _codec("SVT-AV1 preset 8", _AV1, px256=(70, 64, 57, 49), px192=(70, 63, 55, 46), px128=(70, 62, 53, 43)),
}
"""By their names in reports."""
H264, H264_CRF = "x264", 23
"""The `H.264` of many papers is x264 at its default, finer than its ladder goes."""


def versions() -> dict[str, str]:
    """What results of the codecs depend on beside their settings."""
    return {"ffmpeg": av.ffmpeg_version_info, "av": av.__version__}


def code(codec: Codec, pictures: Sequence[Picture], fps: float, quantiser: int, variant: Variant = WHOLE) -> Coded:
    """Codes and decodes (S, S, 3) RGB pictures of even size.

    Raises CodecError if FFmpeg has no such encoder, or if it refuses the settings.
    """
    side = len(pictures[0])
    chosen = [resampled(picture, min(variant.size, side)) for picture in pictures[:: variant.every]]
    try:
        packets = _encode(codec, chosen, fps / variant.every, quantiser)
        shown = _decode(codec, packets)
    except (av.error.FFmpegError, ValueError) as error:  # ValueError: no codec of that name
        raise CodecError(f"{codec.title} cannot code at quantiser {quantiser} here ({error})") from error
    if len(shown) != len(chosen):
        raise CodecError(f"{codec.title} gave {len(shown)} pictures for {len(chosen)} at quantiser {quantiser}")
    repeated = [picture for each in shown for picture in [resampled(each, side)] * variant.every][: len(pictures)]
    return Coded([len(codec.strip(data)) for data in packets], repeated)


def _encode(codec: Codec, pictures: Sequence[Picture], fps: float, quantiser: int) -> list[bytes]:
    rate = Fraction(fps).limit_denominator(1001)
    encoder = av.CodecContext.create(codec.encoder, "w")
    assert isinstance(encoder, av.video.codeccontext.VideoCodecContext)
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", rate, 1 / rate
    encoder.gop_size = len(pictures) + 1
    encoder.options = codec.options(quantiser)
    encoder.open()
    calm_threads()
    packets = []
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, 1 / rate
        frame.pict_type = av.video.frame.PictureType.NONE  # a type that came with the frame would be obeyed
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def _decode(codec: Codec, packets: Sequence[bytes]) -> list[Picture]:
    decoder = av.CodecContext.create(codec.decoder, "r")
    assert isinstance(decoder, av.video.codeccontext.VideoCodecContext)
    decoder.thread_count = 1
    frames = [frame for data in packets for frame in decoder.decode(av.Packet(data))] + decoder.decode(None)
    return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]
