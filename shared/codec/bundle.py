"""Motion bundles: one to sixteen consecutive frames in one message that can be read without any other.

    offset  size
    0       1     1 bit whether there are sections, 3 bits version, 4 bits number of frames less one
    1       2     number of the first frame
    3       3     20 bits capture clock of the first frame in ms, 4 bits frame interval: 1 to 15 one of INTERVALS, or 0
    6       1     gallery epoch
    (7      2     frame interval in 0.1 ms, if it is none of INTERVALS)
    7       ...   motion alone; or sections: type (1), length (1, or 2 from 128 bytes on), content; the last one has 128
                  added to its type and no length

All numbers are big-endian. Sections of unknown type are skipped; type 1 is motion, 2 is `sound`, 3 is `base_section`,
each there once at most. Motion is one range-coded stream: per frame whether it shows a face, then its quantised
numbers; by themselves for the first face, as differences to the face before for the rest, with tables that depend on
how large the differences before were (`contexts`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.codec import MalformedBundle
from shared.codec.audio_section import MAX_SOUND_BYTES, SOUND_SECTION, SoundPacket, pack_sound, unpack_sound
from shared.codec.base_section import BASE_SECTION, MAX_SECTION_BYTES, BasePacket, pack_base, unpack_base
from shared.codec.motion_basis import MAX_INTEGER, MotionBasis, Numbers
from shared.codec.range_coder import TOTAL, FrequencyTable, RangeDecoder, RangeEncoder
from shared.motion import Motion

VERSION = 3
MAX_FRAMES = 16
MAX_MOTION_BYTES = 4096
"""More than sixteen frames need even if every number is escaped."""
MAX_BUNDLE_BYTES = 32 + MAX_MOTION_BYTES + MAX_SOUND_BYTES + MAX_SECTION_BYTES
"""The header, and every section as long as it may be: 17 KB. A usual bundle has 40 to 300 bytes."""

CLOCK_WRAP_MS = 1 << 20
"""The capture clock starts again after so much: 17 minutes, more than any silence that a call survives."""
HOLD = 0.6
"""Steps from the integer of the frame before within which a number keeps it. Rounding alone has 0.5; the little more
takes 3 % of the bytes and some trembling away, for 0.01 px."""

MOTION_SECTION = 1
INTERVALS = (400, 800, 333, 667, 334, 668, 167, 200, 1000, 500, 417, 833, 625, 1250, 1200)
"""Frame intervals in 0.1 ms that need no bytes of their own: of the usual cameras, all frames or every second one."""

_HEADER = struct.Struct(">BHHBB")
_SECTIONS = 0x80
_VERSION_BITS = 0x7
_LAST = 0x80
_MAX_SECTION = 0x7FFF
_MAX_INTERVAL = 0xFFF
_NAMES = {MOTION_SECTION: "motion", SOUND_SECTION: "sound", BASE_SECTION: "base"}
_ESCAPE_OFFSET = 1 << 15
# A frame without a face is rare: telling it apart costs 0.02 bits on every other frame.
_FACE_TABLE = FrequencyTable([TOTAL // 64, TOTAL - TOTAL // 64])


@dataclass(frozen=True, eq=False)
class Bundle:
    """Consecutive frames of motion."""

    first_frame: int
    """Number of the first frame, 16 bits; it wraps around."""
    clock_ms: int
    """Capture clock of the first frame in ms, 20 bits; it wraps around."""
    epoch: int
    """Gallery epoch, 8 bits: which sources the sender assumes at the receiver."""
    frame_interval_ms: float
    """Time between two frames, 0.1 to 409.5 ms, kept to 0.1 ms."""
    frames: tuple[Motion | None, ...]
    """1 to 16 frames; None where no face was found."""
    sound: tuple[SoundPacket, ...] = ()
    """What was said meanwhile, in its order."""
    base: tuple[BasePacket, ...] = ()
    """Pictures of the base layer, oldest first; those of earlier frames may be repeated."""


def quantise(motions: Sequence[Motion | None], basis: MotionBasis) -> tuple[Motion | None, ...]:
    """Motions that follow each other as the receiver will see them. Raises ValueError if one does not fit the basis."""
    return tuple(None if each is None else basis.motion(each) for each in _integers(motions, basis))


def held(numbers: Numbers, before: NDArray[np.int64] | None, dead_zone: float = HOLD) -> NDArray[np.int64]:
    """(D,) integers of a frame's numbers, which stay what they were `before` unless wrong by over `dead_zone`."""
    rounded = np.clip(np.rint(numbers), -MAX_INTEGER, MAX_INTEGER)
    if before is not None:
        rounded = np.where(np.abs(numbers - before) <= dead_zone, before, rounded)
    return np.asarray(rounded, np.int64)


