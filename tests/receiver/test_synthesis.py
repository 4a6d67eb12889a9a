"""Sources made ready and drawn from, without messages and without a clock."""

from __future__ import annotations

import numpy as np
import pytest
from call_examples import SIDE, ColourEngine, make_motion, picture

from receiver.synthesis import Mixed, PreparedSource, Synthesis
from receiver.upscale import Bicubic
from shared.codec import MalformedPicture
from shared.codec.picture import PictureMessage, encode_picture
from shared.gallery import BOUND
from shared.motion import FloatArray

CANONICAL = np.zeros((4, 3), np.float32)


@pytest.fixture
def synthesis() -> Synthesis:
    return Synthesis(ColourEngine(), Bicubic())


def message(source_id: int, yaw: float = 0.0, canonical: FloatArray = CANONICAL) -> PictureMessage:
    codec, data = encode_picture(picture(yaw, source_id), "max")
    return PictureMessage(source_id, 0, codec, SIDE, SIDE, canonical, make_motion(yaw), data)


def add(synthesis: Synthesis, source_id: int, yaw: float = 0.0) -> PreparedSource:
    source = synthesis.prepare(message(source_id, yaw))
    synthesis.add(source)
    return source


def ids(synthesis: Synthesis, epoch: int, yaw: float, number: int) -> dict[int, float]:
    weighted = synthesis.mix(epoch, make_motion(yaw), number)
    return {source.held.source_id: round(weight, 6) for source, weight in weighted}


def test_nothing_is_mixed_before_there_is_a_source(synthesis: Synthesis) -> None:
    assert synthesis.mix(0, make_motion(), 0) == ()
    assert synthesis.held == []
    assert not Mixed()


def test_a_source_that_is_held_draws(synthesis: Synthesis) -> None:
    source = add(synthesis, 7)
    weighted = synthesis.mix(1, make_motion(3), 0)
    assert weighted == ((source, 1.0),)
    assert Mixed(weighted)
    assert (synthesis.draw(weighted, make_motion(3)) == picture(3, 7)).all()


def test_frames_under_way_are_drawn_as_they_were_meant(synthesis: Synthesis) -> None:
    add(synthesis, 1)
    add(synthesis, 2, 20)
    assert ids(synthesis, 1, 20, 0) == {1: 1.0}
    later = ids(synthesis, 2, 20, 1)
    assert 0.5 < later[1] < 1 and 0 < later[2] < 0.5  # one fades out, the other in


def test_sources_that_no_frame_may_need_are_forgotten(synthesis: Synthesis) -> None:
    for n in range(40):
        add(synthesis, n, n * 7 % 60)
    held = {each.held.source_id for each in synthesis.held}
    assert len(held) == BOUND
    assert held <= synthesis.ready
    assert len(synthesis.ready) <= BOUND + 8


def test_another_run_of_the_sender_begins_with_nothing(synthesis: Synthesis) -> None:
    before = add(synthesis, 1)
    epoch = synthesis.gallery.epoch
    synthesis.mixture.most = 1
    assert synthesis.is_current(before)
    synthesis.begin_anew()
    assert not synthesis.is_current(before)
    assert (synthesis.held, synthesis.ready) == ([], set())
    assert synthesis.gallery.epoch == epoch + 1
    assert synthesis.mix(epoch, make_motion(), 5) == ()
    assert synthesis.mixture.most == 1  # the processor is as slow as before
    assert synthesis.is_current(add(synthesis, 1))


def test_faces_are_read_off_the_picture_where_somebody_asks() -> None:
    seen: list[int] = []

    def read(shown: np.ndarray) -> FloatArray:
        seen.append(int(shown[0, 0, 1]))
        return np.ones(2, np.float32)

    source = Synthesis(ColourEngine(), Bicubic(), read).prepare(message(9))
    assert source.appearance is not None and source.appearance.tolist() == [1, 1]
    assert seen == [int(source.picture[0, 0, 1])]
    assert Synthesis(ColourEngine(), Bicubic()).prepare(message(9)).appearance is None


def test_a_source_of_another_engine_is_refused(synthesis: Synthesis) -> None:
    with pytest.raises(MalformedPicture, match="9 keypoints"):
        synthesis.prepare(message(1, canonical=np.zeros((9, 3), np.float32)))
