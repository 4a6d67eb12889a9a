"""Everything that reads bytes of others, as the fuzzer drives it: valid examples, the parser, and what it may say."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from safetensors.torch import save

from benchmarks import fuzz_base
from benchmarks.fuzz_calls import KEYPOINTS, hostile_receiver, hostile_sender, plain_basis
from benchmarks.fuzz_pictures import picture_messages
from shared.call.call_file import CallFileError, CallWriter, FiledFrame, FiledMessage, Taken, read_call
from shared.call.loop import TooManyErrors
from shared.codec import MalformedBase, MalformedBundle, MalformedControl, MalformedPicture, control
from shared.codec.audio_section import FURTHEST_MS, MAX_PACKETS, SoundPacket, pack_sound, packet_ms, unpack_sound
from shared.codec.base_section import GENERATIONS, MAX_SECTION_BYTES, BasePacket, pack_base, unpack_base
from shared.codec.base_section import MAX_PACKETS as MAX_BASE_PACKETS
from shared.codec.base_video import MAX_KEY_BYTES, MAX_PACKET_BYTES
from shared.codec.bundle import MAX_BUNDLE_BYTES, MAX_FRAMES, Bundle, decode_bundle, encode_bundle
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import PictureMessage, decode_picture
from shared.codec.pieces import MAX_MESSAGE, MAX_PIECE, Reassembler, split
from shared.models.engine import EngineError, load_strictly
from shared.motion import Motion
from shared.signalling.hello import Hello
from shared.signalling.links import parse_link
from shared.signalling.offer_answer import BODY_LIMIT, Answerer, Reply, SignallingError, read_answer, write_offer
from shared.signalling.pasting import TEXT_LIMIT, Unreadable, find_text, read_text, write_text
from shared.signalling.sealing import KEY_BYTES, NotOpened, seal, unseal
from shared.transport.link import Channel
from weights.checkpoint import load
from weights.errors import WeightsError
from weights.published import parse

MB = 1 << 20
OPUS = bytes([8]) + bytes(30)
"""Looks like 20 ms of mono speech."""


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    valid: tuple[bytes, ...]
    """Messages that it accepts, to start from."""
    parse: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    """The errors it may raise; any other is a fault."""
    most: int
    """Bytes of an input: what the transport lets through."""
    memory: int
    """Bytes that may be allocated over one input."""
    share: float
    """Of all inputs; the shares of all targets add up to one."""
    tokens: tuple[bytes, ...] = ()
    mend: Callable[[bytes], bytes] | None = None
    """Makes the checksums of a mutated message right again, so that what lies behind them is reached."""


def targets(scratch: Path) -> tuple[Target, ...]:
    """All of them; those of files write into `scratch`. Makes the examples, which takes a second or two."""
    basis = plain_basis()
    return (
        Target("bundle", bundles(basis), lambda data: read_bundle(data, basis), (MalformedBundle,),
               MAX_BUNDLE_BYTES, MB, 0.11),
        Target("sound", sounds(), read_sound, (MalformedBundle,), MAX_BUNDLE_BYTES, MB, 0.12),
        Target("base", fuzz_base.sections(), read_base, (MalformedBundle,), MAX_SECTION_BYTES + 64, MB, 0.06),
        Target("base_key", (fuzz_base.key().pack(),), fuzz_base.read_key, (MalformedBase,), MAX_KEY_BYTES + 64, 4 * MB,
               0.03, mend=with_checksum),
        Target("base_packet", tuple(each.data for each in fuzz_base.packets()), fuzz_base.read_packet, (MalformedBase,),
               MAX_PACKET_BYTES + 64, 4 * MB, 0.02),
        Target("base_track", fuzz_base.sections(), fuzz_base.Track(), (MalformedBase, MalformedBundle),
               MAX_SECTION_BYTES, 4 * MB, 0.01),
        Target("picture", picture_messages(), read_picture, (MalformedPicture,), 16 * 1024, 4 * MB, 0.05,
               mend=with_checksum),
        Target("pieces", pieces(), Pieces(), (MalformedPicture,), 2 * MAX_PIECE, 2 * MB, 0.08),
        Target("control", controls(), read_control, (MalformedControl,), 2048, MB, 0.15,
               tokens=PACKED),
        Target("offer", (write_offer(HELLO, "v=0"),), read_offer, (Refused,), BODY_LIMIT + 64, 16 * MB, 0.06,
               tokens=JSON),
        Target("answer", (write_offer(HELLO, "v=0"), ANSWER),
               lambda data: read_answer("there", data, HELLO), (SignallingError,), BODY_LIMIT + 64, 16 * MB, 0.05,
               tokens=JSON),
        Target("sealed", (seal(KEY, b"an offer", b"context"),), lambda data: unseal(KEY, data, b"context"),
               (NotOpened,), BODY_LIMIT, MB, 0.04),
        Target("link", LINKS, lambda data: parse_link(data.decode("utf-8", "replace")), (SignallingError,), 4096, MB,
               0.06, tokens=(b"://", b"#", b"@", b"[::1]", b"%00", b"/r/", b"/join/", b"\xe2\x84\x80", b":99999")),
        Target("by_hand", (PASTED.encode(),), read_pasted, (Unreadable,),
               2 * TEXT_LIMIT, 8 * MB, 0.03, tokens=(b"[pinhole offer 1:", b"]", b"[", b" " * 100)),
        Target("catalogue", (CATALOGUE,), lambda data: parse(data.decode("utf-8", "replace")), (WeightsError,),
               64 * 1024, 8 * MB, 0.04, tokens=JSON),
        Target("callfile", (call_file(scratch),), CallReader(scratch), (CallFileError,), 64 * 1024, 8 * MB, 0.03,
               mend=with_record_checksums),
        Target("basis", (_saved(basis, scratch),), File(scratch / "b", MotionBasis.load), (ValueError,), 64 * 1024,
               8 * MB, 0.02, tokens=TENSORS),
        Target("weights", (save(torch.nn.Linear(3, 2).state_dict()),), File(scratch / "w", read_weights),
               (EngineError, WeightsError), 4096, 8 * MB, 0.02, tokens=TENSORS),
        Target("receiver", *hostile_sender(), (TooManyErrors,), 2 * MAX_PIECE, 8 * MB, 0.01),
        Target("sender", *hostile_receiver(), (TooManyErrors,), 2048, 8 * MB, 0.01),
    )  # fmt: skip


HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256, {"sound": True})
ANSWER = Reply(200, {"hello": HELLO.to_dict(), "sdp": "v=0", "resume": "x" * 22}).to_bytes()
PASTED = write_text("offer", write_offer(HELLO, "v=0"))
KEY = bytes(range(KEY_BYTES))
JSON = (b"[" * 200, b'{"a":' * 100, b"1e999", b"-0", b"NaN", b"null", b"true", b'"\\ud800"', b"9" * 400, b"[]", b"{}",
        b'"hello":', b'"fps":', b'"capabilities":', b'"sdp":', b'"sha256":', b'"urls":', b'"bytes":')  # fmt: skip
TENSORS = (b'"F32"', b'"BF16"', b'"F8_E4M3"', b'"U16"', b'"shape":[', b"-1", b"99999999999999999999", b'"data_offsets"',
           b"[0,0]", b"{}", b"null")  # fmt: skip
_VALUES: tuple[object, ...] = ("t", "held", "stats", "bye", "react", "number", -1, 2**63, None, {})
PACKED = (*(msgpack.packb(each) for each in _VALUES), b"\x91" * 900)
LINKS = (
    b"http://192.168.1.7:8765/join/abcDEF123",
    b"https://example.org/r/abcdefghijklmnop#" + b"AAAAAAAAAAAAAAAAAAAAAA",
)
CATALOGUE = json.dumps({
    "esrgan": {
        "purpose": "sharpens", "file": "a.pth", "kind": "esrgan", "gives": ["esrgan.safetensors"], "licence": "Apache",
        "non_commercial": False, "page": "https://example.org/page", "urls": ["https://example.org/a.pth"],
        "sha256": "0" * 64, "bytes": 1000, "note": "",
    },
}).encode()  # fmt: skip


def bundles(basis: MotionBasis) -> tuple[bytes, ...]:
    """Bundles of 1 to 16 frames, with and without faces, sound and base layer."""
    chance = np.random.default_rng(1)

    def motion() -> Motion:
        expression = chance.normal(0, 0.2, (KEYPOINTS, 3)).astype(np.float32)
        return Motion(chance.normal(0, 20, 3).astype(np.float32), 1.1, np.zeros(3, np.float32), expression)

    plain = Bundle(7, 1000, 3, 40.0, tuple(motion() for _ in range(5)))
    sound = (SoundPacket(-40, OPUS), SoundPacket(-20, OPUS), SoundPacket(60, b""))
    each = (
        plain, replace(plain, frames=plain.frames[:1]), replace(plain, frames=(None, motion(), None)),
        replace(plain, frames=tuple(motion() for _ in range(16)), frame_interval_ms=123.4),
        replace(plain, sound=sound), replace(plain, sound=sound, base=fuzz_base.packets()),
        replace(plain, base=fuzz_base.packets()[2:]),
    )  # fmt: skip
    return tuple(encode_bundle(one, basis) for one in each)


def sounds() -> tuple[bytes, ...]:
    """Sections of sound."""
    return (
        pack_sound([SoundPacket(0, OPUS)]),
        pack_sound([SoundPacket(-500 + 20 * n, OPUS) for n in range(20)]),
        pack_sound([SoundPacket(0, OPUS), SoundPacket(20, b""), SoundPacket(900, OPUS)]),
    )


def controls() -> tuple[bytes, ...]:
    """A message of every type."""
    stats = control.Stats(1000, 990, 10, 200, 65535, 180, 4, 77)
    each = (control.SourceHeld(2, (1, 2, 3)), control.SourceRequest(None, "fresh"), stats, control.Heartbeat(5, 6),
            control.Note(control.NO_FACE), control.Bye("the end"), control.Reaction(6))  # fmt: skip
    return tuple(control.pack_control(message) for message in each)


def pieces() -> tuple[bytes, ...]:
    """Pieces of three messages."""
    return tuple(piece for source in (1, 2, 3) for piece in split(bytes(2000), source))


def read_bundle(data: bytes, basis: MotionBasis) -> Bundle:
    """A bundle, whose frames are few and whose motions are numbers."""
    bundle = decode_bundle(data, basis)
    moving = [motion for motion in bundle.frames if motion is not None]
    expect(1 <= len(bundle.frames) <= MAX_FRAMES, f"a bundle has {len(bundle.frames)} frames")
    expect(all(np.isfinite(motion.vector()).all() and motion.scale > 0 for motion in moving), "a motion is none")
    return bundle


def read_sound(content: bytes) -> list[SoundPacket]:
    """A section of sound, which comes back when it is packed again."""
    packets = list(unpack_sound(content))
    expect(1 <= len(packets) <= MAX_PACKETS, f"a section has {len(packets)} packets of sound")
    near = all(abs(each.start_ms) <= FURTHEST_MS and packet_ms(each.data) <= 120 for each in packets)
    expect(near and list(unpack_sound(pack_sound(packets))) == packets, f"packets of sound are {packets}")
    return packets


def read_base(content: bytes) -> list[BasePacket]:
    """A section of the base layer, which comes back when it is packed again."""
    packets = list(unpack_base(content))
    expect(1 <= len(packets) <= MAX_BASE_PACKETS, f"a section has {len(packets)} packets of the base")
    small = all(1 <= len(each.data) <= MAX_PACKET_BYTES and 0 <= each.generation < GENERATIONS for each in packets)
    expect(small and list(unpack_base(pack_base(packets))) == packets, f"packets of the base are {packets}")
    return packets


def read_control(data: bytes) -> control.Control:
    """A control message, which comes back when it is packed again."""
    message = control.unpack_control(data)
    expect(control.unpack_control(control.pack_control(message)) == message, f"{message} is read as another")
    return message


def expect(condition: bool, otherwise: str) -> None:
    """Raises AssertionError, which no parser may, where what was read is not what it must be."""
    if not condition:
        raise AssertionError(otherwise)


def read_picture(message: bytes) -> object:
    """As a receiver does: the message, then the pixels."""
    picture = PictureMessage.unpack(message)
    expect(bool(np.isfinite(picture.canonical).all()), "a keypoint is none")
    pixels = decode_picture(picture.codec, picture.data, picture.width, picture.height)
    expect(pixels.shape == (picture.height, picture.width, 3), f"pixels are {pixels.shape}")
    return pixels


def read_offer(body: bytes) -> object:
    """What a receiver answers to a body; it never fails and never says that it did."""

    async def accept(hello: Hello, sdp: str) -> tuple[Hello, str]:
        return HELLO, "v=0"

    reply = run(Answerer(accept).answer(body))
    if reply.status not in (200, 400):
        raise AssertionError(f"an offer was answered with {reply.status}")
    if reply.status != 200:
        raise Refused(reply.data["error"])
    return reply


class Refused(Exception):
    """A parser that returns its refusals has refused."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine that waits for nothing returns."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a parser waited for something")


