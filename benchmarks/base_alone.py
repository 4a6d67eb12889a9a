"""Our base layer by itself: its video in a call's bundles, without motion, without sources, enlarged and shown.

What a fused picture must be better than. The other side's reports are left out, and a picture is shown as soon as it is
taken: both in its favour.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import shared.codec
from benchmarks.accounting import Message, messages_on_wire
from benchmarks.cache import Figures, code_digest
from benchmarks.clip import Clip
from benchmarks.codecs import versions
from benchmarks.curves import Point, point_of
from benchmarks.measure import Measurer, Shown
from benchmarks.metrics import Picture
from sender.profiles import BasePoint
from shared.codec.base_key import BaseKey
from shared.codec.base_section import SEQUENCES, BasePacket
from shared.codec.base_video import BaseDecoder, BaseEncoder
from shared.codec.bundle import Bundle, encode_bundle
from shared.codec.motion_basis import MotionBasis
from shared.codec.pieces import split
from shared.models.registry import load_basis
from shared.resampling import resampled
from shared.transport.link import Channel

LADDER = (70, 66, 62, 57, 51)
"""crf of the curve, from the lowest rate up."""

_CODE = code_digest(shared.codec, sys.modules[__name__])


def measure_base(measure: Measurer, base: BasePoint, bundle: int, crf: int) -> tuple[Point, Shown]:
    """A base layer of this size and rate, `bundle` frames a message. Its crf is `crf`, not the point's own.

    Raises ValueError if the first picture does not fit into a key, or what changes into a bundle.
    """
    clip = measure.clip

    def show() -> tuple[Figures, list[Picture]]:
        messages, pictures = play(clip, base, bundle, crf)
        return {"messages": [[m.channel.value, m.size, m.time] for m in messages]}, pictures

    identity = ["base alone", base.size, base.rate, bundle, crf, versions(), _CODE]
    shown = measure(identity, show)
    messages = [Message(True, Channel(name), size, time) for name, size, time in shown.figures["messages"]]
    wire = messages_on_wire(messages, clip.seconds)
    payload = sum(message.size for message in messages)
    return point_of(crf, payload, clip.seconds, wire.sent.size, wire.received.size, shown), shown


def play(clip: Clip, base: BasePoint, bundle: int, crf: int) -> tuple[list[Message], list[Picture]]:
    """The messages of a clip's base layer, and what is shown of every frame. Raises ValueError, as
    `measure_base`."""
    encoder, decoder, basis = BaseEncoder(base.size, crf), BaseDecoder(base.size), load_basis("compact")
    side, step = len(clip.pictures[0]), max(1, round(clip.fps / base.rate))
    messages: list[Message] = []
    shown: list[Picture] = []
    waiting: list[BasePacket] = []
    generation, references = -1, 0
    for number, picture in enumerate(clip.pictures):
        time = number / clip.fps
        coded = encoder.encode(resampled(picture, base.size)) if number % step == 0 else None
        if coded is not None and coded.key:
            generation, references = generation + 1, 0
            if waiting:  # a bundle holds packets of one generation
                messages.append(_message(waiting, bundle, number, clip.fps, basis))
                waiting = []
            key = BaseKey(generation, 0, base.size, crf, number, round(time * 1000), coded.data)
            messages += [Message(True, Channel.PICTURES, len(each), time) for each in split(key.pack(), key.pieces_id)]
            shown.append(resampled(decoder.decode_key(coded.data), side))
        elif coded is not None:
            sequence = references % SEQUENCES
            waiting.append(BasePacket(generation, sequence, coded.droppable, number % bundle, coded.data))
            references += not coded.droppable
            shown.append(resampled(decoder.decode(coded.data), side))
        elif shown:
            shown.append(shown[-1])
        else:
            raise ValueError(f"the first picture of '{clip.name}' takes more than a key may at crf {crf}")
        if (number + 1) % bundle == 0 or number + 1 == len(clip.pictures):
            messages.append(_message(waiting, bundle, number + 1, clip.fps, basis))
            waiting = []
    return messages, shown


def _message(waiting: Sequence[BasePacket], bundle: int, end: int, fps: float, basis: MotionBasis) -> Message:
    """The bundle of the frames before `end`, none of which has motion."""
    frames = (end - 1) % bundle + 1
    content = Bundle(end - frames, 0, 0, 1000 / fps, (None,) * frames, base=tuple(waiting))
    return Message(True, Channel.MOTION, len(encode_bundle(content, basis)), (end - 1) / fps)
