"""The job that makes a source of a frame, and its encoder, which goes on where SVT-AV1 hangs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sender.analysis import Analysis
from sender.critic import Coder, Critic
from sender.crop import cut, whole_square
from shared.codec.av1 import EncoderStuck
from shared.codec.picture import PictureCodec, PictureMessage, Quality, encode_otherwise, encode_picture
from shared.models.engine import Picture

logger = logging.getLogger(__name__)
MOST_STUCK = 3
"""Times that SVT-AV1 may hang in a call: each leaves a thread behind, and keeps a source back for seconds."""
_COARSER = 15
"""Steps of quality by which a picture that is too large is coded anew: a quarter of its bytes each."""
_COARSEST = 20
Encode = Callable[[Picture, Quality], tuple[PictureCodec, bytes]]
"""Codes a picture, as `encode_picture` does."""


@dataclass(frozen=True, eq=False)
class SourceJob:
    """A frame that is to become a source."""

    source_id: int
    analysis: Analysis
    room: int | None
    code: Coder
    critic: Critic | None

    def perform(self) -> MadeSource:
        """The source. Slow."""
        message = replace(self.code(self.analysis, self.room), source_id=self.source_id)
        return MadeSource(message, None if self.critic is None else self.critic.receive(message))


@dataclass(frozen=True, eq=False)
class MadeSource:
    """A source that is ready to go."""

    message: PictureMessage
    received: Any
    """As the receiver will have it, if somebody will look at that."""


def code_source(
    analysis: Analysis, room: int | None, *, size: int, quality: Quality, encode: Encode = encode_picture
) -> PictureMessage:
    """A frame as a source of `size` pixels a side, still without its id. Slow.

    Quality is lowered to make it fit into `room` bytes, if there is a bound and any quality does.
    """
    small = cut(analysis.picture, whole_square(analysis.picture), size)
    while True:
        codec, data = encode(small, quality)
        source = PictureMessage(0, analysis.crop_number, codec, size, size, analysis.canonical, analysis.motion, data)
        if room is None or quality == "max" or quality <= _COARSEST or len(source.pack()) <= room:
            return source
        quality = max(quality - _COARSER, _COARSEST)


class SourceCoder:
    """Codes the sources of one call; one over which SVT-AV1 hangs goes in another codec, and later on all do."""

    def __init__(self) -> None:
        self.stuck = 0
        """Times that it hung."""

    def encode(self, rgb: Picture, quality: Quality) -> tuple[PictureCodec, bytes]:
        """See `encode_picture`; it is slow, and one call at a time."""
        if quality == "max" or self.stuck < MOST_STUCK:
            try:
                return encode_picture(rgb, quality)
            except EncoderStuck as error:
                self.stuck += 1
                logger.info("a source goes in another codec: %s", error)
                if self.stuck == MOST_STUCK:
                    logger.warning("sources go in another codec from here on: SVT-AV1 hung %d times", MOST_STUCK)
        assert quality != "max"  # which is never coded by SVT-AV1
        return encode_otherwise(rgb, quality)
