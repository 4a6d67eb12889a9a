"""The calls that can be resumed: who is let into which, and what becomes of the connection before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.signalling import answering
from shared.signalling.answering import ResumableCalls
from shared.signalling.hello import RUN, Hello, Incompatible
from shared.signalling.offer_answer import Answer, Busy
from shared.signalling.tokens import AccessTokens, TokenRejected
from shared.transport.ice import IceSettings
from shared.transport.link import Channel, Handler, Kind, LinkClosed, PayloadBytes, Tally, Traffic, WireBytes
from shared.transport.resuming import Change, ResumingLink
from shared.transport.webrtc import BadDescription

WITHIN = 60.0
"""Seconds after which a test that hangs fails."""
SENDER = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256, {RUN: "first"})
RECEIVER = replace(SENDER, role="receiver", capabilities={})
STARTED_AGAIN = replace(SENDER, capabilities={RUN: "second"})


class Carrier:
    """A connection that does what the test says."""

    made: list[Carrier]

    def __init__(self, ice: IceSettings | None = None) -> None:
        self.opened, self.ended = asyncio.Event(), asyncio.Event()
        self.failed: BaseException | None = None
        self.offered = ""
        self.sent: list[bytes] = []
        self.packets = 0
        self.queued, self.fingerprints = 0, None
        Carrier.made.append(self)

    async def accept_offer(self, sdp: str) -> str:
        self.offered = sdp
        if sdp == "bad":
            raise BadDescription("this is no description of a connection")
        if sdp == "broken":
            raise RuntimeError("no socket")
        return f"answer to {sdp}"

    async def wait_open(self) -> None:
        await self.opened.wait()
        if self.failed is not None:
            raise self.failed

    def on_message(self, handler: Handler) -> None: ...

    def send(self, channel: Channel, data: bytes) -> None:
        if self.ended.is_set():
            raise LinkClosed("it is gone")
        self.sent.append(data)

    def wire(self) -> WireBytes:
        nothing = dict.fromkeys(Kind, 0)
        return WireBytes(Traffic(0, nothing), Traffic(self.packets, nothing))

    def payload(self) -> PayloadBytes:
        return PayloadBytes(dict.fromkeys(Channel, Tally()), dict.fromkeys(Channel, Tally()))

    async def wait_closed(self) -> str:
        await self.ended.wait()
        return "the network is gone"

    async def close(self) -> None:
        self.ended.set()


@pytest.fixture(autouse=True)
def carriers(monkeypatch: pytest.MonkeyPatch) -> list[Carrier]:
    """The connections made for those who come back."""
    Carrier.made = []
    monkeypatch.setattr(answering, "Peer", Carrier)
    return Carrier.made


@pytest.fixture
async def tokens() -> AccessTokens:
    return AccessTokens()


@pytest.fixture
async def lines(tokens: AccessTokens) -> ResumableCalls:
    return ResumableCalls(tokens, IceSettings())


@pytest.fixture
async def call(lines: ResumableCalls) -> AsyncIterator[tuple[str, ResumingLink, list[Change]]]:
    """A call that goes on: its pass, its link and what became of its connection."""
    admitted = lines.admit(RECEIVER, SENDER)
    link = lines.begin(Carrier(), admitted)  # type: ignore[arg-type]
    changes: list[Change] = []
    link.on_change(changes.append)
    link.on_message(lambda channel, data: None)
    yield admitted, link, changes
    lines.end(admitted)
    await link.close()


async def resume(tokens: AccessTokens, call: str, hello: Hello = SENDER, sdp: str = "offer") -> Answer:
    """What is answered to somebody who comes with the pass of a call."""
    limiter = tokens.find(call)
    assert limiter is not None
    return Answer(*await limiter(hello, sdp))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():
            await asyncio.sleep(0)


async def test_who_was_let_in_comes_back_with_a_new_connection(
    tokens: AccessTokens, call: tuple[str, ResumingLink, list[Change]]
) -> None:
    admitted, link, changes = call
    first = link.carrier
    assert await resume(tokens, admitted) == Answer(RECEIVER, "answer to offer", admitted)
    assert link.carrier is first  # until the new one is open
    _, second = Carrier.made
    second.opened.set()
    await until(lambda: link.carrier is second)
    assert changes == [Change.RENEWED]
    link.send(Channel.CONTROL, b"here")
    assert second.sent == [b"here"]
    await until(first.ended.is_set)  # type: ignore[attr-defined]


async def test_a_program_that_was_started_again_is_known_by_its_run(
    tokens: AccessTokens, call: tuple[str, ResumingLink, list[Change]]
) -> None:
    admitted, link, changes = call
    for hello in (STARTED_AGAIN, STARTED_AGAIN, SENDER):
        await resume(tokens, admitted, hello)
        Carrier.made[-1].opened.set()
        await until(lambda: link.carrier is Carrier.made[-1])
    assert changes == [Change.REPLACED, Change.RENEWED, Change.REPLACED]


async def test_nobody_resumes_a_call_that_has_not_begun(tokens: AccessTokens, lines: ResumableCalls) -> None:
    admitted = lines.admit(RECEIVER, SENDER)
    with pytest.raises(Busy, match="in a moment"):
        await resume(tokens, admitted)
    assert Carrier.made == []
    lines.end(admitted)


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        (replace(SENDER, engine="vox256"), "same --engine"),
        (replace(SENDER, engine_hash="fedcba9876543210"), "different weights"),
        (replace(SENDER, source_kind="file"), "cannot go on with a file"),
        (replace(SENDER, fps=30.0), "cannot go on with a camera at 30 fps"),
        (replace(SENDER, keypoints=28), "ask for a new link"),
    ],
)
async def test_who_comes_back_as_another_is_refused_before_anything_is_opened(
    tokens: AccessTokens, call: tuple[str, ResumingLink, list[Change]], hello: Hello, why: str
) -> None:
    admitted, link, changes = call
    with pytest.raises(Incompatible, match=why):
        await resume(tokens, admitted, hello)
    assert len(Carrier.made) == 1 and link.carrier is Carrier.made[0]
    assert changes == []


@pytest.mark.parametrize(("sdp", "error"), [("bad", ValueError), ("broken", RuntimeError)])
async def test_a_connection_that_cannot_be_made_is_closed_and_the_call_goes_on(
    tokens: AccessTokens, call: tuple[str, ResumingLink, list[Change]], sdp: str, error: type[Exception]
) -> None:
    admitted, link, _ = call
    with pytest.raises(error):
        await resume(tokens, admitted, sdp=sdp)
    first, second = Carrier.made
    assert second.ended.is_set() and not first.ended.is_set()
    assert link.carrier is first and link.alive


async def test_of_two_answers_only_the_newer_is_waited_for(
    tokens: AccessTokens, call: tuple[str, ResumingLink, list[Change]]
) -> None:
    admitted, link, changes = call
    await resume(tokens, admitted, sdp="one")
    await asyncio.sleep(0)  # its opening has begun
    await resume(tokens, admitted, sdp="two")
    _, one, two = Carrier.made
    await until(one.ended.is_set)
    two.opened.set()
    await until(lambda: link.carrier is two)
    assert changes == [Change.RENEWED]


async def test_a_connection_that_never_opens_changes_nothing(
    tokens: AccessTokens, call: tuple[str, ResumingLink, list[Change]], caplog: pytest.LogCaptureFixture
) -> None:
    admitted, link, changes = call
    await resume(tokens, admitted)
    second = Carrier.made[-1]
    second.failed = LinkClosed("nothing came back")
    second.opened.set()
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            await asyncio.sleep(0)
    assert link.carrier is Carrier.made[0] and changes == []
    assert not caplog.records  # it happens on any network
    await resume(tokens, admitted)
    Carrier.made[-1].opened.set()
    await until(lambda: link.carrier is Carrier.made[-1])


async def test_a_connection_that_breaks_while_it_opens_is_closed_and_said(
    tokens: AccessTokens, call: tuple[str, ResumingLink, list[Change]], caplog: pytest.LogCaptureFixture
) -> None:
    await resume(tokens, call[0])
    second = Carrier.made[-1]
    second.failed = RuntimeError("a fault of ours")
    second.opened.set()
    with caplog.at_level(logging.WARNING):
        await until(second.ended.is_set)
        await until(lambda: caplog.records)
    assert "a new connection of a call failed" in caplog.text
    assert call[1].carrier is Carrier.made[0]


async def test_a_call_outlives_its_connection_until_it_is_ended(
    tokens: AccessTokens, lines: ResumableCalls, call: tuple[str, ResumingLink, list[Change]]
) -> None:
    admitted, link, changes = call
    await link.carrier.close()
    await until(lambda: changes == [Change.LOST])
    link.send(Channel.MOTION, b"dropped")
    await resume(tokens, admitted)
    opening = Carrier.made[-1]
    await asyncio.sleep(0)
    lines.end(admitted)
    await until(opening.ended.is_set)  # what was under way is given up
    with pytest.raises(TokenRejected) as refused:
        tokens.find(admitted)
    assert refused.value.status == 410


async def test_a_call_without_a_pass_ends_with_its_connection(lines: ResumableCalls) -> None:
    link = lines.begin(Carrier(), None)  # type: ignore[arg-type]
    link.on_message(lambda channel, data: None)
    await link.carrier.close()
    assert await link.wait_closed() == "the network is gone"
    lines.end(None)
    lines.end("a pass of nobody")


async def test_two_calls_do_not_meet(tokens: AccessTokens) -> None:
    lines = ResumableCalls(tokens, IceSettings())
    calls = [lines.admit(RECEIVER, SENDER) for _ in range(2)]
    links = [lines.begin(Carrier(), each) for each in calls]  # type: ignore[arg-type]
    await resume(tokens, calls[1])
    Carrier.made[-1].opened.set()
    await until(lambda: links[1].carrier is Carrier.made[-1])
    assert links[0].carrier is Carrier.made[0]
    for each, link in zip(calls, links, strict=True):
        lines.end(each)
        await link.close()


async def test_a_call_of_before_is_begun_anew_and_waited_for_until_its_caller_connects(tokens: AccessTokens) -> None:
    lines, answered = ResumableCalls(tokens, IceSettings()), list[tuple[str, str, str]]()

    async def answer(hello: Hello, sdp: str, call: str) -> Answer:
        answered.append((hello.role, sdp, call))
        return Answer(RECEIVER, "anew", lines.admit(RECEIVER, hello, call))

    lines.restore(("one", "two"), answer)
    assert set(tokens.calls) == {"one", "two"}
    assert await resume(tokens, "two") == Answer(RECEIVER, "anew", "two")
    assert answered == [("sender", "offer", "two")]
    lines.end("two")  # its caller did not connect
    assert await resume(tokens, "two") == Answer(RECEIVER, "anew", "two")
    link = lines.begin(Carrier(), "two", resumed=True)  # type: ignore[arg-type]
    changes: list[Change] = []
    link.on_change(changes.append)
    assert changes == [Change.RENEWED]  # it is told at once what the other side holds
    lines.end("two")
    with pytest.raises(TokenRejected):
        tokens.find("two")
    assert tokens.calls == ("one",)
    await link.close()


async def test_a_caller_who_is_not_heard_is_told_of_again_and_again(
    tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(answering, "QUIET_SECONDS", 0.0)
    quiet: list[int] = []
    lines = ResumableCalls(tokens, IceSettings(), lambda: quiet.append(Carrier.made[0].packets))
    admitted = lines.admit(RECEIVER, SENDER)
    link = lines.begin(Carrier(), admitted)  # type: ignore[arg-type]
    await until(lambda: len(quiet) >= 3)
    lines.end(admitted)
    for _ in range(3):
        await asyncio.sleep(0)
    told = len(quiet)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(quiet) == told  # not after the call
    await link.close()


async def test_a_caller_who_is_heard_is_not_told_of(tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(answering, "QUIET_SECONDS", 0.0)
    looks, quiet = list[int](), list[int]()

    class Talking(Carrier):
        def wire(self) -> WireBytes:
            self.packets += 1
            looks.append(self.packets)
            return super().wire()

    lines = ResumableCalls(tokens, IceSettings(), lambda: quiet.append(1))
    admitted = lines.admit(RECEIVER, SENDER)
    link = lines.begin(Talking(), admitted)  # type: ignore[arg-type]
    await until(lambda: len(looks) >= 20)
    assert quiet == []
    lines.end(admitted)
    await link.close()
