"""One picture as one raw SVT-AV1 intra frame: a sequence header, a frame, nothing else.

Colour is that of `planes`, on both ends, so nothing about it is left to what a bitstream says. The dimensions are read
from the sequence header before a decoder sees the data: its reduced still-picture form (AV1 specification, 5.5.1)
cannot be overridden by the frame header.
"""

from __future__ import annotations

import os
from fractions import Fraction

import av
import av.error
import av.video.codeccontext
import numpy as np
from av.video.reformatter import ColorRange

from shared.codec.bounded import Bounded
from shared.codec.errors import MalformedPicture
from shared.codec.obu import FRAME, SEQUENCE_HEADER, TEMPORAL_DELIMITER, units
from shared.codec.planes import RgbImage, to_planes, to_rgb
from shared.codec.svt import calm_threads

ENCODER = "libsvtav1"
DECODER = "libdav1d"
_PRESET = 4
"""14 % smaller than preset 6; 80 ms instead of 30 at 256x256, off the frame path."""

ENCODE_SECONDS = 10.0
"""After which the encoder hangs: a hundred times what a picture takes, and nobody waits but the source."""
_MOST_UNITS = 3


def available() -> bool:
    """Whether this PyAV can encode pictures."""
    return ENCODER in av.codecs_available and decodable()


def decodable() -> bool:
    """Whether this PyAV can decode pictures."""
    return DECODER in av.codecs_available


def encode(rgb: RgbImage, crf: int) -> bytes:
    """The OBUs of one intra frame; rgb is (H, W, 3) with even sides, crf 1 (best) to 63. Raises EncoderStuck."""
    within = Bounded(ENCODER, ENCODE_SECONDS)
    try:
        stream = within(lambda: encoded(rgb, crf))
    finally:
        within.end()
    return b"".join(obu for kind, obu, _ in _units(stream) if kind != TEMPORAL_DELIMITER)


def encoded(rgb: RgbImage, crf: int) -> bytes:
    """What SVT-AV1 makes of a picture."""
    # SVT-AV1 reads its log level only from the environment and prints a banner for every encoder otherwise.
    os.environ.setdefault("SVT_LOG", "1")
    height, width = rgb.shape[:2]
    context = av.CodecContext.create(ENCODER, "w")
    assert isinstance(context, av.video.codeccontext.VideoCodecContext)
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.color_range = ColorRange.JPEG
    context.time_base = Fraction(1, 25)
    context.options = {"crf": str(crf), "preset": str(_PRESET), "svtav1-params": "lp=1:avif=1"}
    context.open()
    calm_threads()
    frame = av.VideoFrame.from_ndarray(to_planes(rgb), format="yuv420p")
    frame.color_range = ColorRange.JPEG
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def decode(data: bytes, width: int, height: int) -> RgbImage:
    """The (height, width, 3) picture. Raises MalformedPicture if the data is anything but one frame of that size."""
    obus = [obu for obu in _units(data) if obu[0] != TEMPORAL_DELIMITER]
    if [kind for kind, _, _ in obus] != [SEQUENCE_HEADER, FRAME]:
        raise MalformedPicture("an AV1 picture is one sequence header and one frame, something else arrived")
    announced = _still_picture_size(obus[0][2])
    if announced != (width, height):
        raise MalformedPicture(f"an AV1 picture of {announced} arrived where {(width, height)} was announced")
    if not decodable():
        raise MalformedPicture(f"an AV1 picture arrived, and PyAV here has no {DECODER}: install PyAV from PyPI")
    context = av.CodecContext.create(DECODER, "r")
    assert isinstance(context, av.video.codeccontext.VideoCodecContext)
    context.thread_count = 1
    context.options = {"max_pixels": str(width * height)}
    try:
        frames = [*context.decode(av.Packet(b"".join(obu for _, obu, _ in obus))), *context.decode(None)]
    except av.error.FFmpegError as error:
        raise MalformedPicture(f"an AV1 picture cannot be decoded: {error.strerror}") from error
    if len(frames) != 1:
        raise MalformedPicture(f"an AV1 picture held {len(frames)} frames, expected one")
    frame = frames[0]
    if (frame.width, frame.height) != (width, height) or frame.format.name not in ("yuv420p", "yuvj420p"):
        raise MalformedPicture(f"an AV1 picture decoded to {frame.width}x{frame.height} {frame.format.name}")
    return to_rgb(np.asarray(frame.to_ndarray(), np.uint8))


def _units(data: bytes) -> list[tuple[int, bytes, bytes]]:
    return units(data, _MOST_UNITS, MalformedPicture)


def _still_picture_size(header: bytes) -> tuple[int, int]:
    """Width and height in a reduced still-picture sequence header (specification, 5.5.1)."""
    bits = "".join(f"{byte:08b}" for byte in header[:8].ljust(8, b"\0"))
    if bits[:5] != "00011":
        raise MalformedPicture("an AV1 picture must be a main-profile still picture")
    width_bits, height_bits = int(bits[10:14], 2) + 1, int(bits[14:18], 2) + 1
    middle = 18 + width_bits
    return int(bits[18:middle], 2) + 1, int(bits[middle : middle + height_bits], 2) + 1
