"""Reactions from the key to the picture: in simulated calls, one way and both, and drawn again from a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import FPS, ColourEngine, make_basis, outgoing_half, picture
from reaction_examples import FaceEngine, StepPerformer
from simulated_call import SimulatedCall, even

from receiver.decoder import CallDecoder
from receiver.output.byte_log import CallRecording, Tape
from receiver.playout import DueFrame
from receiver.replay import pictures
from receiver.settings import ReceiverContext
from receiver.synthesis import Mixed
from receiver.upscale import Bicubic
from sender.analysis import Analysis
from shared.call.call_file import read_call
from shared.call.directions import Pair
from shared.call.loop import Outgoing
from shared.codec import control
from shared.models.engine import Picture
from shared.reactions import SECONDS
from shared.signalling.hello import BASE, REACTIONS, Hello
from shared.transport.link import Channel
from shared.transport.resuming import Change

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", FPS, 4, 64)
REACTION, LIVE = 30, 0
"""Blue of the apex of surprise, and of the camera's face."""


def decoder(performer: StepPerformer | None, tape: Tape | None = None) -> CallDecoder:
    return CallDecoder(FaceEngine(), make_basis(), Bicubic(), tape=tape, performer=performer)


class ReactingCall(SimulatedCall):
    """Draws every frame, and keeps the pictures."""

    def __init__(self, performer: StepPerformer | None = None, tape: Tape | None = None) -> None:
        super().__init__(outgoing_half(), decoder(performer, tape), self._see, even(FPS))
        self.outgoing.reactions.accepted = performer is not None
        self.drawn: list[tuple[DueFrame, Mixed, Picture]] = []

    def _see(self, clock: float) -> Analysis | None:
        return self.outgoing.analyse(picture(round(40 * np.sin(clock)), 7))

    def show(self, frame: DueFrame, sources: Mixed) -> None:
        super().show(frame, sources)
        if sources:
            self.drawn.append((frame, sources, self.incoming.draw(frame, sources)))

    def press(self, number: int) -> None:
        self.outgoing.reactions.react(number, self.now)


def blue(drawn: Picture) -> int:
    return int(drawn[8, 32, 2])


def test_a_key_has_the_picture_perform_and_then_the_cameras_face_is_back() -> None:
    call = ReactingCall(StepPerformer())
    call.run(1.0)
    call.press(3)
    call.run(4.0)
    reacting = [index for index, (_, mixed, _) in enumerate(call.drawn) if mixed.reacting is not None]
    assert len(reacting) == pytest.approx(SECONDS * FPS, abs=1)
    assert reacting == list(range(reacting[0], reacting[-1] + 1))
    values = [blue(drawn) for _, _, drawn in call.drawn]
    assert max(values) == REACTION and set(values[: reacting[0]]) == {LIVE} == set(values[reacting[-1] + 1 :])
    yaws = [round(float(frame.motion.rotation[0]) * 2) + 128 for frame, _, _ in call.drawn if frame.motion is not None]
    assert [int(drawn[8, 32, 0]) for _, _, drawn in call.drawn] == yaws and len(set(yaws)) > 20  # the pose stays live


def test_every_picture_of_it_is_marked_and_no_other() -> None:
    call = ReactingCall(StepPerformer())
    call.run(1.0)
    call.press(3)
    call.run(4.0)
    for _, mixed, drawn in call.drawn:
        assert (mixed.reacting is not None) == bool((drawn != drawn[0, 0]).any())


def test_the_sender_is_told_when_it_is_shown() -> None:
    call = ReactingCall(StepPerformer())
    call.run(1.0)
    call.press(3)
    assert call.outgoing.reactions.line(call.now) == "your reaction: surprise"
    call.run(1.0)
    assert call.outgoing.reactions.line(call.now) == "they see your reaction: surprise"


def test_a_side_that_takes_none_gets_todays_bytes() -> None:
    calls = [ReactingCall(), ReactingCall()]
    sent: list[list[Outgoing]] = [[], []]
    for call, messages in zip(calls, sent, strict=True):
        tick = call.outgoing.tick
        call.outgoing.tick = lambda now, queued, tick=tick, messages=messages: (  # type: ignore[method-assign,misc]
            messages.extend(out := tick(now, queued)) or out
        )
        call.run(1.0)
        if call is calls[0]:
            call.press(3)
        call.run(2.0)
    assert sent[0] == sent[1]
    assert calls[0].outgoing.reactions.line(calls[0].now - 2) == "the other side takes no reactions"


