"""Pinhole's side of the comparison: a whole call of a clip but for its network, and the baseline it comes from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import benchmarks.accounting
import benchmarks.loopback
import receiver
import sender
import shared
import weights
from benchmarks.accounting import Message, kbps, messages_on_wire
from benchmarks.cache import Figures, code_digest, digest
from benchmarks.clip import Clip
from benchmarks.loopback import Loopback
from benchmarks.measure import Measurer, Shown
from benchmarks.metrics import Picture
from receiver.upscale import load_upscaler
from sender.encoder import EncoderSettings
from sender.profiles import PROFILES
from sender.refresh import WhenWorse, parse_policy
from shared.codec.picture import PictureMessage, Quality, decode_picture, encode_picture
from shared.codec.pieces import split
from shared.models.registry import load_basis, load_engine
from shared.motion import Motion
from shared.transport.link import Channel
from shared.transport.pacing import PicturePacer

Advance = Callable[[], None]
"""Called after each frame."""

BASELINE_NUMBERS = 9 + 3 + 15 * 3
"""face-vid2vid as published: rotation matrix, translation, deformation of 15 keypoints."""
BASELINE_BYTES = 2 * BASELINE_NUMBERS
"""As raw 16-bit floats."""


@dataclass(frozen=True)
class CallSettings:
    """How a call is made."""

    refresh: str
    """As `sender.refresh.parse_policy` reads it."""
    budget: float | None
    """kbit/s, as the sender's option of that name."""
    profile: str
    picture_size: int
    picture_quality: Quality
    upscaler: str
    upscaler_weights: Path | None

    def outgoing(self, fps: float) -> EncoderSettings:
        """For a clip of this rate."""
        profile = PROFILES[self.profile]
        size, quality = self.picture_size, self.picture_quality
        return EncoderSettings(fps, profile.bundle(fps), size, quality, "none", profile.step(fps), profile.base)


class OurSide:
    """Calls and the baseline with one engine."""

    def __init__(self, engine: str, device: str) -> None:
        """Raises EngineError."""
        self.engine, self.basis = load_engine(engine, device), load_basis(engine)
        catalogue = Path(str(weights.__file__)).with_name("catalogue.json").read_bytes()
        parts = (sender, receiver, shared, benchmarks.loopback, benchmarks.accounting, sys.modules[__name__])
        self.identity = digest(engine, catalogue, code_digest(*parts))
        """Of weights and program."""

    def call(self, measure: Measurer, settings: CallSettings, advance: Advance) -> Shown:
        """The call of a clip. Raises EngineError and ValueError."""
        extra = settings.upscaler_weights
        read = [path.read_bytes() for path in _files(extra)] if extra else None
        identity = ["call", self.identity, asdict(settings), read and digest(*read)]
        return measure(identity, lambda: self._play(measure.clip, settings, advance))

    def face_vid2vid(self, measure: Measurer, settings: CallSettings, advance: Advance) -> Shown:
        """One full-size source, motion as raw fp16, a message a frame, drawn by our generator."""
        identity = ["face-vid2vid", self.identity, settings.picture_quality]
        return measure(identity, lambda: self._play_baseline(measure.clip, settings.picture_quality, advance))

    def _play(self, clip: Clip, settings: CallSettings, advance: Advance) -> tuple[Figures, list[Picture]]:
        policy, budget = parse_policy(settings.refresh), settings.budget
        if budget is None and isinstance(policy, WhenWorse):
            budget = PROFILES[settings.profile].budget
        upscaler = load_upscaler(settings.upscaler, settings.upscaler_weights)
        outgoing = settings.outgoing(clip.fps)
        call = Loopback(outgoing, policy, self.engine, self.basis, upscaler, PicturePacer(), budget)
        drawn = []
        for _, picture in call.play(zip(clip.stamps, clip.pictures, strict=True)):
            drawn.append(picture)
            advance()
        if not drawn:
            raise ValueError(f"nothing was drawn of '{clip.name}': its first source was not held before it ended")
        # Motion of the last frame may not have been sent: its picture then stays the one before.
        drawn += drawn[-1:] * (len(clip.pictures) - len(drawn))
        return call_figures(call, len(drawn), clip.seconds), drawn

    def _play_baseline(self, clip: Clip, quality: Quality, advance: Advance) -> tuple[Figures, list[Picture]]:
        engine, first = self.engine, clip.pictures[0]
        canonical, own = engine.extract(first)
        codec, data = encode_picture(first, quality)
        message = PictureMessage(1, 0, codec, engine.size, engine.size, canonical, own, data).pack()
        source = engine.prepare(decode_picture(codec, data, engine.size, engine.size), canonical, own)
        drawn = []
        for picture in clip.pictures:
            _, motion = engine.extract(picture)
            rounded = motion.vector().astype(np.float16).astype(np.float32)
            drawn.append(engine.draw([(source, 1.0)], Motion.from_vector(rounded)))
            advance()
        return baseline_figures(len(message), len(clip.pictures), clip.fps), drawn


def call_figures(call: Loopback, frames: int, seconds: float) -> Figures:
    """Bytes of a call that has ended, of a clip of so many frames and seconds."""
    forward = [m for m in call.messages if m.forward]
    motion = sum(m.size for m in forward if m.channel is Channel.MOTION)
    figures: Figures = {
        "motion_bytes_per_frame": round(motion / frames, 3),
        "sources": len(call.source_sizes),
        "source_bytes": sum(call.source_sizes),
        "messages": {str(c): sum(m.channel is c for m in forward) for c in Channel},
    }
    return figures | rates(call.messages, call.duration, seconds)


def baseline_figures(source_bytes: int, frames: int, fps: float) -> Figures:
    """Bytes of face-vid2vid as the seed paper's baseline has it: one source, then a message a frame."""
    messages = [Message(True, Channel.PICTURES, len(piece), 0.0) for piece in split(bytes(source_bytes), 1)]
    messages += [Message(True, Channel.MOTION, BASELINE_BYTES, at / fps) for at in range(frames)]
    figures: Figures = {"motion_bytes_per_frame": BASELINE_BYTES, "sources": 1, "source_bytes": source_bytes}
    return figures | rates(messages, frames / fps, frames / fps)


def rates(messages: list[Message], linked: float, seconds: float) -> Figures:
    """Payload from sender to receiver and bytes on the wire, whole and a second.

    The link was up for `linked` seconds, the wait for the first source among them; rates are of the clip's `seconds`,
    as those of the codecs are: the wait must not flatter them.
    """
    wire = messages_on_wire(messages, linked)
    payload = sum(m.size for m in messages if m.forward)
    return {
        "duration_s": round(seconds, 3),
        "payload_bytes": payload,
        "payload_kbps": kbps(payload, seconds),
        "wire_kbps_out": kbps(wire.sent.size, seconds),
        "wire_kbps_back": kbps(wire.received.size, seconds),
        "wire_bytes_out": {str(kind): size for kind, size in wire.sent.kinds.items()},
        "wire_bytes_back": {str(kind): size for kind, size in wire.received.kinds.items()},
    }


def _files(path: Path) -> list[Path]:
    """The file, or all in a folder (a SavedModel)."""
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
