from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from based_call import ExchangingEngine
from call_examples import picture as plain

from sender.analysis import Analysis
from sender.critic import Critic
from sender.crop import whole_square
from sender.source_coder import code_source
from shared.models.base_fusion import BasePicture
from shared.models.engine import Engine, Picture
from shared.motion import FloatArray


def analysed(engine: Engine, picture: Picture) -> Analysis:
    canonical, motion = engine.extract(picture)
    return Analysis(picture, whole_square(picture), 0, canonical, motion)


def test_a_source_draws_its_own_frame_better_than_another(engine: Engine, person: list[Picture]) -> None:
    critic = Critic(engine)
    one, other = (analysed(engine, person[n]) for n in (0, 40))
    source = critic.receive(code_source(one, None, size=256, quality=65))
    assert critic.error([(source, 1.0)], critic.view(one)) < critic.error([(source, 1.0)], critic.view(other)) - 1


def test_what_the_codec_lost_is_seen(engine: Engine, person: list[Picture]) -> None:
    critic, one = Critic(engine), analysed(engine, person[0])
    fine, coarse = (
        critic.receive(code_source(one, None, size=size, quality=quality)) for size, quality in ((256, 90), (64, 5))
    )
    assert critic.error([(fine, 1.0)], critic.view(one)) < critic.error([(coarse, 1.0)], critic.view(one)) - 1


def test_the_face_counts_more_than_the_background(engine: Engine, person: list[Picture]) -> None:
    critic, one = Critic(engine), analysed(engine, person[0])
    view = critic.view(one)
    assert view.weight.sum() == pytest.approx(1, abs=1e-4)
    middle = np.round(one.points[:23, :2].mean(axis=0) * 128 + 128).astype(int)
    assert view.weight[middle[1] // 2, middle[0] // 2] > 5 * view.weight[0, 0]
    source = critic.receive(code_source(one, None, size=256, quality=90))
    in_corner, in_face = (
        critic.error([(source, 1.0)], replace(view, luma=spoilt(person[0], x, y)))
        for x, y in ((20, 20), (middle[0], middle[1]))
    )
    assert in_face > in_corner + 3


def test_a_base_of_the_right_colour_makes_up_for_sources_of_a_wrong_one() -> None:
    engine = ExchangingEngine()
    critic, shown = Critic(engine), analysed(engine, plain(0, 90))  # type: ignore[arg-type]
    base = BasePicture(plain(0, 90), shown.motion, 0.04, 63)
    wrong = [(engine.prepare(plain(0, 200), shown.canonical, shown.motion), 1.0)]
    assert critic.error(wrong, critic.view(shown, base)) < critic.error(wrong, critic.view(shown)) - 20
    assert [each is base for each in engine.bases] == [True, False]


def spoilt(picture: Picture, x: int, y: int) -> FloatArray:
    """The luma that a critic compares, of a picture with a negative square around this pixel."""
    where = np.s_[y - 20 : y + 20, x - 20 : x + 20]
    changed = picture.copy()
    changed[where] = 255 - changed[where]
    grey = cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (128, 128), interpolation=cv2.INTER_AREA), np.float32)
