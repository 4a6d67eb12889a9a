"""What both halves of a call do when the connection below their link is lost and made anew, in simulated time."""

from __future__ import annotations

import numpy as np
import pytest
from call_examples import FPS, SIDE, incoming_half, outgoing_half, picture, source_that_came
from simulated_call import SimulatedCall, even

from receiver.decoder import CallDecoder
from sender.encoder import CallEncoder
from sender.profiles import LARGEST_BUNDLE
from sender.refresh import EveryN
from sender.source_coder import SourceJob
from shared.codec import control
from shared.transport.resuming import Change


def call(outgoing: CallEncoder | None = None) -> SimulatedCall:
    """One in which frames are shown."""
    talk = SimulatedCall(outgoing or outgoing_half(bundle=2), incoming_half(), lambda clock: None, even(FPS))
    talk.look = lambda clock: talk.outgoing.analyse(picture(talk.frames % 40, 1))
    talk.until(lambda: len(talk.shown) > 10)
    return talk


def numbers(talk: SimulatedCall) -> list[int]:
    return [each.number for each in talk.shown]


def test_a_source_that_is_held_is_not_sent_again() -> None:
    talk = call()
    for _ in range(3):
        talk.cut()
        talk.run(1.2)
        talk.mend()
        shown = len(talk.shown)
        talk.until(lambda shown=shown: len(talk.shown) > shown + 10)  # type: ignore[misc]
    assert talk.incoming.counts.sources_received == talk.outgoing.counts.sources_sent == 1
    assert talk.incoming.counts.malformed == talk.outgoing.counts.malformed == 0
    assert numbers(talk) == sorted(numbers(talk))


def test_nothing_gathers_while_the_connection_is_gone() -> None:
    talk = call(outgoing_half(EveryN(5), bundle=2))
    talk.cut()
    sources, frames = talk.outgoing.counts.sources_sent, talk.outgoing.counts.frames_sent
    talk.run(2.4)
    assert talk.outgoing.counts.sources_sent <= sources + 1  # one may have been in the making
    assert not talk.outgoing.pictures_waiting
    talk.mend()
    assert talk.outgoing.counts.frames_sent <= frames + LARGEST_BUNDLE
    talk.until(lambda: talk.outgoing.counts.sources_sent > sources + 2)


def test_an_unfinished_source_goes_again_from_its_beginning() -> None:
    outgoing, incoming = outgoing_half(), incoming_half()
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)  # of many pieces
    job = outgoing.push(outgoing.analyse(noise), 0.0, 0.0)
    assert isinstance(job, SourceJob)
    outgoing.done(job.perform(), 0.0)
    incoming.receive(*outgoing.tick(0.0, 0)[0], 0.0)
    outgoing.tick(0.3, 0)  # what is under way is lost
    assert outgoing.pictures_waiting
    for half in (outgoing, incoming):
        half.link_changed(Change.LOST, 20.0)
        half.link_changed(Change.RENEWED, 60.0)
    exchange(outgoing, incoming, 60.0)
    assert incoming.counts.sources_received == 1
    assert [held.source_id for held in outgoing.gallery.sources] == [job.source_id]
    assert incoming.counts.malformed == outgoing.counts.malformed == 0


def exchange(outgoing: CallEncoder, incoming: CallDecoder, now: float) -> None:
    """A few seconds of a link without loss."""
    for n in range(100):
        for message in incoming.tick(now + n / 10):
            outgoing.receive(*message, now + n / 10)
        for message in outgoing.tick(now + n / 10, 0):
            incoming.receive(*message, now + n / 10)
        while (job := incoming.next_job()) is not None:
            incoming.add_source(incoming.prepare(job))


def test_a_receiver_that_was_started_again_gets_a_source() -> None:
    talk = call()
    talk.cut()
    assert talk.incoming.counts.sources_received == 1
    talk.incoming = incoming_half()
    talk.shown.clear()
    talk.mend()
    talk.until(lambda: len(talk.shown) > 10)
    assert talk.outgoing.counts.sources_sent == 2
    assert talk.outgoing.counts.malformed == 0


def test_a_sender_that_was_started_again_goes_on_in_the_same_call() -> None:
    talk = call()
    talk.cut()
    talk.outgoing, talk.frames = outgoing_half(bundle=2), 0
    talk.mend(to_sender=None, to_receiver=Change.REPLACED)
    shown = len(talk.shown)
    talk.until(lambda: len(talk.shown) > shown + 10)
    assert talk.incoming.counts.sources_received == 2
    assert len(talk.incoming.gallery.sources) == 1
    assert talk.incoming.counts.malformed == talk.outgoing.counts.malformed == 0
    assert numbers(talk) == sorted(numbers(talk))  # for the recording the call goes on


def test_a_source_prepared_for_a_sender_of_before_is_dropped() -> None:
    incoming, came = source_that_came()
    prepared = incoming.prepare(came)
    incoming.link_changed(Change.REPLACED, 20.0)
    incoming.add_source(prepared)
    said = [control.unpack_control(data) for _, data in incoming.tick(20.0)]
    assert [each for each in said if isinstance(each, control.SourceHeld)] == [control.SourceHeld(1, ())]
    assert incoming.held() == []


@pytest.mark.parametrize("away", [60.0, 1000.0, 100_000.0])
def test_frames_follow_however_long_the_connection_was_gone(away: float) -> None:
    talk = call()
    talk.cut()
    talk.skip(away)
    talk.mend()
    before = len(talk.shown)
    talk.run(2)
    assert len(talk.shown) - before > 20
    assert numbers(talk) == sorted(numbers(talk))
    assert talk.incoming.counts.sources_received == 1


@pytest.mark.parametrize("face", [True, False])
def test_the_receiver_hears_again_whether_there_is_a_face(face: bool) -> None:
    outgoing = outgoing_half()
    outgoing.push(outgoing.analyse(picture(0, 1)) if face else None, 0.0, 0.0)
    outgoing.tick(0.0, 0)
    outgoing.link_changed(Change.LOST, 1.0)
    outgoing.link_changed(Change.RENEWED, 2.0)
    said = [control.unpack_control(data) for channel, data in outgoing.tick(2.0, 0)]
    assert (control.Note(control.NO_FACE) in said) is not face
    assert said  # in any case a sign of life
