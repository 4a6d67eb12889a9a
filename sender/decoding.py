"""Decoding a file: the stream that is meant, frame by frame, all of it that is not damaged, as it is to be seen.

Turned, mirrored, with square pixels, in the colours of a screen: PQ and HLG (BT.2100), and BT.2020 as it is.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.filter
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorTrc
from av.video.stream import VideoStream
from numpy.typing import NDArray

from shared.media import open_media

log = logging.getLogger(__name__)
Image = NDArray[np.uint8]
WHITE_NITS = 203.0
"""What paper has in HDR (ITU-R BT.2408): it becomes the screen's white, or nearly."""
_PEAK_NITS = 1000.0
"""What becomes the screen's brightest: that of most screens that HDR is made for."""
_KNEE = 0.75
"""Share of white up to which light stays as it is; what is brighter is pressed together."""
_GAMMA = 2.4
_STEPS = 33
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""From BT.2020's primaries to BT.709's, in linear light (ITU-R BT.2087)."""
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
_BROKEN_READS = 64
"""Failures in a row after which nothing more of a file can be read."""
_STAMPS_LOOKED_AT = 250
"""Of a file's packets, to know at which rate its frames usually come."""
_NO_FILMS = (Disposition.attached_pic, Disposition.timed_thumbnails)
_WIDEST_PIXEL = 8
"""A pixel that is said to be so many times as wide as high, or more, is a mistake."""


class ScreenColours:
    """RGB pictures of frames, whatever their range, matrix and transfer curve; where it fails, that is said once."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._of: tuple[int, int, int] | None = None
        self._given_up = False

    def __call__(self, frame: av.VideoFrame) -> Image:
        """(H, W, 3) uint8 RGB for a screen of BT.709."""
        curve = _curve(frame)
        if curve is None or self._given_up:
            return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        try:
            return self._mapped(frame, curve)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._given_up = True
            log.warning("the film is in HDR, which cannot be brought to a screen here (%s): it looks pale", error)
            return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)

    def _mapped(self, frame: av.VideoFrame, curve: int) -> Image:
        fine = frame.reformat(format="rgb48le")
        fine.pts, fine.time_base = 0, Fraction(1, 25)
        of = (frame.width, frame.height, curve)
        if self._graph is None or self._of != of:
            self._graph, self._of = _graph(*of), of
        self._graph.push(fine)
        drawn = self._graph.pull()
        assert isinstance(drawn, av.VideoFrame)
        return np.asarray(drawn.to_ndarray(format="rgb24"), np.uint8)


def _curve(frame: av.VideoFrame) -> int | None:
    """Which transfer curve a frame must be brought over from; None if it is for a screen as it is."""
    if frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67):
        return int(frame.color_trc)
    return int(ColorTrc.BT2020_10) if frame.color_primaries == ColorPrimaries.BT2020 else None


def _graph(width: int, height: int, curve: int) -> av.filter.Graph:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.cube"
        path.write_text(cube(curve), encoding="ascii")
        graph = av.filter.Graph()
        nodes = [
            graph.add("buffer", f"video_size={width}x{height}:pix_fmt=rgb48le:time_base=1/25:colorspace=gbr:range=pc"),
            graph.add("lut3d", file=str(path)),
            graph.add("format", "rgb24|rgb48le"),
            graph.add("buffersink"),
        ]
        for before, after in pairwise(nodes):
            before.link_to(after)
        graph.configure()  # reads the table
    return graph


@cache
def cube(curve: int) -> str:
    """The table for a transfer curve, one of ColorTrc, as the text of a .cube file."""
    axis = np.linspace(0, 1, _STEPS)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red is the quickest
    table = to_screen(np.stack([red, green, blue], -1).reshape(-1, 3), curve)
    rows = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in table)
    return f"LUT_3D_SIZE {_STEPS}\n{rows}\n"


def to_screen(coded: NDArray[np.float64], curve: int) -> NDArray[np.float64]:
    """(N, 3) RGB of BT.2020's primaries in 0..1, coded by a curve, as RGB of a BT.709 screen in 0..1."""
    if curve == ColorTrc.SMPTE2084:
        light = _pq(coded) / WHITE_NITS
    elif curve == ColorTrc.ARIB_STD_B67:
        light = _hlg(coded) * _PEAK_NITS / WHITE_NITS
    else:
        light = coded**_GAMMA
    light = np.maximum(light @ _TO_709.T, 0)
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-9)
    if curve in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67):
        light = light * _pressed(brightest) / brightest  # all three alike: a bright skin keeps its hue
    return np.asarray(np.clip(light, 0, 1) ** (1 / _GAMMA), np.float64)


