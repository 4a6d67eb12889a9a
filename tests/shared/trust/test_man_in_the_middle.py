"""Two ends of a real connection, and a real man between them: he ends DTLS on both sides and passes messages on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aioice.ice
import pytest
from trust_examples import HELLO, Person

from shared.call.loop import run_call
from shared.codec.control import Commitment, CommitmentAnswer, Proof, Reveal, pack_control, unpack_control
from shared.transport.link import Channel, Link
from shared.transport.resuming import ResumingLink
from shared.transport.webrtc import Peer
from shared.trust.short_authentication_string import NONCE_BYTES, Verification

IN_TIME = 60.0
EVERYTHING = sorted((channel, HELLO) for channel in Channel)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice.ifaddr, "get_adapters", list)


@asynccontextmanager
async def peers(count: int) -> AsyncIterator[list[Peer]]:
    each = [Peer() for _ in range(count)]
    try:
        yield each
    finally:
        await asyncio.gather(*(peer.close() for peer in each))


async def connect(offerer: Peer, answerer: Peer) -> None:
    await offerer.accept_answer(await answerer.accept_offer(await offerer.create_offer()))
    await asyncio.gather(offerer.wait_open(), answerer.wait_open())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(IN_TIME):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def conversation(anna: Link, ben: Link, folder: Path, identity: bool = True) -> AsyncIterator[list[Person]]:
    """Both talking until the block ends; it begins once everything was heard, goodbyes and verification apart."""
    sides = (("anna", anna, True), ("ben", ben, False))
    people = [
        Person(folder / name, lambda link=link: link.fingerprints, offerer=offerer, identity=identity)
        for name, link, offerer in sides
    ]
    ended = asyncio.Event()
    calls = [
        asyncio.ensure_future(run_call(link, person.verified, ended))
        for (_, link, _), person in zip(sides, people, strict=True)
    ]
    try:
        await until(lambda: all(sorted(each.half.heard) == EVERYTHING for each in people))
        yield people
        ended.set()
        assert all("ended the call" in reason for reason in await asyncio.gather(*calls))
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


class Man:
    """Sits between: whom he answers takes him for Ben, whom he calls takes him for Anna."""

    def __init__(self, as_ben: Peer, as_anna: Peer, change: Callable[[Peer, Proof], list[tuple[Peer, Proof]]]) -> None:
        """`change`: what he sends, and over which connection, when a message of the verification came over one."""
        self._change = change
        as_ben.on_message(lambda channel, data: self._took(as_ben, as_anna, channel, data))
        as_anna.on_message(lambda channel, data: self._took(as_anna, as_ben, channel, data))

    def _took(self, came: Peer, goes: Peer, channel: Channel, data: bytes) -> None:
        message = unpack_control(data) if channel is Channel.CONTROL else None
        if not isinstance(message, Proof):
            goes.send(channel, data)
            return
        for peer, proof in self._change(came, message):
            peer.send(Channel.CONTROL, pack_control(proof))


async def test_without_anybody_between_both_see_the_same_words(tmp_path: Path) -> None:
    async with peers(2) as (anna, ben):
        assert anna.fingerprints is None
        await connect(anna, ben)
        assert anna.fingerprints is not None and ben.fingerprints is not None
        assert anna.fingerprints.ours == ben.fingerprints.theirs != anna.fingerprints.theirs
        async with conversation(anna, ben, tmp_path) as people:
            await until(lambda: all(person.verified.words for person in people))
            assert people[0].verified.words == people[1].verified.words
            assert people[0].verified.warnings == people[1].verified.warnings == ()


@pytest.mark.parametrize("identity", [True, False])
async def test_a_man_who_plays_both_parts_is_seen_by_the_words(tmp_path: Path, identity: bool) -> None:
    async with peers(4) as (anna, as_ben, as_anna, ben):
        await asyncio.gather(connect(anna, as_ben), connect(as_anna, ben))
        assert as_ben.fingerprints is not None and as_anna.fingerprints is not None
        parts = {
            as_ben: Verification(False, as_ben.fingerprints, os.urandom(NONCE_BYTES)),
            as_anna: Verification(True, as_anna.fingerprints, os.urandom(NONCE_BYTES)),
        }
        Man(as_ben, as_anna, lambda came, proof: [(came, each) for each in parts[came].take(proof)])
        for each in parts[as_anna].begin():
            as_anna.send(Channel.CONTROL, pack_control(each))
        async with conversation(anna, ben, tmp_path, identity) as people:
            one, other = (person.verified for person in people)
            await until(lambda: bool(one.words and other.words and parts[as_ben].over))
            assert one.words != other.words
            assert (one.words, other.words) == (parts[as_ben].words, parts[as_anna].words)
            assert one.warnings == other.warnings == ()  # nothing but the words gives him away


async def test_a_man_who_passes_everything_on_is_shouted_about(tmp_path: Path) -> None:
    async with peers(4) as (anna, as_ben, as_anna, ben):
        await asyncio.gather(connect(anna, as_ben), connect(as_anna, ben))
        others = {as_ben: as_anna, as_anna: as_ben}
        Man(as_ben, as_anna, lambda came, proof: [(others[came], proof)])
        async with conversation(anna, ben, tmp_path) as people:
            await until(lambda: people[0].alarmed)
            assert "signature" in people[0].verified.warnings[0]
            assert people[1].verified.words is None


async def test_a_man_who_passes_everything_on_is_shouted_about_without_keys_too(tmp_path: Path) -> None:
    async with peers(4) as (anna, as_ben, as_anna, ben):
        await asyncio.gather(connect(anna, as_ben), connect(as_anna, ben))
        others = {as_ben: as_anna, as_anna: as_ben}
        Man(as_ben, as_anna, lambda came, proof: [(others[came], proof)])
        async with conversation(anna, ben, tmp_path, identity=False) as people:
            await until(lambda: people[1].alarmed)
            assert "bound" in people[1].verified.warnings[0]


async def test_a_man_who_chooses_his_nonce_after_he_has_seen_the_other_is_shouted_about(tmp_path: Path) -> None:
    """He waits for Ben's nonce, and then shows another than the one he was bound to: Anna's own, or a better one."""
    async with peers(4) as (anna, as_ben, as_anna, ben):
        await asyncio.gather(connect(anna, as_ben), connect(as_anna, ben))
        assert as_ben.fingerprints is not None and as_anna.fingerprints is not None
        to_anna = Verification(False, as_ben.fingerprints, os.urandom(NONCE_BYTES))
        to_ben = Verification(True, as_anna.fingerprints, os.urandom(NONCE_BYTES))

        def change(came: Peer, proof: Proof) -> list[tuple[Peer, Proof]]:
            match proof:
                case Commitment():
                    return [(as_ben, each) for each in to_anna.take(proof)] + [(as_anna, to_ben.begin()[0])]
                case CommitmentAnswer():
                    return [(as_anna, Reveal(os.urandom(NONCE_BYTES)))]
                case Reveal():
                    to_anna.take(proof)
            return []

        Man(as_ben, as_anna, change)
        async with conversation(anna, ben, tmp_path, identity=False) as people:
            await until(lambda: people[1].alarmed and to_anna.over)
            assert "bound" in people[1].verified.warnings[0]
            assert people[0].verified.words == to_anna.words is not None


async def test_another_connection_of_the_same_call_is_verified_by_itself(tmp_path: Path) -> None:
    async with peers(4) as (anna, ben, anna_again, ben_again):
        await connect(anna, ben)
        links = ResumingLink(anna), ResumingLink(ben)
        async with conversation(*links, tmp_path) as people:
            one, other = (person.verified for person in people)
            await until(lambda: bool(one.words and other.words))
            before, told = one.words, len(people[0].told)
            await connect(anna_again, ben_again)
            links[0].renew(anna_again)
            await until(lambda: one.words is None)  # it has begun, the other side has not heard of it yet
            links[1].renew(ben_again)
            await until(lambda: bool(one.words and other.words))
            assert one.words == other.words != before
            assert one.warnings == other.warnings == ()
            assert len(people[0].told) == told  # who is there is known by the key
