"""The base layer of what is sent: in a half that sends one, and by itself."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from base_examples import Hanging, scene
from call_examples import FPS, SIDE, ColourEngine, make_basis, make_motion

from receiver.base_track import BaseTrack
from sender import base_layer
from sender.adaptation import BACKLOG
from sender.analysis import Analysis
from sender.base_layer import KEY_EVERY, MOST_STUCK, BaseLayerEncoder
from sender.base_rate import JUDGED
from sender.critic import Probe
from sender.crop import Crop, cut
from sender.encoder import CallEncoder, EncoderSettings
from sender.profiles import USUAL_BASE, BasePoint, words
from sender.refresh import First, RefreshPolicy, WhenWorse
from shared.codec import base_video
from shared.codec.av1 import EncoderStuck
from shared.codec.base_key import BaseKey, is_base_key
from shared.codec.base_video import CodedBase
from shared.codec.bundle import Bundle, decode_bundle
from shared.codec.control import (
    BASE_KEY,
    SENDS,
    BaseHeld,
    Note,
    SourceHeld,
    SourceRequest,
    Stats,
    pack_control,
    unpack_control,
)
from shared.codec.picture import PictureMessage
from shared.codec.pieces import Reassembler
from shared.transport.link import Channel
from shared.transport.resuming import Change

POINT = BasePoint(64, 12.5, 55, 40.0)
SMALL = BasePoint(128, 12.5, 63, 4.5)
NOISE = np.random.default_rng(0)
CROP, OTHER = Crop(0, 0, 64), Crop(8, 0, 56)


class Call:
    """A half that sends, and what came of it. Frames are those of a little scene, in simulated time."""

    def __init__(
        self, point: BasePoint | None = POINT, *, accepted: bool = True, always: bool = False, answers: bool = True,
        policy: RefreshPolicy | None = None, bundle: int = 5,
    ) -> None:  # fmt: skip
        settings = EncoderSettings(FPS, bundle, SIDE, "max", "none", base=point, base_always=always)
        self.half = CallEncoder(settings, ColourEngine(), make_basis(), policy or First())
        self.half.accept_base(accepted)
        self.answers, self.now, self.queued, self.frames = answers, 100.0, 0, 0
        self.bundles: list[Bundle] = []
        self.data: list[bytes] = []
        self.keys: list[BaseKey] = []
        self.notes: list[str] = []
        self.track = BaseTrack()
        self.held: tuple[int, ...] = ()
        self.looks: list[Probe] = []
        self._pieces = Reassembler()
        self._pictures = scene(SIDE, 30)

    def run(self, seconds: float, *, face: bool = True, crop: Crop = CROP, number: int = 0) -> None:
        for _ in range(round(seconds * FPS)):
            picture = self._pictures[self.frames % 30]
            self.frames += 1
            shown = cut(picture, crop, SIDE)
            canonical = ColourEngine().extract(shown)[0]
            seen = Analysis(shown, crop, number, canonical, make_motion()) if face else None
            job = self.half.push(seen, self.now, self.now, picture)
            if job is not None:
                self.looks += [job] if isinstance(job, Probe) else []
                self.half.done(job.perform(), self.now)
            for _ in range(2):
                self._deliver()
                self.now += 0.5 / FPS

    def receive(self, message: object) -> None:
        self.half.receive(Channel.CONTROL, pack_control(message), self.now)  # type: ignore[arg-type]

    @property
    def packets(self) -> int:
        return sum(len(each.base) for each in self.bundles)

    def _deliver(self) -> None:
        for channel, data in self.half.tick(self.now, self.queued):
            if channel is Channel.MOTION:
                self.data.append(data)
                bundle = decode_bundle(data, make_basis())
                self.bundles.append(bundle)
                self.track.add_bundle(bundle, bundle.first_frame, bundle.clock_ms / 1000, self.now)
            elif channel is Channel.CONTROL:
                message = unpack_control(data)
                self.notes += [message.text] if isinstance(message, Note) else []
            elif (whole := self._pieces.add(data)) is not None:
                self._take(whole)

    def _take(self, whole: bytes) -> None:
        if is_base_key(whole):
            self.keys.append(BaseKey.unpack(whole))
            if self.track.add_key(self.keys[-1], self.now) and self.answers:
                self.receive(BaseHeld(self.keys[-1].generation))
            return
        self.held = (*self.held, PictureMessage.unpack(whole).source_id)[-3:]
        self.receive(SourceHeld(len(self.held), self.held))


def test_a_key_goes_first_then_packets_that_a_receiver_decodes() -> None:
    call = Call()
    call.run(6)
    assert [key.generation for key in call.keys] == [0]
    assert call.track.decoded == 1 + call.packets
    assert 60 < call.packets <= 75
    newest = call.bundles[-1]
    shown = call.track.at(newest.first_frame, newest.clock_ms / 1000, 0)
    assert shown is not None
    true = scene(SIDE, 30)[shown.frame % 30]
    assert np.abs(shown.picture.astype(int) - true).mean() < 12


def test_no_packet_goes_and_no_picture_is_coded_until_the_key_is_held() -> None:
    call = Call(answers=False)
    call.run(5)
    assert len(call.keys) == 1
    assert call.packets == 0
    assert call.half.base_counts.coded == 1
    call.receive(BaseHeld(call.keys[0].generation + 1))  # of a key that never went
    call.run(1)
    assert call.packets == 0
    call.receive(BaseHeld(call.keys[0].generation))
    call.run(1)
    assert call.packets > 8
    assert call.track.decoded == 1 + call.packets


def test_a_key_that_is_never_held_is_given_up_for_another() -> None:
    call = Call(answers=False)
    call.run(14)
    assert [key.generation for key in call.keys] == [0, 1]


@pytest.mark.parametrize(("point", "accepted"), [(POINT, False), (None, True)])
def test_without_a_base_on_either_side_a_call_is_the_same_byte_for_byte(
    point: BasePoint | None, accepted: bool
) -> None:
    plain, call = Call(None, accepted=False), Call(point, accepted=accepted)
    for each in (plain, call):
        each.run(6)
        each.receive(BaseHeld(0))
    assert call.data == plain.data
    assert (call.keys, call.notes) == ([], [])


def test_frames_keep_their_numbers_and_motion_with_a_base() -> None:
    plain, call = Call(None), Call()
    for each in (plain, call):
        each.run(4)
    about = [(b.first_frame, b.clock_ms, len(b.frames)) for b in call.bundles]
    assert about == [(b.first_frame, b.clock_ms, len(b.frames)) for b in plain.bundles]
    assert sum(map(len, call.data)) - sum(map(len, plain.data)) <= call.half.base_counts.section_bytes + 4 * len(about)


def test_the_camera_off_stops_it_at_once_and_it_comes_back_with_a_key() -> None:
    call = Call()
    call.run(4)
    call.half.camera_off = True
    before, coded = len(call.bundles), call.half.base_counts.coded
    call.run(3, face=False)
    assert not any(each.base for each in call.bundles[before:])
    assert call.half.base_counts.coded == coded
    call.half.camera_off = False
    call.run(4)
    assert len(call.keys) == 2
    assert call.bundles[-1].base[0].generation == call.keys[1].generation


def test_a_key_that_waits_does_not_go_once_the_camera_is_off() -> None:
    call = Call(BasePoint(64, 12.5, 5, 100.0))
    for _ in range(50):
        call.run(0.04)
        if call.half._pacer.keys_pending:
            break
    assert call.half._pacer.keys_pending
    call.half.camera_off = True
    call.run(3, face=False)
    assert call.keys == []


def test_no_frame_without_a_face_is_coded_and_it_goes_on_without_a_key() -> None:
    call = Call()
    call.run(4)
    gone, coded = call.now, call.half.base_counts.coded
    call.run(4, face=False)
    clocks = [b.clock_ms / 1000 + p.frame / FPS for b in call.bundles for p in b.base]
    assert max(clocks) < gone
    assert call.half.base_counts.coded == coded
    before = call.packets
    call.run(2)
    assert call.packets > before + 15
    assert len(call.keys) == 1
    assert call.track.decoded == 1 + call.packets


def test_always_means_without_a_face_too() -> None:
    call = Call(always=True)
    call.run(4)
    before = call.packets
    call.run(4, face=False)
    assert call.packets - before == pytest.approx(12.5 * 4, rel=0.15)


def test_nothing_is_coded_while_the_link_is_stuck_and_what_others_need_still_goes() -> None:
    call = Call()
    call.run(4)
    call.queued = BACKLOG + 1
    call.run(0.1)
    coded = call.half.base_counts.coded
    call.run(3)
    assert call.half.base_counts.coded <= coded
    call.queued = 0
    call.run(3)
    assert len(call.keys) == 1
    assert call.track.requests == 0
    newest = call.bundles[-1]
    assert call.track.at(newest.first_frame, newest.clock_ms / 1000, 0) is not None


def test_frames_that_are_dropped_lose_no_reference() -> None:
    call = Call()
    call.run(4.04)
    for _ in range(3):  # pictures are coded, and then the link gets stuck before their bundle goes
        call.run(0.12)
        call.queued = BACKLOG + 1
        call.run(2)
        call.queued = 0
        call.run(1)
    assert call.half.counts.frames_dropped > 50
    assert len(call.keys) == 1
    newest = call.bundles[-1]
    assert call.track.at(newest.first_frame, newest.clock_ms / 1000, 0) is not None


def test_a_lost_connection_begins_anew_with_a_key() -> None:
    call = Call()
    call.run(4)
    call.half.link_changed(Change.LOST, call.now)
    coded, before = call.half.base_counts.coded, call.packets
    call.run(2)
    call.half.link_changed(Change.RENEWED, call.now)
    call.run(0.2)
    assert call.half.base_counts.coded == coded
    call.track.forget()
    call.receive(SourceHeld(1, call.held))
    call.run(3)
    assert len(call.keys) == 2
    assert call.packets > before + 10


def test_requests_bring_a_key_at_most_every_two_seconds() -> None:
    call = Call()
    call.run(4)
    began = call.now
    for _ in range(100):
        call.receive(SourceRequest(None, BASE_KEY))
        call.receive(BaseHeld(None, True))
        call.run(0.08)
    assert len(call.keys) - 1 <= (call.now - began) / KEY_EVERY + 1
    assert call.half.base_counts.requests == 200
    assert call.half.base_counts.refused > 180
    assert call.half.counts.sources_sent == 1  # none of them asked for a source


def test_a_receiver_that_lost_its_key_gets_another() -> None:
    call = Call()
    call.run(4)
    call.track.forget()
    call.receive(BaseHeld(None))
    call.run(2)
    assert len(call.keys) == 2
    assert call.bundles[-1].base[-1].generation == 1


def test_a_new_crop_is_switched_to_when_it_is_drawn_and_never_mixed() -> None:
    call = Call()
    call.run(5)
    call.run(5, crop=OTHER, number=1)
    assert [key.crop for key in call.keys] == [0, 1]
    epochs = {each.epoch for each in call.bundles}
    assert epochs == {1, 2}
    crops = {key.generation: key.crop for key in call.keys}
    for each in call.bundles:
        assert all(crops[packet.generation] == each.epoch - 1 for packet in each.base)
    switched = [each for each in call.bundles if each.epoch == 2]
    assert switched[1].base  # its key was there before
    assert call.track.decoded == len(call.keys) + call.packets


def test_after_a_reported_loss_each_bundle_repeats_the_references_of_the_one_before() -> None:
    call = Call()
    call.run(4)
    call.receive(Stats(100, 90, 0, 20, None, 300, 0))
    call.run(1)
    single = call.bundles[-1].base
    assert all(packet.frame >= 0 for packet in single)
    call.receive(Stats(150, 130, 5, 30, None, 300, 0))
    call.run(1)
    before, after = call.bundles[-2:]
    new = [packet for packet in before.base if packet.frame >= 0 and not packet.droppable]
    assert [packet.data for packet in after.base if packet.frame < 0] == [packet.data for packet in new]
    ahead = after.first_frame - before.first_frame
    assert [packet.frame + ahead for packet in after.base if packet.frame < 0] == [packet.frame for packet in new]


def test_the_other_side_is_told_in_words_what_goes() -> None:
    call = Call(USUAL_BASE)
    call.run(1)
    call.receive(Stats(10, 9, 0, 2, None, 300, 0))
    call.run(0.2)
    assert call.notes == [SENDS + "motion and base"]
    assert call.half.sends == "motion and base"


def test_bytes_of_the_base_are_not_the_budget_s_unless_it_was_asked_for() -> None:
    heard: list[int] = []
    call = Call()
    call.run(4)
    call.half.sources.spent = lambda out, back, now: heard.append(out)  # type: ignore[method-assign]
    call.half.spent(9000, 0, call.now)
    counts = call.half.base_counts
    assert heard == [9000 - counts.section_bytes - counts.key_bytes]
    assert counts.section_bytes > 0 < counts.key_bytes


def test_who_looks_at_the_picture_looks_at_the_base_that_the_receiver_has() -> None:
    call = Call(policy=WhenWorse())
    call.run(5)
    looks = call.looks[-8:]
    ages = [-1.0 if look.base is None else round(look.base.age, 6) for look in looks]
    assert set(ages) == {0.0, round(1 / FPS, 6)}
    newest = looks[-2]  # the packets of the last one are not all here yet
    assert newest.base is not None
    taken = newest.clock - newest.base.age
    theirs = [each for each in call.track.fitting(1 << 20, newest.clock, 0) if abs(each.clock - taken) < 0.01]
    assert [np.array_equal(each.picture, newest.base.picture) for each in theirs] == [True]


@pytest.mark.parametrize(("accepted", "answers"), [(False, True), (True, False)])
def test_while_no_base_is_shown_none_is_looked_at(accepted: bool, answers: bool) -> None:
    call = Call(policy=WhenWorse(), accepted=accepted, answers=answers)
    call.run(4)
    assert len(call.looks) > 10
    assert all(look.base is None for look in call.looks)


def test_of_before_the_camera_was_off_nothing_is_looked_at() -> None:
    call = Call(policy=WhenWorse())
    call.run(4)
    call.half.camera_off = True
    call.run(0.2, face=False)
    call.half.camera_off, back = False, call.now
    call.run(4)
    later = [(look.clock, look.base) for look in call.looks if look.clock >= back]
    assert later[-1][1] is not None
    assert all(base is None or clock - base.age > back - 1e-6 for clock, base in later)


def noise(crop: Crop, size: int) -> np.ndarray:
    return NOISE.integers(0, 255, (size, size, 3), np.uint8)


def alone(layer: BaseLayerEncoder, seconds: float, now: float) -> float:
    """Frames of noise, whose packets are sent and whose keys are held at once."""
    for _ in range(round(seconds * FPS)):
        layer.take(noise, (CROP, 0), now, now, 1 / FPS, make_motion())
        layer.take_key(now, 0, 0)
        layer.assume_held()
        packets = layer.take_packets()
        layer.spent(sum(len(each.data) for each in packets), len(packets), 0)
        now += 1 / FPS
    return now


def test_what_takes_more_than_its_rate_is_skipped_then_coarser_then_too_much() -> None:
    layer = BaseLayerEncoder(BasePoint(64, 12.5, 66, 1.0))
    layer.accepted = True
    now = alone(layer, JUDGED - 0.5, 0.0)
    assert layer.counts.skipped > 0
    assert layer.crf == 66
    now = alone(layer, 3 * JUDGED, now)
    assert layer.crf == 70
    assert layer.counts.keys > 1
    alone(layer, 2 * JUDGED, now)
    assert not layer.fits
    rate = 8 * layer.counts.section_bytes / now / 1000
    assert rate < 2.0


def test_pictures_of_more_than_a_packet_may_have_are_soon_coded_coarser() -> None:
    layer = BaseLayerEncoder(BasePoint(128, 12.5, 30, 500.0))
    layer.accepted = True
    alone(layer, 1.0, 0.0)
    assert layer.crf == 30  # it may have been a cut
    alone(layer, 6.0, 1.0)
    assert layer.crf >= 36


class PlainEncoder:
    """Takes bytes for what differs from line to line, the more the finer it is; and never hangs."""

    def __init__(self, size: int, crf: int) -> None:
        self.size, self.crf, self._begun = size, crf, False

    def encode(self, rgb: np.ndarray, key: bool = False) -> CodedBase:
        key, self._begun = key or not self._begun, True
        detail = float(np.abs(np.diff(rgb.astype(int), axis=0)).mean())
        return CodedBase(bytes(20 + round(detail * (71 - self.crf))), key, False)

    def close(self) -> None:
        pass


def test_a_rate_that_was_too_much_for_a_while_becomes_fine_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_layer, "BaseEncoder", PlainEncoder)
    layer = BaseLayerEncoder(BasePoint(64, 12.5, 60, 4.0))
    layer.accepted = True
    now = alone(layer, 6, 0.0)
    assert layer.crf > 60
    plain, seen = np.full((64, 64, 3), 90, np.uint8), [layer.crf]
    for _ in range(round(100 * 12.5)):
        layer.take(lambda crop, size: plain, (CROP, 0), now, now, 1 / FPS, make_motion())
        layer.take_key(now, 0, 0)
        layer.assume_held()
        layer.spent(sum(len(each.data) for each in layer.take_packets()), 1, 0)
        now += 0.08
        seen.append(layer.crf)
    assert layer.crf < max(seen)


def test_a_cheaper_point_of_the_same_kind_needs_no_key() -> None:
    layer = BaseLayerEncoder(SMALL)
    layer.accepted = True
    pictures = scene(128, 30)
    now = 0.0
    for number in range(200):
        if number == 100:
            layer.descend(SMALL.lower()[-1])
        layer.take(lambda crop, size, n=number: pictures[n % 30], (CROP, 0), now, now, 1 / FPS, make_motion())  # type: ignore[misc]
        layer.take_key(now, 0, 0)
        layer.assume_held()
        layer.take_packets()
        now += 1 / FPS
    assert layer.counts.keys == 1
    assert layer.counts.coded == pytest.approx(50 + 25, abs=2)


def test_an_encoder_that_hangs_is_followed_by_another_and_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    open_encoder, hung = base_video.open_encoder, list[Hanging]()

    class Hangs(Hanging):
        """It is known at once that it does."""

        def encode(self, frame: object) -> Any:
            if self._left == 0:
                raise EncoderStuck("it did not come back")
            return super().encode(frame)

    def opened(*how: int) -> Any:
        hung.append(Hangs(open_encoder(*how), 20))
        return hung[0] if len(hung) == 1 else open_encoder(*how)

    monkeypatch.setattr(base_video, "open_encoder", opened)
    call = Call()
    call.run(6)
    counts = call.half.base_counts
    assert (counts.stuck, counts.keys, [key.generation for key in call.keys]) == (1, 2, [0, 1])
    assert call.track.decoded == 2 + call.packets
    assert call.packets > 40
    assert call.half.base_goes


def test_after_some_hangs_there_is_no_base_and_the_call_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Hanging] = []

    def opened(*how: int) -> Any:
        made.append(Hanging(None, 0))
        return made[-1]

    monkeypatch.setattr(base_video, "open_encoder", opened)
    monkeypatch.setattr(base_video, "ENCODE_SECONDS", 0.05)
    call = Call()
    with caplog.at_level(logging.WARNING):
        call.run(1)
        call.receive(Stats(0, 0, 0, 0, 0, 0, 0, None))
        call.run(4 * KEY_EVERY)
        call.receive(Stats(0, 0, 0, 0, 0, 0, 0, None))
        call.run(1)
    for each in made:
        each.let_go.set()
    assert call.half.base_counts.stuck == MOST_STUCK == len(made)
    assert call.keys == [] and call.packets == 0
    assert sum(len(each.frames) for each in call.bundles) > 4 * KEY_EVERY * FPS
    assert not call.half.base_goes
    assert call.notes[-1] == SENDS + words(None)
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"there is no base layer in this call any more: its encoder hung {MOST_STUCK} times"]
