"""What a reaction does to what is drawn: at each time, over each pose, and to the base."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from call_examples import KEYPOINTS, make_motion
from reaction_examples import StepPerformer

from receiver.playout import DueFrame
from receiver.reactions import FADE_IN_SECONDS, FADE_OUT_SECONDS, Reacting, ReactionPlayer
from shared.codec.motion_basis import EXPRESSION_LIMIT
from shared.models.base_fusion import BasePicture
from shared.motion import Motion, rotation_matrix
from shared.reactions import LABELS, SECONDS, SECONDS_APART, label_of

CANONICAL = np.zeros((KEYPOINTS, 3), np.float32)
SURPRISE = 1 + LABELS.index("surprise")
APEX = 0.3
LIVE = 1.0
"""Expression of the camera's face."""


def frame(capture: float, motion: Motion | None = None) -> DueFrame:
    return DueFrame(round(25 * capture), capture, 0, motion or with_expression(make_motion(), LIVE))


def with_expression(motion: Motion, value: float) -> Motion:
    return replace(motion, expression=np.full((KEYPOINTS, 3), value, np.float32))


def playing(began: float = 10.0) -> ReactionPlayer:
    player = ReactionPlayer(StepPerformer())
    player.ask(SURPRISE)
    assert player.begins(frame(began), CANONICAL) == "surprise"
    return player


def shown(player: ReactionPlayer, capture: float) -> float:
    reacting = player.reacting(frame(capture))
    assert reacting is not None and reacting.label == "surprise"
    return float(reacting.motion.expression.mean())


def test_the_labels_have_fixed_numbers() -> None:
    assert [label_of(n) for n in range(1, 7)] == ["happiness", "sadness", "surprise", "anger", "disgust", "fear"]
    for number in (0, 7, -1):
        with pytest.raises(ValueError, match="from 1 to 6"):
            label_of(number)