class BundleEncoder:
    """Codes the bundles of a call, one after the other.

    Each can be read by itself. But a number keeps its integer from one bundle to the next as it does within one:
    rounded anew with every bundle, a face that is still would twitch five times a second.
    """

    def __init__(self, basis: MotionBasis) -> None:
        self._basis = basis
        self._before: NDArray[np.int64] | None = None
        self.base_bytes = 0
        """Of the last bundle: what its base layer took."""

    def encode(self, bundle: Bundle) -> bytes:
        """The bytes of the next bundle. Raises ValueError for one that the format cannot hold."""
        frames = tuple(_integers(bundle.frames, self._basis, self._before))
        motions = _encode_motions(frames, self._basis)
        base = pack_base(bundle.base) if bundle.base else b""
        self.base_bytes = len(base)
        data = _header(bundle) + (_with_sections(motions, bundle, base) if _has_sections(bundle) else motions)
        self._before = next((each for each in reversed(frames) if each is not None), self._before)
        return data


def encode_bundle(bundle: Bundle, basis: MotionBasis) -> bytes:
    """The bytes of a bundle with nothing before it. Raises ValueError for a bundle that the format cannot hold."""
    return BundleEncoder(basis).encode(bundle)


def _has_sections(bundle: Bundle) -> bool:
    return bool(bundle.sound or bundle.base)


def _with_sections(motions: bytes, bundle: Bundle, base: bytes) -> bytes:
    sections = [(MOTION_SECTION, motions)]
    if bundle.sound:
        sections.append((SOUND_SECTION, pack_sound(bundle.sound)))
    if base:
        sections.append((BASE_SECTION, base))
    body = b"".join(bytes([kind]) + _length(content) + content for kind, content in sections[:-1])
    kind, content = sections[-1]
    return body + bytes([kind | _LAST]) + content


def _length(content: bytes) -> bytes:
    length = len(content)
    return length.to_bytes(1) if length < 0x80 else (length | _MAX_SECTION + 1).to_bytes(2, "big")


def _header(bundle: Bundle) -> bytes:
    interval = round(bundle.frame_interval_ms * 10)
    if not 1 <= len(bundle.frames) <= MAX_FRAMES:
        raise ValueError(f"a bundle holds 1 to {MAX_FRAMES} frames, this one has {len(bundle.frames)}")
    if not 1 <= interval <= _MAX_INTERVAL:
        raise ValueError(f"a frame interval is 0.1 to 409.5 ms, this is {bundle.frame_interval_ms} ms")
    code = INTERVALS.index(interval) + 1 if interval in INTERVALS else 0
    timing = bundle.clock_ms % CLOCK_WRAP_MS << 4 | code
    form = (_SECTIONS if _has_sections(bundle) else 0) | VERSION << 4 | len(bundle.frames) - 1
    header = _HEADER.pack(
        form, bundle.first_frame & 0xFFFF, timing >> 8, timing & 0xFF,
        bundle.epoch & 0xFF,
    )  # fmt: skip
    return header + (b"" if code else interval.to_bytes(2, "big"))


def decode_bundle(data: bytes, basis: MotionBasis) -> Bundle:
    """The bundle in `data`. Raises MalformedBundle if the bytes are not one."""
    if not _HEADER.size <= len(data) <= MAX_BUNDLE_BYTES:
        raise MalformedBundle(f"a bundle has {_HEADER.size} to {MAX_BUNDLE_BYTES} bytes, {len(data)} arrived")
    form, first_frame, high, low, epoch = _HEADER.unpack_from(data)
    version = form >> 4 & _VERSION_BITS
    if version != VERSION:
        raise MalformedBundle(f"bundle version {version} arrived, expected {VERSION}: both ends need one release")
    interval, body = _interval(low & 0xF, data[_HEADER.size :])
    sections = _known(body) if form & _SECTIONS else {MOTION_SECTION: body}
    if MOTION_SECTION not in sections:
        raise MalformedBundle("a bundle has one motion section, 0 arrived")
    frames = _decode_motions(sections[MOTION_SECTION], (form & 0xF) + 1, basis)
    sound = unpack_sound(sections[SOUND_SECTION]) if SOUND_SECTION in sections else ()
    base = unpack_base(sections[BASE_SECTION]) if BASE_SECTION in sections else ()
    return Bundle(first_frame, high << 4 | low >> 4, epoch, interval / 10, frames, sound, base)


