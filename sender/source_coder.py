"""The pixels of a source as bytes, also where the encoder hangs."""

from __future__ import annotations

import logging

from shared.codec.bounded import EncoderStuck
from shared.codec.picture import PictureCodec, Quality, encode_otherwise, encode_picture
from shared.models.engine import Picture

logger = logging.getLogger(__name__)

MOST_STUCK = 3
"""Times that SVT-AV1 may hang in a call: each leaves a thread behind, and keeps a source back for seconds."""


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