def test_it_fades_in_reaches_the_apex_is_held_and_fades_out() -> None:
    player = playing()
    assert shown(player, 10.0) == LIVE  # it begins with the camera's face
    times = np.arange(0, SECONDS, 0.04)
    values = [shown(player, 10.0 + t) for t in times]
    apex = [value for t, value in zip(times, values, strict=True) if 1.3 <= t <= SECONDS - FADE_OUT_SECONDS]
    assert np.allclose(apex, APEX, atol=1e-6)
    assert np.abs(np.diff(values)).max() < 0.15  # nothing jumps
    assert (np.diff(values[: len(values) // 2]) <= 1e-6).all() and (np.diff(values[-9:]) >= -1e-6).all()
    half_out = shown(player, 10.0 + SECONDS - FADE_OUT_SECONDS / 2)
    assert half_out == pytest.approx((APEX + LIVE) / 2, abs=1e-4)
    assert player.reacting(frame(10.0 + SECONDS)) is None  # the camera's face is back


def test_the_weight_rises_within_the_fade_and_is_whole_then() -> None:
    player = playing()
    weights = [player.reacting(frame(10.0 + t)).weight for t in (0.0, FADE_IN_SECONDS / 2, FADE_IN_SECONDS, 1.5)]  # type: ignore[union-attr]
    assert weights == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=1e-6)


def test_the_pose_stays_the_cameras() -> None:
    player = playing()
    for yaw in (-30.0, 0.0, 25.0):
        live = replace(make_motion(yaw, 4.0), scale=1.3, translation=np.array([0.2, -0.1, 0], np.float32))
        reacting = player.reacting(frame(11.5, live))
        assert reacting is not None
        drawn = reacting.motion
        assert (drawn.rotation == live.rotation).all() and (drawn.translation == live.translation).all()
        assert drawn.scale == live.scale


def test_a_performed_expression_turns_with_the_head() -> None:
    player = playing()
    live = make_motion(yaw=30.0)
    reacting = player.reacting(frame(11.5, live))
    assert reacting is not None
    at_apex = np.full((KEYPOINTS, 3), APEX, np.float32)
    assert np.allclose(reacting.motion.expression, at_apex @ rotation_matrix(live.rotation).T, atol=1e-5)
    assert not np.allclose(reacting.motion.expression, at_apex, atol=0.05)


def test_it_is_performed_from_the_face_at_rest_by_whom_the_source_shows() -> None:
    performer = StepPerformer()
    player, canonical = ReactionPlayer(performer), CANONICAL + 0.5
    turned = make_motion(yaw=20.0)
    turn = rotation_matrix(turned.rotation).T
    for n in range(250):  # a mouth that opens and closes
        said = replace(turned, expression=np.asarray((np.ones((KEYPOINTS, 3)) * (n % 10 < 5)) @ turn, np.float32))
        player.begins(frame(n / 25, said), canonical)
    player.ask(SURPRISE)
    player.begins(frame(10.0, said), canonical)
    ((label, motion, whose),) = performer.asked
    assert label == "surprise" and whose is canonical and (motion.rotation == turned.rotation).all()
    assert np.allclose(motion.expression, 0.5 * np.ones((KEYPOINTS, 3)) @ turn, atol=0.1)


def test_what_is_drawn_stays_within_what_may_be_sent() -> None:
    player = playing(10.0)
    player._playing[0].motions[-1] = with_expression(make_motion(), 100.0)
    reacting = player.reacting(frame(11.6))
    assert reacting is not None and float(reacting.motion.expression.max()) == EXPRESSION_LIMIT


def test_one_in_two_seconds_is_taken_and_the_others_are_counted() -> None:
    player = playing(10.0)
    for capture in (10.04, 11.0, 10.0 + SECONDS_APART - 0.04):
        player.ask(1)
        assert player.begins(frame(capture), CANONICAL) is None
    assert (player.taken, player.refused) == (1, 3)
    for _ in range(3):
        player.ask(1)  # before any frame: one is as good as three
    assert player.begins(frame(10.0 + SECONDS_APART), CANONICAL) == "happiness"
    assert (player.taken, player.refused) == (2, 5)


def test_one_that_follows_at_once_begins_from_the_one_before() -> None:
    player = playing(10.0)
    captures = np.arange(10.0, 12.0 + SECONDS, 0.04)
    values = []
    for capture in captures:
        if len(values) == 51:
            player.ask(1)
        player.begins(frame(capture), CANONICAL)
        reacting = player.reacting(frame(capture))
        values.append(LIVE if reacting is None else float(reacting.motion.expression.mean()))
    assert player.taken == 2
    assert np.abs(np.diff(values)).max() < 0.15
    assert min(abs(value - 0.1) for value in values) < 1e-3  # the apex of the second


def test_without_a_face_none_begins_and_none_is_shown() -> None:
    player = ReactionPlayer(StepPerformer())
    player.ask(SURPRISE)
    nobody = DueFrame(250, 10.0, 0, None)
    assert player.begins(nobody, None) is None and player.refused == 1
    assert player.begins(frame(10.04), CANONICAL) is None  # it does not come later
    player = playing(10.0)
    assert player.reacting(replace(nobody, capture=11.0)) is None
    assert shown(player, 11.04) < LIVE


def test_without_a_performer_none_is_taken() -> None:
    player = ReactionPlayer()
    player.ask(1)
    assert player.begins(frame(0.0), CANONICAL) is None and player.reacting(frame(0.0)) is None
    assert (player.taken, player.refused) == (0, 1)


def test_after_a_resume_nothing_goes_on() -> None:
    player = playing(10.0)
    player.ask(1)
    player.begin_anew()
    assert player.begins(frame(10.5), CANONICAL) is None and player.reacting(frame(10.5)) is None
    player.ask(2)
    assert player.begins(frame(10.6), CANONICAL) == "sadness"  # another clock may be behind the one before


def test_the_clock_that_jumps_ends_it() -> None:
    for capture in (9.9, 1000.0):
        assert playing(10.0).reacting(frame(capture)) is None


def test_the_base_counts_for_nothing_while_it_plays() -> None:
    base = BasePicture(np.zeros((8, 8, 3), np.uint8), make_motion(), age=0.1, crf=60)
    assert base.presence == 1.0
    player = playing(10.0)
    at = {t: player.reacting(frame(10.0 + t)) for t in (0.0, FADE_IN_SECONDS / 2, 1.5)}
    presence = {t: None if (left := reacting.faded(base)) is None else left.presence for t, reacting in at.items()}  # type: ignore[union-attr]
    assert presence[0.0] == 1.0
    assert presence[FADE_IN_SECONDS / 2] == pytest.approx(0.5)
    assert presence[1.5] is None
    old = replace(base, age=0.35)
    assert at[FADE_IN_SECONDS / 2].faded(old).presence == pytest.approx(0.5 * old.presence)  # type: ignore[union-attr]
    assert at[1.5].faded(None) is None  # type: ignore[union-attr]


@pytest.mark.parametrize("side", [64, 256, 512])
def test_the_picture_says_that_it_is_a_reaction(side: int) -> None:
    drawn = np.full((side, side, 3), 90, np.uint8)
    marked = Reacting("happiness", make_motion(), 1.0).marked(drawn)
    assert (drawn == 90).all()  # which may be kept elsewhere
    changed = np.argwhere((marked != 90).any(-1))
    assert changed[:, 0].min() > 0.7 * side  # below the face
    assert len(changed) > 0.004 * side * side
    other = Reacting("fear", make_motion(), 1.0).marked(drawn)
    assert (other != marked).any()