def _known(body: bytes) -> dict[int, bytes]:
    """Content by type of the sections that this release reads."""
    known: dict[int, bytes] = {}
    for kind, content in _sections(body):
        if kind in known:
            raise MalformedBundle(f"a bundle has at most one {_NAMES[kind]} section, 2 arrived")
        if kind in _NAMES:
            known[kind] = content
    return known


def _interval(code: int, data: bytes) -> tuple[int, bytes]:
    """Frame interval in 0.1 ms, and what follows it."""
    if code:
        return INTERVALS[code - 1], data
    interval = int.from_bytes(data[:2], "big")
    if len(data) < 2 or not 1 <= interval <= _MAX_INTERVAL:
        raise MalformedBundle(f"a bundle with a frame interval of {interval / 10} ms arrived")
    return interval, data[2:]


def _sections(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if data[at] & _LAST:
            yield data[at] & ~_LAST, data[at + 1 :]
            return
        width = 2 if data[at + 1 : at + 2] >= b"\x80" else 1
        start = at + 1 + width
        end = start + (int.from_bytes(data[at + 1 : start], "big") & (_MAX_SECTION if width == 2 else 0x7F))
        if start > len(data) or end > len(data):
            raise MalformedBundle(f"a section ends at byte {end}, but only {len(data)} bytes of sections arrived")
        yield data[at], data[start:end]
        at = end


def _integers(
    motions: Sequence[Motion | None], basis: MotionBasis, before: NDArray[np.int64] | None = None
) -> Iterator[NDArray[np.int64] | None]:
    """What is coded of each frame of a bundle, after a frame that had the integers `before`."""
    for motion in motions:
        if motion is None:
            yield None
        else:
            before = held(basis.numbers(motion), before)
            yield before


def _encode_motions(frames: Sequence[NDArray[np.int64] | None], basis: MotionBasis) -> bytes:
    encoder, contexts = RangeEncoder(), basis.contexts()
    previous: NDArray[np.int64] | None = None
    for integers in frames:
        encoder.encode(_FACE_TABLE, int(integers is not None))
        if integers is None:
            continue
        if previous is None:
            for value, table in zip(integers.tolist(), basis.intra_tables, strict=True):
                _encode_integer(encoder, value, table, basis.reach)
        else:
            for number, value in enumerate((integers - previous).tolist()):
                _encode_integer(encoder, value, basis.inter_tables[contexts.next()][number], basis.reach)
                contexts.note(value)
        previous = integers
    return encoder.finish()


def _encode_integer(encoder: RangeEncoder, value: int, table: FrequencyTable, reach: int) -> None:
    if abs(value) <= reach and table.frequencies[value + reach]:
        encoder.encode(table, value + reach)
    else:
        encoder.encode(table, 2 * reach + 1)
        encoder.encode_uniform(value + _ESCAPE_OFFSET >> 8, 8)
        encoder.encode_uniform(value + _ESCAPE_OFFSET & 0xFF, 8)


def _decode_motions(data: bytes, count: int, basis: MotionBasis) -> tuple[Motion | None, ...]:
    decoder, contexts = RangeDecoder(data), basis.contexts()
    previous: NDArray[np.int64] | None = None
    motions: list[Motion | None] = []
    for _ in range(count):
        if not decoder.decode(_FACE_TABLE):
            motions.append(None)
            continue
        values = []
        for number, table in enumerate(basis.intra_tables):
            if previous is None:
                values.append(_decode_integer(decoder, table, basis.reach))
            else:
                values.append(_decode_integer(decoder, basis.inter_tables[contexts.next()][number], basis.reach))
                contexts.note(values[-1])
        integers = np.array(values, np.int64)
        previous = integers if previous is None else previous + integers
        if np.abs(previous).max() > MAX_INTEGER:
            raise MalformedBundle(f"a quantised motion number is beyond {MAX_INTEGER}")
        motions.append(basis.motion(previous))
    if decoder.unread:
        raise MalformedBundle(f"{decoder.unread} bytes are left over after the last of {count} frames")
    return tuple(motions)


def _decode_integer(decoder: RangeDecoder, table: FrequencyTable, reach: int) -> int:
    symbol = decoder.decode(table)
    if symbol != 2 * reach + 1:
        return symbol - reach
    high = decoder.decode_uniform(8)
    return (high << 8 | decoder.decode_uniform(8)) - _ESCAPE_OFFSET
