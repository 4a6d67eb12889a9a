"""A face that goes, is hidden, leaves at the edge or fills the picture: nothing is sent of what is no face."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from face_examples import HEIGHT, WIDTH, people, placed, room, sent, with_hand

from sender.crop import HEAD_BAND, cut, head_of_keypoints
from sender.detect import find_heads, find_near
from sender.framing import Framer, Sight
from shared.models.appearance import FaceWatch, load_appearances
from shared.models.engine import Engine
from shared.motion import keypoints, pose_distance

MIDDLE = 170.0


def alarms(sources: dict[int, np.ndarray]) -> int:
    """How often a receiver of these sources says that the face has changed."""
    watch, appearances = FaceWatch(), load_appearances()
    for number, picture in sources.items():
        watch.take(appearances(picture), number / 25)
    return watch.changes


@pytest.mark.parametrize("nothing", ["black", "grey", "noise"])
def test_nothing_is_sent_of_a_stretch_without_a_picture(engine: Engine, nothing: str) -> None:
    blank = np.full((HEIGHT, WIDTH, 3), 0 if nothing == "black" else 128, np.uint8)
    if nothing == "noise":
        blank = np.random.default_rng(5).integers(0, 255, blank.shape, np.uint8)
    shown = [placed(each, MIDDLE) for each in people(50)]
    shown[15:32] = [blank] * 17
    made = sent(engine, shown)
    assert all(made.faces(0, 15)) and not any(made.faces(15, 32))
    assert all(made.faces(34, 50)), "it goes on at once"
    assert not {*range(15, 32)} & {*made.sources}
    assert len({*made.crops}) == 1, "who is back in the same place needs no new source"
    turns = [pose_distance(a, b) for a, b in pairwise(m for m in made.motions if m is not None)]
    assert max(turns) < 9, "the head does not twist"
    assert alarms(made.sources) == 0


def test_somebody_who_walks_out_and_back_leaves_no_ghost(engine: Engine) -> None:
    away = np.concatenate(
        [np.zeros(15), np.linspace(0, 500, 12), np.full(20, 500), np.linspace(500, 0, 12), np.zeros(25)]
    )
    shown = [placed(each, MIDDLE + right) for each, right in zip(people(len(away)), away, strict=True)]
    made = sent(engine, shown)
    gone = [n for n, right in enumerate(away) if right > 320]  # half of her face is beyond the edge
    assert not any(made.motions[n] is not None for n in gone)
    assert not {*gone} & {*made.sources}
    assert all(made.faces(len(away) - 22, len(away)))
    assert len({*made.crops}) <= 6
    assert [n for n in made.sources if n > gone[-1] + 10], "the pictures go on, too"
    assert alarms(made.sources) == 0


def test_a_hand_before_the_lens_is_not_read(engine: Engine) -> None:
    lower = np.concatenate(
        [np.full(15, 400), np.linspace(400, 0, 6), np.zeros(15), np.linspace(0, 400, 6), np.full(20, 400)]
    )
    shown = [
        with_hand(placed(each, MIDDLE), MIDDLE + 148, 190 + down)
        for each, down in zip(people(len(lower)), lower, strict=True)
    ]
    made = sent(engine, shown)
    assert all(made.faces(0, 15)) and not any(made.faces(22, 36))
    assert all(made.faces(45, 62))
    assert not {*range(19, 42)} & {*made.sources}
    assert len({*made.crops}) == 1
    assert alarms(made.sources) == 0


def test_a_head_at_the_edge_is_sent_while_it_is_whole_and_held_when_it_is_not(engine: Engine) -> None:
    right = np.concatenate([np.linspace(0, 225, 20), np.full(10, 225), np.linspace(225, 350, 8), np.full(10, 350)])
    shown = [placed(each, MIDDLE + x) for each, x in zip(people(len(right)), right, strict=True)]
    made = sent(engine, shown)
    assert all(made.faces(0, 30))
    assert not any(made.faces(38, 48))
    assert max(made.sources) < 38
    assert alarms(made.sources) == 0


def test_a_face_that_fills_the_frame_is_found_and_read_where_it_is(engine: Engine) -> None:
    shown = [placed(each, 320 - 128 * 3.6, 180 - 118 * 3.6, 256 * 3.6) for each in people(12)]
    framer = Framer()
    shares = []
    for picture in shown:
        framed = framer.update(picture)
        assert framed.crop is not None
        canonical, motion = engine.extract(cut(picture, framed.crop, 256))
        points = keypoints(canonical, motion)
        assert framer.examine(picture, canonical, points) is Sight.CLEAR
        read = head_of_keypoints(points, framed.crop)
        assert read is not None
        shares.append(read.side / framed.crop.side)
    assert max(shares[6:]) < HEAD_BAND[1]
    seen = find_near(shown[-1], read)
    assert seen is not None and read.distance(seen) < 0.3
    made = sent(engine, shown)
    assert all(made.faces(0, 12))
    assert made.sources and alarms(made.sources) == 0


def test_a_face_that_comes_close_and_goes_back_is_sent_all_the_way(engine: Engine) -> None:
    scale = np.concatenate([np.full(8, 1.2), np.linspace(1.2, 3.4, 20), np.full(8, 3.4), np.linspace(3.4, 1.2, 20)])
    shown = [
        placed(each, 320 - 128 * s, 200 - 125 * s, 256 * s) for each, s in zip(people(len(scale)), scale, strict=True)
    ]
    made = sent(engine, shown)
    assert sum(made.faces(0, len(scale))) >= len(scale) - 1
    assert alarms(made.sources) == 0


def test_who_looks_different_must_stay_to_be_believed(engine: Engine) -> None:
    """What a cascade takes for a face now and then is shown for half a second: another picture, upside down."""
    shown = [placed(each, MIDDLE) for each in people(60)]
    other = placed(np.ascontiguousarray(255 - people(1)[0]), MIDDLE)  # a negative: keypoints fit, nothing else does
    shown[20:40] = [room() if n < 25 else other for n in range(20, 40)]
    made = sent(engine, shown)
    assert not any(made.faces(20, 40))
    assert all(made.faces(43, 60))


def test_in_the_dark_a_known_face_stays(engine: Engine) -> None:
    light = np.concatenate([np.ones(10), np.linspace(1, 0.2, 10), np.full(30, 0.2)])
    shown = [(placed(each, MIDDLE) * share).astype(np.uint8) for each, share in zip(people(50), light, strict=True)]
    assert all(sent(engine, shown).faces(0, 50))


def test_the_sample_person_is_never_lost(engine: Engine) -> None:
    shown = [placed(each, MIDDLE) for each in people(150)]
    assert all(sent(engine, shown, 1000).faces(0, 150))


def test_heads_beyond_the_edge_are_found_and_halves_are_not() -> None:
    person = people(1)[0]
    close = placed(person, 320 - 128 * 3.6, 180 - 118 * 3.6, 256 * 3.6)
    (head,) = find_heads(close)
    assert head.side > 0.8 * HEIGHT
    assert find_heads(placed(person, MIDDLE + 330)) == []
