"""The lowest rung: what goes, how little, and which expressions go along."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
from call_examples import KEYPOINTS, ColourEngine, make_basis, make_motion
from reaction_examples import StepPerformer
from simulated_call import Conditions, SimulatedCall, even, realistic_basis

from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender import call as module
from sender.analysis import Analysis
from sender.call import SenderSettings, assemble
from sender.crop import whole_square
from sender.encoder import CallEncoder, EncoderSettings
from sender.expression_reader import ExpressionReader
from sender.profiles import PROFILES
from sender.refresh import EveryN, First
from shared.call.loop import Outgoing
from shared.codec.motion_basis import MotionBasis
from shared.transport.link import MAX_USER_DATA, PACKET_HEADERS, chunk_cost

SIDE, FPS = 64, 25.0
STILL = PROFILES["still"]


def coded_mean() -> MotionBasis:
    """Codes the pose and the mean of the expression."""
    one = np.full((1, 3 * KEYPOINTS), 1 / np.sqrt(3 * KEYPOINTS), np.float32)
    return replace(make_basis(), components=one, analysis=one, component_steps=np.full(1, 2**-6, np.float32))


class StillCall(SimulatedCall):
    """A call of that profile, with the bytes that go each way; the mouth moves while there is no `expression`."""

    def __init__(self, basis: MotionBasis, rate: float = 3000.0) -> None:
        settings = EncoderSettings(FPS, STILL.bundle(FPS), 64, 70, "none", STILL.step(FPS), still=STILL.still)
        engine = ColourEngine(size=SIDE)
        self._picture = np.random.default_rng(2).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        self.sizes = [0, 0]
        self.expression = 0.0
        super().__init__(
            CallEncoder(settings, engine, basis, First()), CallDecoder(engine, basis, Bicubic(), FPS),
            self._see, even(FPS), there=Conditions(rate, 0.1),
        )  # fmt: skip

    def _see(self, clock: float) -> Analysis:
        motion = make_motion(20 * np.sin(clock), 10 * np.cos(1.3 * clock))
        value = self.expression or 0.2 * np.sin(20 * clock) * (clock > 0.5)
        motion = replace(motion, expression=np.full((KEYPOINTS, 3), value, np.float32))
        return Analysis(self._picture, whole_square(self._picture), 0, ColourEngine().extract(self._picture)[0], motion)

    def _offer(self, line: object, packet: list[Outgoing]) -> None:
        size = sum(chunk_cost(len(data)) for _, data in packet)
        self.sizes[line is self.back] += size + PACKET_HEADERS * ceil(size / MAX_USER_DATA)
        super()._offer(line, packet)  # type: ignore[arg-type]


def test_it_takes_less_than_three_kbits_with_a_picture_on_a_line_of_three() -> None:
    call = StillCall(realistic_basis())
    call.run(20.0)  # the source has come
    assert call.incoming.gallery.sources
    before = list(call.sizes)
    call.run(30.0)
    out, back = ((after - b) * 8 / 30 / 1000 for after, b in zip(call.sizes, before, strict=True))
    assert out < 2.0 and back < 1.5
    assert call.incoming.counts.malformed == call.outgoing.counts.malformed == 0


def test_the_head_moves_evenly_and_the_face_is_that_of_the_source() -> None:
    call = StillCall(coded_mean(), rate=1e6)
    call.run(5.0)
    shown = len(call.shown)
    call.run(10.0)
    motions = [each.frame.motion for each in call.shown[shown:]]
    assert len(motions) > 9 * FPS  # those between are made up
    source = call.incoming.gallery.sources[-1].motion.expression
    assert all(motion is not None and np.allclose(motion.expression, source, atol=2**-6) for motion in motions)
    yaws = np.array([motion.rotation[0] for motion in motions if motion is not None])
    assert np.abs(yaws).max() > 15 and np.abs(np.diff(yaws)).max() < 3


def test_without_it_the_expression_goes() -> None:
    call = StillCall(coded_mean(), rate=1e6)
    call.outgoing.motion._still = False
    call.run(15.0)
    source = call.incoming.gallery.sources[-1].motion.expression
    assert any(np.abs(each.frame.motion.expression - source).max() > 0.1 for each in call.shown if each.frame.motion)


def test_an_expression_that_is_read_off_the_face_goes_as_a_label() -> None:
    call = StillCall(coded_mean(), rate=1e6)
    performer = StepPerformer()
    call.incoming.reactions._performer = performer
    call.outgoing.reactions.accepted = True
    call.outgoing.reactions.reader = ExpressionReader(StepPerformer())
    call.run(4.0)
    assert call.outgoing.reactions.sent == 0  # the mouth moves, and no more
    call.expression = 0.6
    call.run(3.0)
    assert [label for label, _, _ in performer.asked][:1] == ["fear"]  # whose apex is nearest to 0.6


def test_where_the_other_side_performs_none_nothing_is_read() -> None:
    reactions = StillCall(coded_mean()).outgoing.reactions
    reactions.reader = ExpressionReader(StepPerformer())
    for n in range(100):
        reactions.look(make_motion(), np.zeros((KEYPOINTS, 3), np.float32), n / 25)
    assert reactions.messages() == [] and reactions.line(4.0) == ""


def test_the_command_line_makes_such_a_call(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "wire_hash", lambda _: "0123456789abcdef")
    monkeypatch.setattr(module, "load_performer", lambda engine: StepPerformer() if engine == "compact" else None)
    for profile in ("still", "thin"):
        settings = SenderSettings(None, profile=profile, device="cpu")
        half, _ = assemble(settings, ColourEngine(), make_basis(), FPS, "camera")
        still = profile == "still"
        assert half.settings.still == still and (half.reactions.reader is not None) == still
        assert isinstance(half.sources._policy, First) == still
        assert half.adaptation.step == PROFILES[profile].step(FPS) and half.adaptation.base is None
    asked = SenderSettings(None, profile="still", device="cpu", refresh=EveryN(30))
    assert isinstance(assemble(asked, ColourEngine(), make_basis(), FPS, "camera")[0].sources._policy, EveryN)