def test_a_sender_that_floods_has_one_in_two_seconds_taken() -> None:
    call = ReactingCall(StepPerformer())
    call.run(1.0)
    flood = control.pack_control(control.Reaction(1))
    for _ in range(600):
        call.incoming.receive(Channel.CONTROL, flood, call.now)
        call.step()
    reactions = call.incoming.reactions
    assert reactions.taken in (3, 4) and reactions.taken + reactions.refused in (599, 600)  # one may still wait
    assert call.incoming.counts.malformed == 0


def test_one_on_its_way_when_the_sender_is_started_again_is_dropped() -> None:
    call = ReactingCall(StepPerformer())
    call.run(1.0)
    call.incoming.receive(Channel.CONTROL, control.pack_control(control.Reaction(1)), call.now)
    call.incoming.link_changed(Change.REPLACED, call.now)
    call.run(1.0)
    assert call.incoming.reactions.taken == 0


def test_in_a_two_way_call_each_sees_the_others() -> None:
    here, there = (Pair(outgoing_half(), decoder(StepPerformer())) for _ in range(2))
    halves = {id(pair): (pair._outgoing, pair._incoming) for pair in (here, there)}
    seen: dict[int, list[int]] = {id(here): [], id(there): []}
    for outgoing, _ in halves.values():
        outgoing.reactions.accepted = True  # type: ignore[attr-defined]
    for n in range(500):
        now = n / 100
        for pair, other in ((here, there), (there, here)):
            outgoing, incoming = halves[id(pair)]
            if n % 4 == 0:
                job = outgoing.push(outgoing.analyse(picture(10, 7)), now, now)  # type: ignore[attr-defined]
                if job is not None:
                    outgoing.done(job.perform(), now)  # type: ignore[attr-defined]
            if n == 150 and pair is here:
                outgoing.reactions.react(3, now)  # type: ignore[attr-defined]
            if n == 180 and pair is there:
                outgoing.reactions.react(2, now)  # type: ignore[attr-defined]
            for channel, data in pair.tick(now, 0):
                other.receive(channel, data, now)
            while (waiting := incoming.next_job()) is not None:  # type: ignore[attr-defined]
                incoming.add_source(incoming.prepare(waiting))  # type: ignore[attr-defined]
            if (item := incoming.due(now)) is not None and item[1]:  # type: ignore[attr-defined]
                seen[id(pair)].append(blue(incoming.draw(*item)))  # type: ignore[attr-defined]
    assert (max(seen[id(there)]), max(seen[id(here)])) == (30, 20)
    told = [halves[id(pair)][0].reactions.line(2.5) for pair in (here, there)]  # type: ignore[attr-defined]
    assert told == ["they see your reaction: surprise", "they see your reaction: sadness"]
    assert all(incoming.counts.malformed == 0 for _, incoming in halves.values())  # type: ignore[attr-defined]


def test_a_recorded_call_is_drawn_again_to_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "call.pinhole"
    tape = CallRecording(path, HELLO)
    call = ReactingCall(StepPerformer(), tape)
    call.run(1.0)
    call.press(3)
    call.run(3.0)
    tape.close()
    again = [(frame.number, drawn) for frame, drawn in pictures(decoder(StepPerformer()), read_call(path)[1])]
    assert [number for number, _ in again] == [frame.number for frame, _, _ in call.drawn]
    assert all((a == b).all() for (_, a), (_, _, b) in zip(again, call.drawn, strict=True))
    assert max(blue(drawn) for _, drawn in again) == REACTION
    without = [blue(drawn) for _, drawn in pictures(decoder(None), read_call(path)[1])]
    assert set(without) == {LIVE}


def test_a_side_says_in_its_hello_whether_it_performs() -> None:
    for performer, base in ((StepPerformer(), True), (None, True), (None, False)):
        context = ReceiverContext(ColourEngine(), make_basis(), Bicubic(), base=base, performer=performer)
        hello = Hello.from_dict(
            Hello("compact", "0123456789abcdef", "receiver", "camera", 25.0, 4, 64, context.capabilities).to_dict()
        )
        assert hello.takes_reactions == (performer is not None)
        assert hello.takes_base == base
        assert (context.half(25.0).reactions._performer is performer) and set(context.capabilities) <= {BASE, REACTIONS}
    for value in (0, 2, False, "1"):
        assert not Hello("compact", "0" * 16, "receiver", "camera", 25.0, 4, 64, {REACTIONS: value}).takes_reactions