def read_pasted(data: bytes) -> object:
    """A text that someone pastes; it is unreadable or says what it said."""
    text = find_text(data.decode("utf-8", "replace"))
    if text is None:
        raise Unreadable("no text")
    body = read_text("offer", text).body
    expect(body == read_text("offer", PASTED).body, "a damaged text is read as another")
    return body


def read_weights(path: Path) -> None:
    """A checkpoint of a user, and weights for a network, which other shapes never get into."""
    load(path)
    load_strictly(torch.nn.Linear(3, 2), path)


class Pieces:
    """One reassembler for all; it must not hold more than a few messages."""

    def __init__(self) -> None:
        self._reassembler = Reassembler()

    def __call__(self, piece: bytes) -> object:
        whole = self._reassembler.add(piece)
        expect(whole is None or len(whole) <= MAX_MESSAGE, "a message is too long")
        held = sum(len(part) for _, parts in self._reassembler._pending.values() for part in parts.values())
        if held > 3 * MAX_MESSAGE:
            raise AssertionError(f"{held} bytes of unfinished messages are held")
        return whole


class File:
    """Puts bytes into a file for a parser of files."""

    def __init__(self, path: Path, parse: Callable[[Path], object]) -> None:
        self._path, self._parse = path, parse

    def __call__(self, data: bytes) -> object:
        self._path.write_bytes(data)
        return self._parse(self._path)


