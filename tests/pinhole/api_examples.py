"""What tests of the public interface share: a codec of the colour engine."""

from __future__ import annotations

from call_examples import ColourEngine, make_basis

from pinhole import Codec, Decoder, Encoder, EncoderOptions, Frame
from receiver.settings import ReceiverContext
from receiver.upscale import Bicubic
from shared.models.engine import Picture

PLAIN = EncoderOptions(source_size=64, source_quality="max", refresh="first", base="off", framing="none")


def colour_codec() -> Codec:
    """A codec whose engine takes the mean colour for motion."""
    return Codec(ReceiverContext(ColourEngine(), make_basis(), Bicubic()), ColourEngine())


def yaw(picture: Picture) -> float:
    """What the colour engine drew."""
    return (float(picture[..., 0].mean()) - 128) / 2


def call(
    encoder: Encoder, decoder: Decoder, pictures: list[Picture | None], start: float = 0.0, behind: float = 50.0
) -> list[Frame]:
    """The frames that come out of a live call without delay, 25 a second; the two clocks differ by `behind` seconds."""
    shown = []
    for n, picture in enumerate(pictures):
        t = start + n / 25
        for channel, data in encoder.push(picture, t):
            decoder.receive(channel, data, t + behind)
        for data in decoder.replies(t + behind):
            encoder.receive(data, t)
        frame = decoder.due(t + behind)
        if frame is not None:
            shown.append(frame)
    return shown
