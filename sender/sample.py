"""A moving person for when there is no camera: a public-domain portrait, turned, nodding, blinking and talking.

The portrait is NASA's photograph of Eileen Collins, in the public domain; `sample.txt` says where it is from. It is
animated by geometry alone: the head is an ellipsoid whose visible surface turns under the picture, and eyelids and jaw
are moved before that. Every frame is a function of its time, so two runs give the same pictures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

PORTRAIT = Path(__file__).with_name("sample.jpg")
SIDE = 256
"""Pixels of each side of the portrait; what follows is in these pixels."""
HEAD = (128.0, 105.0, 78.0, 95.0)
"""Centre x, y and radii of the head with its hair."""
HEAD_DEPTH = 62.0
NOSE = (126.0, 124.0, 8.0, 13.0, 9.0)
"""Centre x, y, widths and extra depth: without it a turning face looks painted on a ball."""
NECK = (128.0, 195.0)
"""The point about which the head leans."""
EYES = ((94.0, 100.7, 114.0, 102.8, 4.9, 2.6), (138.0, 104.3, 160.0, 104.2, 4.6, 2.4))
"""Per eye: the two corners, then how far the upper and the lower lid bend away from the line between them."""
MOUTH = (126.0, 140.2, 20.5, 10.2)
"""Centre x, height of the corners, half width, and how far the upper edge of the lower lip hangs below the corners."""
CHIN, COLLAR = 178.0, 193.0
FACE = (70, 70, 186, 200)
"""Left, top, right, bottom of the part that eyelids and jaw can change."""

BLINKS = (1.1, 4.0, 4.45, 7.3)
"""Seconds at which eyes close, repeated every `BLINK_CYCLE_S`; the pair in the middle is a double blink."""
BLINK_CYCLE_S = 9.7


@dataclass(frozen=True)
class SamplePose:
    """What the person does at one moment; angles in radians, lengths in pixels of the portrait."""

    yaw: float
    pitch: float
    roll: float
    shift: tuple[float, float]
    eyelids: float
    """0 open, 1 closed."""
    jaw: float
    """How far the lower lip is below where the portrait has it; negative closes the lips over the teeth."""
    brows: float
    """How far the eyebrows are raised."""


def pose_at(t: float) -> SamplePose:
    """The pose at `t` seconds: slow sines of unrelated periods, so that it does not look like a loop."""

    def wave(period: float, phase: float = 0.0) -> float:
        return math.sin(2 * math.pi * (t / period + phase))

    yaw = 0.2 * wave(5.3) + 0.08 * wave(2.3, 0.2)
    talking = _smoothstep((wave(4.7, -0.05) + 0.75) / 0.5)
    syllables = 0.5 + 0.32 * wave(0.31) + 0.26 * wave(0.47, 0.3) + 0.2 * wave(0.83, 0.6)
    nod = talking * (0.025 * wave(0.94) + 0.02 * wave(1.31, 0.4))
    return SamplePose(
        yaw=yaw,
        pitch=0.07 * wave(3.7, 0.1) + nod,
        roll=0.035 * wave(4.1, 0.35) + 0.15 * yaw,
        shift=(14 * yaw + 1.5 * wave(6.1, 0.7), 1.2 * wave(3.1)),
        eyelids=_eyelids(t),
        jaw=talking * (8.0 * min(max(syllables, 0.0), 1.0) - 3.0),
        brows=2.2 * _smoothstep((wave(2.9, 0.15) - 0.4) / 0.5),
    )


def sample_frames(fps: float = 25.0, seconds: float | None = 10.0, size: int = 256) -> Iterator[tuple[float, Image]]:
    """(time in seconds, (size, size, 3) uint8 RGB) frames of the animated portrait; endless if `seconds` is None.

    Raises ValueError if `fps` or `size` is not positive.
    """
    if fps <= 0 or size <= 0:
        raise ValueError(f"fps and size must be positive, got {fps} and {size}")
    person = AnimatedPortrait(size)
    count = itertools.count() if seconds is None else range(round(seconds * fps))
    return ((i / fps, person.draw(pose_at(i / fps))) for i in count)


def portrait() -> Image:
    """(256, 256, 3) uint8 RGB of the person, before anything moves. Raises OSError if the file is missing."""
    bgr = cv2.imdecode(np.frombuffer(PORTRAIT.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


class AnimatedPortrait:
    """Draws the portrait in any pose."""

    def __init__(self, size: int) -> None:
        self._scale = size / SIDE
        self._still: Image = np.asarray(cv2.resize(portrait(), (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
        self._x, self._y = _grid(0, 0, size, size, self._scale)
        self._depth = _depth(self._x, self._y)
        self._held = _held_by_head(self._x, self._y)
        box = [round(v * self._scale) for v in FACE]
        self._face = (slice(box[1], box[3]), slice(box[0], box[2]))
        self._face_x, self._face_y = _grid(box[0], box[1], box[2], box[3], self._scale)
        self._brow_share = _brow_share(self._face_x, self._face_y)

    def draw(self, pose: SamplePose) -> Image:
        """(size, size, 3) uint8 RGB of the person in this pose."""
        moved = self._still.copy()
        moved[self._face] = self._draw_face(pose)
        return self._turn_head(moved, pose)

    def _draw_face(self, pose: SamplePose) -> Image:
        source_y = self._face_y + pose.brows * self._brow_share
        for eye in EYES:
            source_y = _close_lid(self._face_x, source_y, eye, pose.eyelids)
        source_y, inside = _open_jaw(self._face_x, source_y, pose.jaw)
        face = self._remap(self._still, self._face_x, source_y)
        if pose.jaw <= 0:
            return face
        lit = np.clip((source_y - self._face_y) / 8 + 1, 0, 1)[..., None]  # darker towards the throat
        colour = np.array([88, 36, 36], np.float32) * (1 - lit) + np.array([52, 20, 20], np.float32) * lit
        return np.asarray(face + (colour - face) * inside[..., None], np.uint8)

    def _turn_head(self, picture: Image, pose: SamplePose) -> Image:
        across = pose.shift[0] - pose.roll * (self._y - NECK[1])
        down = pose.shift[1] + pose.roll * (self._x - NECK[0])
        source_x = self._x - math.sin(pose.yaw) * self._depth - across * self._held
        source_y = self._y - math.sin(pose.pitch) * self._depth - down * self._held
        return self._remap(picture, source_x, source_y)

    def _remap(self, picture: Image, x: FloatArray, y: FloatArray) -> Image:
        half = 0.5 * self._scale - 0.5
        columns, rows = x * self._scale + half, y * self._scale + half
        return np.asarray(
            cv2.remap(picture, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), dtype=np.uint8
        )


def _grid(left: int, top: int, right: int, bottom: int, scale: float) -> tuple[FloatArray, FloatArray]:
    """x and y, in pixels of the portrait, of every pixel of a box of the output."""
    half = 0.5 / scale - 0.5
    x = np.arange(left, right, dtype=np.float32) / scale + half
    y = np.arange(top, bottom, dtype=np.float32) / scale + half
    columns, rows = np.meshgrid(x, y)
    return np.asarray(columns, np.float32), np.asarray(rows, np.float32)


def _depth(x: FloatArray, y: FloatArray) -> FloatArray:
    """How far in front of the head's axis the surface is at every pixel; falls smoothly to 0 at the outline."""
    cx, cy, rx, ry = HEAD
    nx, ny, wide, tall, height = NOSE
    ball = np.clip(1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2, 0, 1)
    nose = height * np.exp(-(((x - nx) / wide) ** 2) / 2 - ((y - ny) / tall) ** 2 / 2)
    return np.asarray(HEAD_DEPTH * ball**0.9 + nose, np.float32)


