"""The base layer's video: a tiny low-delay SVT-AV1 stream, one packet for each picture, at once.

A key is a full sequence header and a key frame, whole units, so that any AV1 decoder can begin there. Every other
packet is the payload of one frame unit, without the unit's header and length, which the receiver knows. Every second
picture is *droppable*: no later one depends on it, so that a stream without it decodes all the same.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
import av.video.codeccontext
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorRange

from shared.codec import MalformedBase
from shared.codec.av1 import DECODER, ENCODER, Bounded, EncoderStuck, RgbImage, calm_threads, to_planes, to_rgb
from shared.codec.av1_headers import (
    FRAME,
    INTER_FRAME,
    KEY_FRAME,
    SEQUENCE_HEADER,
    TEMPORAL_DELIMITER,
    SequenceHeader,
    frame_header,
    sequence_header,
    unit,
    units,
)

SIZES = (64, 96, 128, 192, 256)
"""Sides in pixels."""
MAX_CRF = 70
"""SVT-AV1's own end; FFmpeg's option stops at 63."""
MAX_PACKET_BYTES = 2047
"""Of a picture that is no key: forty times the usual. What needs more is coded as a key, which travels in pieces."""
MAX_KEY_BYTES = 16 * 1024
"""Fifteen times the usual."""

ENCODE_SECONDS = 3.0
"""For a picture that takes 2 ms, after which the encoder hangs: what sends waits for it, and whoever hears nothing for
5 s says so."""
_MOST_UNITS = 3
_RATE = Fraction(25, 2)
"""Pictures a second. A constant quantiser does not depend on it."""

_VideoContext = av.video.codeccontext.VideoCodecContext


class CodedBase(NamedTuple):
    """One coded picture."""

    data: bytes
    key: bool
    """Whether it can be decoded without any before it."""
    droppable: bool
    """Whether no later one depends on it."""


class BaseEncoder:
    """Codes pictures one after the other; the first is a key."""

    def __init__(self, size: int, crf: int, preset: int = 7) -> None:
        """Pictures of `size` pixels a side; crf 1 (best) to 70. Raises ValueError for others, and EncoderStuck."""
        if size not in SIZES or not 1 <= crf <= MAX_CRF:
            raise ValueError(f"a base layer has {SIZES} px and crf 1 to {MAX_CRF}, not {size} px and crf {crf}")
        self.size, self.crf = size, crf
        self._within, self._count, self._key_is_due = Bounded(ENCODER, ENCODE_SECONDS), 0, True
        self._sequence: SequenceHeader | None = None
        try:
            self._context = self._within(lambda: open_encoder(size, crf, preset))
        except BaseException:
            self._within.end()
            raise
        # One that goes away with the end of its stream unsaid complains on the standard error stream.
        self._finish = weakref.finalize(self, _end, self._within, self._context)

    def encode(self, rgb: RgbImage, key: bool = False) -> CodedBase | None:
        """The next (size, size, 3) picture, as a key if asked for; about 2 ms at 128 px.

        None if it takes more bytes than may be sent: then the next one is a key. Raises ValueError for pictures of
        another size, and EncoderStuck if it hangs; then another encoder is needed.
        """
        if rgb.shape != (self.size, self.size, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"this base layer takes {self.size} px RGB pictures, not {rgb.shape} {rgb.dtype}")
        wants_key, self._key_is_due = key or self._key_is_due, False
        frame = av.VideoFrame.from_ndarray(to_planes(rgb), format="yuv420p")
        frame.color_range = ColorRange.JPEG
        frame.pts, self._count = self._count, self._count + 1
        frame.pict_type = PictureType.I if wants_key else PictureType.NONE
        context = self._context  # and not this object, which a thread that hangs would hold for ever
        try:
            stream = self._within(lambda: b"".join(bytes(each) for each in context.encode(frame)))
        except EncoderStuck:
            self._finish.detach()  # nothing can be asked of it any more
            raise
        found = units(stream, _MOST_UNITS, MalformedBase)
        parts = [each for each in found if each[0] != TEMPORAL_DELIMITER]
        if [kind for kind, _, _ in parts] == [SEQUENCE_HEADER, FRAME]:
            self._sequence = sequence_header(parts[0][2], MalformedBase)
            return self._kept(CodedBase(b"".join(whole for _, whole, _ in parts), True, False))
        if wants_key or [kind for kind, _, _ in parts] != [FRAME] or self._sequence is None:
            raise RuntimeError(f"{ENCODER} gave units {[kind for kind, _, _ in parts]} for one picture of a base layer")
        payload = parts[0][2]
        return self._kept(CodedBase(payload, False, not frame_header(payload, self._sequence, MalformedBase).refreshes))

    def close(self) -> None:
        """Ends the encoder, which happens by itself when nothing refers to it any more."""
        self._finish()

    def _kept(self, coded: CodedBase) -> CodedBase | None:
        if len(coded.data) <= (MAX_KEY_BYTES if coded.key else MAX_PACKET_BYTES):
            return coded
        self._key_is_due = True
        return None


class BaseDecoder:
    """Decodes packets in their order, each into one picture. After an error only a key goes on."""

    def __init__(self, size: int) -> None:
        """For pictures of `size` pixels a side. Raises ValueError for a side that no base layer has."""
        if size not in SIZES:
            raise ValueError(f"a base layer has {SIZES} px, not {size}")
        self.size = size
        self._context: _VideoContext | None = None
        self._sequence: SequenceHeader | None = None

    def decode_key(self, data: bytes) -> RgbImage:
        """The (size, size, 3) picture of a key. Raises MalformedBase.

        The size is read from the sequence header before a decoder sees anything.
        """
        self._context = None
        if len(data) > MAX_KEY_BYTES:
            raise MalformedBase(f"a base key of {len(data)} bytes arrived, at most {MAX_KEY_BYTES} are taken")
        parts = units(data, _MOST_UNITS, MalformedBase)
        if [kind for kind, _, _ in parts] != [SEQUENCE_HEADER, FRAME]:
            raise MalformedBase("a base key is one sequence header and one frame, something else arrived")
        sequence = sequence_header(parts[0][2], MalformedBase)
        if (sequence.width, sequence.height) != (self.size, self.size):
            raise MalformedBase(f"a base key of {sequence.width}x{sequence.height} arrived, {self.size} px announced")
        _check(parts[1][2], sequence, KEY_FRAME)
        context = _decoder(self.size)
        picture = _picture(context, data, self.size)
        self._context, self._sequence = context, sequence
        return picture

    def decode(self, data: bytes) -> RgbImage:
        """The (size, size, 3) picture of a packet that is no key. Raises MalformedBase.

        `data` is one frame's payload, so that nothing in it can bring another sequence header.
        """
        context, self._context = self._context, None
        if context is None or self._sequence is None:
            raise MalformedBase("a packet of the base layer arrived that no key stands before")
        if not 1 <= len(data) <= MAX_PACKET_BYTES:
            raise MalformedBase(f"a base packet has 1 to {MAX_PACKET_BYTES} bytes, this one has {len(data)}")
        _check(data, self._sequence, INTER_FRAME)
        picture = _picture(context, unit(FRAME, data), self.size)
        self._context = context
        return picture


def _check(payload: bytes, sequence: SequenceHeader, kind: int) -> None:
    header = frame_header(payload, sequence, MalformedBase)
    if header.kind != kind:
        raise MalformedBase(f"an AV1 frame of type {header.kind} arrived where {kind} was announced")
    if header.resized:
        raise MalformedBase("a base frame of another size than its stream arrived")


def _picture(context: _VideoContext, data: bytes, size: int) -> RgbImage:
    try:
        frames = context.decode(av.Packet(data))
    except av.error.FFmpegError as error:
        raise MalformedBase(f"a base frame cannot be decoded: {error.strerror}") from error
    if len(frames) != 1:
        raise MalformedBase(f"a base packet held {len(frames)} pictures, expected one")
    frame = frames[0]
    if (frame.width, frame.height) != (size, size) or frame.format.name not in ("yuv420p", "yuvj420p"):
        raise MalformedBase(f"a base frame decoded to {frame.width}x{frame.height} {frame.format.name}")
    return to_rgb(np.asarray(frame.to_ndarray(), np.uint8))


def _decoder(size: int) -> _VideoContext:
    if DECODER not in av.codecs_available:
        raise MalformedBase(f"a base layer arrived, and PyAV here has no {DECODER}: install PyAV from PyPI")
    context = av.CodecContext.create(DECODER, "r")
    assert isinstance(context, _VideoContext)
    context.thread_count = 1  # more would hold pictures back
    context.options = {"max_pixels": str(size * size), "max_frame_delay": "1"}
    return context


def open_encoder(size: int, crf: int, preset: int) -> _VideoContext:
    """SVT-AV1, set up for a base layer."""
    # SVT-AV1 reads its log level only from the environment and prints a banner for every encoder otherwise.
    os.environ.setdefault("SVT_LOG", "1")
    context = av.CodecContext.create(ENCODER, "w")
    assert isinstance(context, _VideoContext)
    context.width = context.height = size
    context.pix_fmt, context.color_range = "yuv420p", ColorRange.JPEG
    context.framerate, context.time_base = _RATE, 1 / _RATE
    # no temporal filter of keys: what comes after shows what was in the frame
    fixed = f"rtc=1:pred-struct=1:lp=1:keyint=-1:scd=0:enable-tf=0:crf={crf}"
    context.options = {"preset": str(preset), "svtav1-params": fixed}
    context.open()
    calm_threads()
    return context


def _end(within: Bounded, context: _VideoContext) -> None:
    with contextlib.suppress(EncoderStuck):
        within(lambda: context.encode(None) if context.is_open else None)
    within.end()