class CallReader(File):
    """Reads a call file to its end."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch / "fuzzed.pinhole", lambda path: list(read_call(path)[1]))


def call_file(scratch: Path) -> bytes:
    """A recorded call with messages and marks."""
    path = scratch / "valid.pinhole"
    with CallWriter(path, HELLO) as writer:
        writer.mark(FiledFrame(0.0, 1, ()))
        for number, message in enumerate(controls()):
            writer.write(number / 25, Channel.CONTROL, message)
        writer.write(1.0, Channel.MOTION, bytes(40))
        writer.mark(Taken(1.0, 3))
        writer.mark(FiledFrame(1.0, 2, (1, 2, 5)))
        writer.write(*FiledMessage(2.0, Channel.PICTURES, bytes(300)))
    return path.read_bytes()


def with_checksum(message: bytes) -> bytes:
    """A picture message whose CRC-32 is right."""
    return message[:-4] + zlib.crc32(message[:-4]).to_bytes(4, "big")


def with_record_checksums(data: bytes) -> bytes:
    """A call file whose checksums are right as far as its lengths lead."""
    fixed, at = bytearray(data), 14
    with contextlib.suppress(IndexError):
        hello = int.from_bytes(fixed[8:10], "big")
        fixed[10:14] = zlib.crc32(fixed[14 : 14 + hello]).to_bytes(4, "big")
        at += hello
        while at + 15 <= len(fixed):
            length = int.from_bytes(fixed[at + 5 : at + 9], "big")
            fixed[at + 9 : at + 11] = (zlib.crc32(fixed[at : at + 9]) & 0xFFFF).to_bytes(2, "big")
            fixed[at + 11 : at + 15] = zlib.crc32(fixed[at + 15 : at + 15 + length]).to_bytes(4, "big")
            at += 15 + length
    return bytes(fixed)


def _saved(basis: MotionBasis, scratch: Path) -> bytes:
    path = scratch / "valid.safetensors"
    basis.save(path)
    return path.read_bytes()