def _held_by_head(x: FloatArray, y: FloatArray) -> FloatArray:
    """1 where the picture moves with the head, 0 where it stays; the blurred backdrop hides the stretch between."""
    cx, cy, rx, ry = HEAD
    distance = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
    around = 1 - _smooth(distance, 0.95, 1.6)
    return np.asarray(around * (1 - _smooth(y, CHIN - 8, COLLAR + 12)), np.float32)


def _brow_share(x: FloatArray, y: FloatArray) -> FloatArray:
    """How much of a raised brow every pixel follows."""
    share = np.zeros_like(x)
    for x0, y0, x1, y1, _, _ in EYES:
        across = ((x - (x0 + x1) / 2) / (0.75 * (x1 - x0))) ** 2
        share += np.exp(-(across**2)) * np.exp(-(((y - (y0 + y1) / 2 + 11) / 5) ** 2))
    return share


def _close_lid(x: FloatArray, y: FloatArray, eye: tuple[float, ...], closed: float) -> FloatArray:
    """Source heights with the upper lid drawn down: skin above it stretches, lashes keep their thickness."""
    x0, y0, x1, y1, up, down = eye
    along = (x - x0) / (x1 - x0)
    bend = np.clip(4 * along * (1 - along), 0, 1)
    line = y0 + (y1 - y0) * along
    upper, lower = line - up * bend, line + down * bend
    drop = closed * (lower - upper)
    lashes, fold = 2.5, 7.0
    stretched = upper - fold + (y - upper + fold) * (fold - lashes) / (fold - lashes + drop)
    on_lashes = y > upper + drop - lashes
    above = np.where(on_lashes, y - drop, stretched)
    moved = (y > upper - fold) & (y < upper + drop) & (bend > 0)
    return np.asarray(np.where(moved, above, y), np.float32)


