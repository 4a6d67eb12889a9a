"""A base layer as it comes over a bad link. Frames are 40 ms apart, a base frame is every second one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from base_examples import coded, scene
from kept import elements

from receiver import base_track
from receiver.base_track import OLDEST, REQUEST_EVERY, BaseTrack
from shared.codec import MalformedBase, av1
from shared.codec.base_key import BaseKey
from shared.codec.base_section import BasePacket
from shared.codec.base_video import BaseDecoder, BaseEncoder
from shared.codec.bundle import Bundle

pytestmark = pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1 or dav1d")

CLOCK = 100.0
"""Capture of frame 0, in seconds."""
WIRE = 65530
"""Its number on the wire, which soon wraps around."""
COUNT = 24
"""Pictures of a layer, 1.9 s."""


def at(frame: int) -> float:
    return CLOCK + 0.04 * frame


def key(generation: int = 3, frame: int = 0, crop: int = 1, data: bytes | None = None) -> BaseKey:
    first = coded(count=COUNT)[0].data if data is None else data
    return BaseKey(generation, crop, 64, 55, WIRE + frame & 0xFFFF, round(1000 * at(frame)) % (1 << 20), first)


def packets(generation: int = 3, begin: int = 0) -> list[BasePacket]:
    """What follows a key of frame `begin`; `frame` counts from frame 0."""
    found, sequence = [], 0
    for number, each in enumerate(coded(count=COUNT)):
        if number:
            found.append(BasePacket(generation, sequence % 128, each.droppable, begin + 2 * number, each.data))
            sequence += not each.droppable
    return found


def bundle(first: int, base: Sequence[BasePacket] = ()) -> tuple[Bundle, int, float]:
    """Five frames; `base` as `packets` gives them."""
    moved = tuple(replace(each, frame=each.frame - first) for each in base)
    clock = round(1000 * at(first)) % (1 << 20)
    return Bundle(WIRE + first & 0xFFFF, clock, 0, 40.0, (None,) * 5, (), moved), first, at(first)


def bundles(base: Sequence[BasePacket], repeat: bool = False) -> list[tuple[Bundle, int, float]]:
    """In fives of frames, with the references of the bundle before if asked for."""
    found = []
    for first in range(0, 2 * COUNT, 5):
        own = [each for each in base if first <= each.frame < first + 5]
        again = [each for each in base if repeat and first - 5 <= each.frame < first and not each.droppable]
        found.append(bundle(first, [*again, *own]))
    return found


def begun() -> BaseTrack:
    """A track that holds the key."""
    track = BaseTrack()
    track.add_bundle(*bundle(0), 0.0)
    assert track.add_key(key(), 0.0)
    return track


def expected() -> dict[int, np.ndarray]:
    """Pictures by frame."""
    decoder = BaseDecoder(64)
    seen = [decoder.decode_key(each.data) if each.key else decoder.decode(each.data) for each in coded(count=COUNT)]
    return {2 * number: picture for number, picture in enumerate(seen)}


def test_every_frame_has_the_newest_picture_not_newer_than_itself() -> None:
    track, wanted = begun(), expected()
    for number, each in enumerate(bundles(packets())):
        track.add_bundle(*each, 0.2 * number)
    for frame in range(2 * COUNT):
        base = track.at(frame, at(frame), 1)
        assert base is not None and (base.frame, base.crop, base.crf, base.size) == (frame - frame % 2, 1, 55, 64)
        assert base.clock == pytest.approx(at(base.frame))
        assert np.array_equal(base.picture, wanted[base.frame])
    assert (track.decoded, track.keys, track.generation, track.wants_key(9.0)) == (COUNT, 1, 3, False)


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_and_twice_all_is_decoded_once(seed: int) -> None:
    track = begun()
    every = bundles(packets(), repeat=True) * 2
    np.random.default_rng(seed).shuffle(every)
    for each in every:
        track.add_bundle(*each, 0.1)
    references = {0} | {each.frame for each in packets() if not each.droppable}
    wanted = expected()
    for frame in references:
        base = track.at(frame, at(frame), 1)
        assert base is not None and base.frame == frame and np.array_equal(base.picture, wanted[frame])
    assert len(references) <= track.decoded <= COUNT


def test_a_droppable_packet_that_is_lost_holds_nothing_up() -> None:
    track = begun()
    kept = [each for each in packets() if not each.droppable]
    for each in bundles(kept):
        track.add_bundle(*each, 0.0)
    assert track.decoded == 1 + len(kept)
    late = next(each for each in packets() if each.droppable)
    track.add_bundle(*bundle(40, [late]), 0.1)
    assert track.decoded == 1 + len(kept)
    assert not track.wants_key(5.0)


def test_a_lost_bundle_is_made_good_by_the_next_or_by_its_repair() -> None:
    for repeat, shown in ((True, 14), (False, 4)):
        track = begun()
        every = bundles(packets(), repeat)
        for number in (0, 2):
            track.add_bundle(*every[number], 0.2 * number)
        base = track.at(14, at(14), 1)
        assert base is not None and base.frame == shown
        track.add_bundle(*every[1], 1.1)
        base = track.at(14, at(14), 1)
        assert base is not None and base.frame == 14
        assert not track.wants_key(9.0)


def test_no_base_is_older_than_half_a_second_or_of_another_crop() -> None:
    track = begun()
    assert track.at(12, at(12), 1) is not None
    assert track.at(0, at(0) + OLDEST, 1) is not None
    assert track.at(13, at(13), 1) is None
    assert track.at(12, at(12), 2) is None
    assert track.at(-1, at(-1), 1) is None


def test_a_hole_that_nothing_repairs_asks_for_a_key_every_two_seconds_while_packets_come() -> None:
    track = begun()
    every = bundles(packets())
    track.add_bundle(*every[2], 0.5)
    assert not track.wants_key(1.5)
    track.add_bundle(*every[3], 1.6)
    assert track.wants_key(1.6)
    assert not track.wants_key(1.6 + REQUEST_EVERY / 2)
    track.add_bundle(*every[4], 3.0)
    assert track.wants_key(1.6 + REQUEST_EVERY)
    assert not track.wants_key(30.0), "the sender has stopped"
    assert track.requests == 2
    assert track.add_key(key(4, 46), 30.0)
    assert track.at(46, at(46), 1) is not None


def test_packets_before_their_key_wait_for_it_and_in_the_end_ask_for_it() -> None:
    track = BaseTrack()
    for each in bundles(packets()):
        track.add_bundle(*each, 0.0)
    assert track.decoded == 0 and track.generation is None
    assert track.wants_key(1.5)
    assert track.add_key(key(), 1.6)
    assert track.decoded == COUNT


def test_a_key_before_any_bundle_waits_for_one() -> None:
    track = BaseTrack()
    assert not track.add_key(key(), 0.0)
    track.add_bundle(*bundles(packets())[0], 0.1)
    assert track.generation == 3
    base = track.at(4, at(4), 1)
    assert base is not None and base.frame == 4


def test_a_key_that_comes_again_or_late_changes_nothing() -> None:
    track = begun()
    assert track.add_key(key(), 0.1)
    assert not track.add_key(key(2, -30), 0.2)
    assert (track.keys, track.generation) == (1, 3)


def test_the_key_of_a_new_crop_comes_while_the_old_one_is_drawn() -> None:
    track = begun()
    every = packets()
    track.add_bundle(*bundle(0, every[:5]), 0.1)
    assert track.add_key(key(4, 8, crop=2), 0.2)
    track.add_bundle(*bundle(10, every[5:8]), 0.3)
    base, other = track.at(16, at(16), 1), track.at(16, at(16), 2)
    assert base is not None and base.frame == 16
    assert other is not None and other.frame == 8
    track.add_bundle(*bundle(17, packets(4, 8)[:5]), 0.4)
    other = track.at(18, at(18), 2)
    assert other is not None and other.frame == 18
    track.add_bundle(*bundle(40, packets(2, 30)[:1]), 0.5)  # of a key that is not there
    assert track.wants_key(1.6)


def test_a_key_of_the_same_crop_makes_the_hole_before_it_no_matter() -> None:
    track = begun()
    track.add_bundle(*bundle(10, packets()[5:8]), 0.1)
    assert track.add_key(key(4, 20), 1.5)
    assert not track.wants_key(1.6)
    track = begun()
    track.add_bundle(*bundle(10, packets()[5:8]), 0.1)
    assert track.add_key(key(4, 20, crop=2), 1.5)
    assert track.wants_key(1.6)


def test_an_interval_may_count_several_frame_numbers() -> None:
    track = BaseTrack()
    made, first, clock = bundle(0, packets()[:2])
    track.add_bundle(replace(made, frame_interval_ms=80.0), first, clock, 0.0, step=2)
    track.add_key(key(), 0.0)
    base = track.at(4, at(4), 1)
    assert base is not None and (base.frame, base.clock) == (4, pytest.approx(at(4)))


def test_a_packet_that_cannot_be_decoded_ends_its_generation_and_asks_at_once() -> None:
    track = begun()
    first, *rest = packets()
    forged = replace(first, data=bytes([first.data[0] | 1]) + first.data[1:])  # frame_size_override_flag
    with pytest.raises(MalformedBase, match="another size"):
        track.add_bundle(*bundle(0, [forged, *rest[:3]]), 0.1)
    assert track.generation is None
    assert track.wants_key(0.1) and not track.wants_key(3.0)
    track.add_bundle(*bundle(5, rest[3:6]), 0.2)
    assert track.decoded == 1
    assert track.add_key(key(4, 20), 0.3)
    assert track.generation == 4


def test_a_key_of_another_size_than_it_says_is_refused() -> None:
    track = begun()
    with pytest.raises(MalformedBase, match="128x128 arrived, 64 px"):
        track.add_key(key(4, 20, data=coded(128)[0].data), 0.1)
    assert track.generation == 3
    assert track.wants_key(0.1)


def test_after_forgetting_nothing_from_before_is_shown() -> None:
    track = begun()
    track.add_bundle(*bundle(0, packets()[:5]), 0.1)
    track.forget()
    assert track.at(4, at(4), 1) is None
    track.add_bundle(*bundle(10, packets()[5:8]), 0.2)
    assert track.at(14, at(14), 1) is None
    assert track.add_key(key(4, 14), 0.3)
    assert track.at(14, at(14), 1) is not None


def test_a_stall_comes_through_all_at_once() -> None:
    encoder, track = BaseEncoder(64, 60), BaseTrack()
    track.add_bundle(*bundle(0), 0.0)
    sequence, waiting = 0, []
    for number, picture in enumerate(scene(64, 12) * 10):
        each = encoder.encode(picture)
        assert each is not None
        if each.key:
            track.add_key(key(data=each.data), 0.0)
            continue
        waiting.append(BasePacket(3, sequence % 128, each.droppable, 2 * number, each.data))
        sequence += not each.droppable
    for begin in range(0, len(waiting), 5):
        track.add_bundle(*bundle(waiting[begin].frame, waiting[begin : begin + 5]), 9.0)
    assert track.decoded == 120
    assert elements(track) < 600


def test_floods_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    track = begun()
    keys = [key(number % 16, 2 + number) for number in range(7)]
    assert all(track.add_key(each, 0.1) for each in keys)
    with pytest.raises(MalformedBase, match="more keys"):
        track.add_key(key(9, 20), 0.1)
    assert track.keys == 8
    for name, value in (("_MOST_PACKETS", 0.2), ("_MOST_BYTES", 1.0)):
        monkeypatch.setattr(base_track, name, value)
        track = begun()
        with pytest.raises(MalformedBase, match="more of a base layer"):
            track.add_bundle(*bundle(0, packets()[:16]), 0.1)
        monkeypatch.undo()


def test_what_waits_is_bounded() -> None:
    track = begun()
    template = packets()[2]
    for number in range(100):
        track.add_bundle(*bundle(3 * number, [replace(template, sequence=1 + number % 60, frame=10 + 3 * number)]), 0.0)
        other = replace(template, generation=9, frame=11 + 3 * number)
        track.add_bundle(*bundle(3 * number, [other]), 0.0)
    assert 128 <= elements(track) < 1500
