"""Which frames become sources: the default policy on the colour engine, whose error is the source's green."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from call_examples import FPS, SIDE, ColourEngine, picture

from sender.adaptation import LinkAdaptation
from sender.analysis import Analysis, FrameQuality
from sender.cpu_load import Spare
from sender.critic import Probe, ProbeResult
from sender.crop import Crop, whole_square
from sender.refresh import Budget, EveryN, First, FirstSource, RefreshPolicy, WhenWorse
from sender.source_coder import MadeSource, SourceJob, code_source
from sender.source_scheduler import SourceScheduler
from shared.codec import MalformedMessage
from shared.codec.picture import decode_picture
from shared.transport.pacing import PicturePacer

LINK = LinkAdaptation(5, picture_size=SIDE)


def scheduler(policy: RefreshPolicy, budget: Budget | None = None, first: FirstSource | None = None) -> SourceScheduler:
    return SourceScheduler(ColourEngine(), policy, "max", PicturePacer(), budget, first)


def analysis(green: int, yaw: float = 0.0, crop: int = 0) -> Analysis:
    shown = picture(yaw, green)
    canonical, motion = ColourEngine().extract(shown)
    return Analysis(shown, whole_square(shown), crop, canonical, motion)


def test_a_busy_sender_looks_at_nothing_and_sends_what_must_go_alone() -> None:
    sources = scheduler(WhenWorse())

    def considered(frame: int, spare: Spare = Spare.NOTHING) -> SourceJob | Probe | None:
        return sources.consider(analysis(200), frame / FPS, frame / FPS, LINK, spare=spare)

    first = considered(0, Spare.SOURCES)
    assert isinstance(first, SourceJob)  # or nothing would ever be seen
    sources.done(first.perform(), 0.0, LINK)
    sources.assume_held(first.source_id)
    assert not any(considered(n, Spare.LOOKS) for n in range(1, 30))
    assert any(considered(n) for n in range(30, 60))
    every = scheduler(EveryN(5))
    sources = every
    first = considered(0)
    assert isinstance(first, SourceJob)
    every.done(first.perform(), 0.0, LINK)
    every.assume_held(first.source_id)
    assert not any(considered(n, Spare.SOURCES) for n in range(1, 20))
    every.requested = True
    assert isinstance(considered(20, Spare.SOURCES), SourceJob)


class Call:
    """A receiver that holds a source `flight` frames after it was sent."""

    def __init__(self, policy: RefreshPolicy, budget: Budget | None = None, flight: int = 3) -> None:
        self.sources = scheduler(policy, budget)
        self.sent: list[tuple[int, int]] = []
        """Frame number, green."""
        self.looks: list[int] = []
        self.trials = 0
        self.work_seconds = self.late_seconds = 0.0
        self._flight, self._flying, self._frame = flight, dict[int, int](), 0

    def play(self, frames: list[Analysis]) -> None:
        for frame in frames:
            number, now = self._frame, self._frame / FPS
            self._frame += 1
            for source_id in [i for i, due in self._flying.items() if due <= number]:
                del self._flying[source_id]
                self.sources.assume_held(source_id)
                self.sources.spent(0, 0, now)
            job = self.sources.consider(frame, now - self.late_seconds, now, LINK)
            if job is None:
                continue
            result = job.perform()
            if isinstance(job, Probe):
                assert isinstance(result, ProbeResult)
                self.looks.append(number)
                self.trials += result.candidate is not None
            sent = self.sources.done(result, now + self.work_seconds, LINK)
            if sent is not None:
                self.sent.append((number, int(frame.picture[0, 0, 1])))
                self._flying[sent.source_id] = number + self._flight


def still(green: int, frames: int) -> list[Analysis]:
    return [analysis(green) for _ in range(frames)]


def test_a_picture_that_stays_as_it_is_needs_no_other_source() -> None:
    call = Call(WhenWorse())
    call.play(still(50, 500))
    assert call.sent == [(0, 50)]
    assert call.trials == 1  # the first, which teaches what a fresh source gives
    assert all(b - a >= 5 for a, b in itertools.pairwise(call.looks))


def test_a_change_that_lasts_brings_a_source() -> None:
    call = Call(WhenWorse())
    call.play(still(50, 60) + still(90, 100))
    assert [green for _, green in call.sent] == [50, 90]
    assert 62 <= call.sent[1][0] < 60 + 50


def test_a_change_that_passes_brings_none() -> None:
    call = Call(WhenWorse())
    call.play((still(50, 48) + still(90, 4)) * 8)
    assert call.sent == [(0, 50)]


def eyes(openness: float, frames: list[Analysis]) -> list[Analysis]:
    for frame in frames:
        frame.__dict__["quality"] = FrameQuality(openness, 1.0, 0.0)
    return frames


@pytest.mark.parametrize("openness", [0.1, 0.03])
def test_closed_eyes_are_no_source(openness: float) -> None:
    call = Call(WhenWorse())
    call.play(eyes(0.1, still(50, 60) + still(90, 34)) + eyes(openness, still(90, 10)) + eyes(0.1, still(90, 20)))
    (_, (number, _)) = call.sent
    assert (number >= 104) == (openness < 0.1)


def test_a_slow_machine_looks_seldom_and_still_sends_what_is_needed() -> None:
    call = Call(WhenWorse())
    call.work_seconds = 0.4
    call.play(still(50, 100) + still(90, 250))
    assert all(b - a >= 1.2 * FPS for a, b in itertools.pairwise(call.looks))
    assert [green for _, green in call.sent] == [50, 90]


def test_a_sender_that_is_late_does_not_look() -> None:
    call = Call(WhenWorse())
    call.late_seconds = 0.2
    call.play(still(50, 100))
    assert call.looks == []


def test_a_probe_of_a_gallery_that_has_changed_meanwhile_counts_for_nothing() -> None:
    sources = scheduler(WhenWorse())
    first = sources.consider(analysis(50), 0, 0, LINK)
    assert first is not None
    sent = sources.done(first.perform(), 0, LINK)
    assert sent is not None
    sources.assume_held(sent.source_id)
    probe, n = None, 0
    while not (isinstance(probe, Probe) and probe.past):
        if probe is not None:
            sources.done(probe.perform(), n / FPS, LINK)
        n += 1
        probe = sources.consider(analysis(90), n / FPS, n / FPS, LINK)
    result = probe.perform()
    assert isinstance(result, ProbeResult) and result.candidate is not None
    sources.held(sources.gallery.epoch + 1, (sent.source_id,), n / FPS)
    assert sources.done(result, n / FPS, LINK) is None


def test_without_money_no_candidate_is_even_tried() -> None:
    call = Call(WhenWorse(), Budget(0.001))
    call.play(still(50, 60) + still(90, 200))
    assert call.sent == [(0, 50)]
    assert call.trials == 0
    assert len(call.looks) > 20


def test_the_first_source_is_chosen_and_the_rest_of_the_call_is_not_held_up() -> None:
    sources = scheduler(First(), None, FirstSource())
    jobs = [sources.consider(analysis(n, yaw=60 - 2 * n), n / FPS, n / FPS, LINK) for n in range(30)]
    (made,) = [job.perform() for job in jobs if job is not None]
    assert isinstance(made, MadeSource)
    assert made.message.motion.rotation[0] == 60 - 2 * 25  # the straightest of the first second
    assert sources.first_of_those_offered(2.0, LINK) is None


def test_when_frames_end_early_the_best_so_far_is_taken() -> None:
    sources = scheduler(First(), None, FirstSource())
    assert sources.first_of_those_offered(0.0, LINK) is None
    for n in range(5):
        assert sources.consider(analysis(n, yaw=30 - 5 * n), n / FPS, n / FPS, LINK) is None
    job = sources.first_of_those_offered(0.2, LINK)
    assert job is not None
    made = job.perform()
    assert isinstance(made, MadeSource)
    assert made.message.motion.rotation[0] == 10


def test_a_frame_of_an_older_crop_becomes_no_source() -> None:
    call = Call(WhenWorse(), flight=1)
    call.play([analysis(50, crop=255), analysis(50, crop=0), *[analysis(50, crop=255)] * 30])
    assert [number for number, _ in call.sent] == [0, 1]


def test_what_the_receiver_holds_was_sent() -> None:
    sources = scheduler(First())
    job = sources.consider(analysis(0), 0, 0, LINK)
    assert job is not None
    with pytest.raises(MalformedMessage, match="never sent"):
        sources.held(1, (job.perform().message.source_id, 77), 0)  # type: ignore[union-attr]
    assert sources.gallery.sources == ()


def test_the_crop_drawn_is_the_newest_held() -> None:
    sources = scheduler(First())
    assert sources.crop_drawn() is None
    frame = replace(analysis(0), crop=Crop(3, 4, 50))
    job = sources.consider(frame, 0, 0, LINK)
    assert job is not None and sources.crop_drawn() is None
    sources.held(1, (1,), 0)
    assert sources.crop_drawn() == (Crop(3, 4, 50), 0)


def test_a_source_is_coded_at_the_size_asked_for() -> None:
    frame = analysis(80)
    message = code_source(frame, None, size=32, quality=65)
    assert (message.width, message.height, message.crop) == (32, 32, 0)
    assert np.array_equal(message.canonical, frame.canonical)


def test_quality_gives_way_to_the_room_there_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    frame = replace(analysis(0), picture=noise)
    free = len(code_source(frame, None, size=SIDE, quality=80).pack())
    tight = len(code_source(frame, free - 1, size=SIDE, quality=80).pack())
    tightest = len(code_source(frame, 1, size=SIDE, quality=80).pack())
    assert free > tight > tightest
    assert len(code_source(frame, free, size=SIDE, quality=80).pack()) == free
    lossless = code_source(frame, 1, size=SIDE, quality="max")
    assert np.array_equal(decode_picture(lossless.codec, lossless.data, SIDE, SIDE), noise)