def _open_jaw(x: FloatArray, y: FloatArray, jaw: float) -> tuple[FloatArray, FloatArray]:
    """Source heights with the lower lip and chin moved down, and the share (0..1) of each pixel inside the mouth."""
    cx, corners, half, hang = MOUTH
    across = (x - cx) / half
    lip = np.clip(1 - across**2, 0, 1)
    edge = corners + hang * lip
    chin = 1 - _smooth(np.abs(x - cx), 0.8 * half, 2.3 * half)

    def follows(height: FloatArray) -> FloatArray:
        """How far, 0..1, the skin at a height of the portrait goes with the jaw."""
        below = _smooth(height, corners + 2, corners + 24)
        return np.asarray((lip**0.7 * (1 - below) + chin * below) * (1 - _smooth(height, CHIN - 4, COLLAR)), np.float32)

    source = y
    for _ in range(3):  # the shift depends on where the skin came from: a fixed point, reached in a few steps
        source = y - jaw * follows(source)
    opening = jaw * follows(np.asarray(edge, np.float32))
    beneath = np.clip(y - edge - opening + 0.5, 0, 1)
    inside = np.clip(y - edge + 0.5, 0, 1) * (1 - beneath) * np.clip(opening, 0, 1)
    heights = np.where(beneath > 0, np.maximum(source, edge - 0.5), np.minimum(y, edge) if jaw > 0 else y)
    heights = np.where(np.abs(across) < 1, heights, source)
    return np.asarray(heights, np.float32), np.asarray(inside, np.float32)


def _eyelids(t: float) -> float:
    """0 open to 1 closed: a blink closes in 80 ms, stays 40 ms and opens in 160 ms, as people's do."""
    phase = t % BLINK_CYCLE_S
    return max(_smoothstep(min((phase - at) / 0.08, (at + 0.28 - phase) / 0.16)) for at in BLINKS)


def _smoothstep(u: float) -> float:
    u = min(max(u, 0.0), 1.0)
    return u * u * (3 - 2 * u)


def _smooth(v: FloatArray, low: float, high: float) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth between."""
    u = np.clip((v - low) / (high - low), 0, 1)
    return np.asarray(u * u * (3 - 2 * u), np.float32)
