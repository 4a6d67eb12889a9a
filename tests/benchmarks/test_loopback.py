"""The joined halves: every frame once and in order, drawn from the source that a call would use."""

from __future__ import annotations

import numpy as np
import pytest
from call_examples import FPS, SIDE, ColourEngine, make_basis, picture

from benchmarks.loopback import Loopback, Unpaced
from receiver.upscale import Bicubic
from sender.encoder import EncoderSettings
from sender.refresh import EveryN, First, RefreshPolicy
from shared.models.engine import Picture
from shared.transport.link import Channel
from shared.transport.pacing import PicturePacer

FRAMES = 23
LEFT = [(i / FPS, picture(2 * (i - 10), 3 * i)) for i in range(FRAMES)]
FRONTAL = 10
"""The frame that becomes the first source."""


def call_with(policy: RefreshPolicy, pacer: PicturePacer | None = None) -> Loopback:
    settings = EncoderSettings(FPS, 5, SIDE, "max", "none")
    return Loopback(settings, policy, ColourEngine(), make_basis(), Bicubic(), pacer or Unpaced())


def colours(pictures: list[Picture]) -> list[list[int]]:
    return [[int(p[0, 0, 0]), int(p[0, 0, 1])] for p in pictures]


def test_every_frame_comes_once_and_in_order_from_the_first_source() -> None:
    call = call_with(First())
    pairs = list(call.play(LEFT))
    assert colours([driving for driving, _ in pairs]) == [[4 * (i - 10) + 128, 3 * i] for i in range(FRAMES)]
    assert colours([drawn for _, drawn in pairs]) == [[4 * (i - 10) + 128, 3 * FRONTAL] for i in range(FRAMES)]
    assert len(call.source_sizes) == 1
    assert call.first_source is not None
    assert np.array_equal(call.first_source, LEFT[FRONTAL][1])


def test_later_frames_are_drawn_from_newer_sources() -> None:
    call = call_with(EveryN(6))
    greens = [green for _, green in colours([drawn for _, drawn in call.play(LEFT)])]
    assert len(call.source_sizes) == 4
    later = [(i, green) for i, green in enumerate(greens) if green != 3 * FRONTAL]
    assert len({green for _, green in later}) >= 2
    assert all(green <= 3 * i for i, green in later)  # never from the future


def test_frames_whose_motion_is_not_sent_are_drawn_between_their_neighbours() -> None:
    settings = EncoderSettings(FPS, 5, SIDE, "max", "none", step=2)
    call = Loopback(settings, First(), ColourEngine(), make_basis(), Bicubic(), Unpaced())
    pairs = list(call.play(LEFT))
    assert colours([driving for driving, _ in pairs]) == [[4 * (i - 10) + 128, 3 * i] for i in range(FRAMES)]
    assert [red for red, _ in colours([drawn for _, drawn in pairs])] == [4 * (i - 10) + 128 for i in range(FRAMES)]
    assert sum(m.channel is Channel.MOTION for m in call.messages) == 3  # twelve frames


def test_messages_of_both_directions_are_counted() -> None:
    call = call_with(First())
    list(call.play(LEFT))
    motion = [m.size for m in call.messages if m.channel is Channel.MOTION]
    assert len(motion) == 5
    assert sum(m.size for m in call.messages if m.channel is Channel.PICTURES) > sum(call.source_sizes)
    assert {m.channel for m in call.messages if not m.forward} == {Channel.CONTROL}


def test_paced_first_source_delays_the_clip() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)  # some 12 KB without loss
    frames = [(0.0, noise), *LEFT[1:]]
    at_once, slow = call_with(First()), call_with(First(), PicturePacer(first_rate=8000))
    assert len(list(at_once.play(frames))) == len(list(slow.play(frames))) == FRAMES
    assert slow.duration > at_once.duration + 1
    with pytest.raises(ValueError, match="did not go over"):
        list(call_with(First(), PicturePacer(first_rate=100)).play(frames))