def _pq(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nits of a PQ signal (SMPTE ST 2084)."""
    power = coded ** (1 / 78.84375)
    return np.asarray(
        10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    )


def _hlg(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of an HLG signal on a screen of 1000 nits, 0..1 (ITU-R BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    luma = np.maximum(scene @ _LUMA_2020, 1e-9)[:, None]
    return np.asarray(scene * luma**0.2)


def _pressed(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light over white, so that the peak becomes 1: to the knee as it is, from there on by a curve that joins it."""
    above, room, most = np.maximum(light - _KNEE, 0), 1 - _KNEE, _PEAK_NITS / WHITE_NITS - _KNEE
    bend = (most / room - 1) / most  # of a hyperbola with slope 1 at the knee that has `room` at `most`
    return np.asarray(np.where(light <= _KNEE, light, np.minimum(_KNEE + above / (1 + bend * above), 1)))


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures, or of the one picture of a photograph; None if there is none.

    The cover of a song is none, and neither is text, which FFmpeg draws as pictures.
    """
    if container.format.name == "tty":
        return None
    films = (each for each in container.streams.video if each.width > 0 and not _is_cover(each))
    return next(films, None)


def first_stamps(path: Path) -> list[float]:
    """Seconds of the first frames of a file, as its packets have them; none if it has no time stamps."""
    stamps: list[float] = []
    try:
        with open_media(path) as container:
            for packet in container.demux(picture_stream(container) or ()):
                if packet.pts is not None and packet.time_base is not None:
                    stamps.append(float(packet.pts * packet.time_base))
                if len(stamps) == _STAMPS_LOOKED_AT:
                    break
    except (av.error.FFmpegError, OSError, ValueError):
        pass  # what is damaged shows when it is played
    return stamps


class Decoding:
    """Iterate over the frames of a stream; packets that cannot be read or decoded are left out and counted."""

    def __init__(self, container: InputContainer, stream: Any) -> None:
        """`stream`: of pictures or of sound, of this container."""
        self.lost = 0
        """Packets that were left out so far."""
        self._container, self._stream = container, stream

    def __iter__(self) -> Iterator[Any]:
        for packet in self._packets():
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.lost += 1
        # Where the last packet could not be decoded, what the decoder still holds is behind it.
        for _ in range(_BROKEN_READS):
            try:
                yield from self._stream.decode(None)
                return
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.lost += 1

    def _packets(self) -> Iterator[Packet[Any]]:
        """Every packet that can be read, the one that empties the decoder included."""
        packets, failures = self._container.demux(self._stream), 0
        while failures < _BROKEN_READS:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError):
                self.lost, failures = self.lost + 1, failures + 1
                packets = self._container.demux(self._stream)  # goes on behind what could not be read
                continue
            if packet is None:
                return
            failures = 0
            yield packet


def _is_cover(stream: VideoStream) -> bool:
    return any(each in stream.disposition for each in _NO_FILMS)


class Upright:
    """Makes (H, W, 3) uint8 RGB pictures of a stream's frames."""

    def __init__(self, pixel: Fraction | None) -> None:
        """`pixel`: width of one over its height, where the stream says it."""
        known = pixel is not None and Fraction(1, _WIDEST_PIXEL) < pixel < _WIDEST_PIXEL
        self._pixel = pixel if known and pixel is not None else Fraction(1)
        self._colours = ScreenColours()

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height with square pixels, before turning; none gets smaller."""
        pixel = self._pixel
        return (round(width * pixel), height) if pixel >= 1 else (width, round(height / pixel))

    def __call__(self, frame: av.VideoFrame) -> Image:
        """The picture of a frame."""
        rgb = self._colours(frame)
        size = self.size(frame.width, frame.height)
        if size != (frame.width, frame.height):
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        return oriented(rgb, display_matrix(frame))


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of a frame's display matrix, row by row; None if it has none."""
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    data = b"" if found is None else bytes(found)
    return tuple(np.frombuffer(data[:36], np.int32).tolist()) if len(data) >= 36 else None


def oriented(rgb: Image, matrix: tuple[int, ...] | None) -> Image:
    """The picture turned and mirrored as FFmpeg's own players do it, to the nearest quarter of a turn."""
    if matrix is None:
        return rgb
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return rgb
    quarters = round(math.degrees(math.atan2(b / down, a / across)) / 90) % 4
    if quarters == 1:
        turned = np.swapaxes(rgb, 0, 1) if c > 0 else np.rot90(rgb, -1)
    elif quarters == 3:
        turned = np.rot90(rgb, 1) if c > 0 else np.rot90(np.swapaxes(rgb, 0, 1), 2)
    else:
        turned = rgb[:, ::-1] if a < 0 else rgb
        turned = turned[::-1] if d < 0 else turned
    return np.ascontiguousarray(turned)
