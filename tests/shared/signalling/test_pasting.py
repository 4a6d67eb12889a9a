"""Two people at two terminals, with pipes in the place of the people."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from desk_examples import Desk
from meeting_examples import RECEIVER, SENDER, accept, offer

from shared.signalling import pasting
from shared.signalling.hello import Hello
from shared.signalling.offer_answer import Busy, SignallingError
from shared.signalling.pasting import answer_by_hand, find_text, join_by_hand, text_name, write_text


@pytest.fixture
def desks() -> Iterator[tuple[Desk, Desk]]:
    pair = Desk(), Desk()
    yield pair
    for desk in pair:
        desk.end()


async def test_two_texts_make_a_meeting(desks: tuple[Desk, Desk]) -> None:
    sender, receiver = desks
    joining = asyncio.create_task(join_by_hand(sender.terminal(), SENDER, offer))
    answering = asyncio.create_task(answer_by_hand(receiver.terminal(), accept))
    receiver.type(
        "> " + (await sender.shows("2. Paste the receiver's answer")).strip().replace("\n", "\r\n> ") + "\r\n"
    )
    sender.type((await receiver.shows("Waiting for the connection")) + "\n")
    assert await joining == (RECEIVER, "the answer")
    await answering
    assert "python -m receiver --by-hand" in sender.words.getvalue()
    assert "python -m sender --peer by-hand" in receiver.words.getvalue()


async def test_an_offer_that_is_refused_is_refused_on_both_sides(desks: tuple[Desk, Desk]) -> None:
    async def busy(hello: Hello, sdp: str) -> tuple[Hello, str]:
        raise Busy("not now")

    sender, receiver = desks
    joining = asyncio.create_task(join_by_hand(sender.terminal(), SENDER, offer))
    answering = asyncio.create_task(answer_by_hand(receiver.terminal(), busy))
    receiver.type(await sender.shows("2. Paste the receiver's answer") + "\n")
    sender.type((await receiver.shows("3. Give this answer")) + "\n")
    with pytest.raises(SignallingError, match="the offer was refused: not now"):
        await answering
    sender.type(receiver.texts.getvalue() + "\n")
    with pytest.raises(SignallingError, match="the receiver refused: not now"):
        await joining


async def test_what_is_wrong_is_said_and_asked_for_again(desks: tuple[Desk, Desk]) -> None:
    sender = desks[0]
    joining = asyncio.create_task(join_by_hand(sender.terminal(), SENDER, offer))
    own = await sender.shows("2. Paste the receiver's answer")
    name = text_name(find_text(own) or "")
    answer = write_text("answer", b'{"error":"no"}', to=name)
    sender.type("what do you mean?\n\n")
    await sender.shows("not a whole text yet")
    sender.type(own)
    await sender.shows("this is an offer, but the answer of the other side is wanted")
    sender.type(write_text("answer", b"{}", to=b"else") + "\n")
    await sender.shows("this answers another offer")
    sender.type(answer.replace("]", "x]") + "\n")
    await sender.shows("damaged on its way")
    sender.type(answer + "\n")
    with pytest.raises(SignallingError, match="the receiver refused: no"):
        await joining


async def test_nobody_pastes(desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasting, "PASTE_SECONDS", 0.06)
    with pytest.raises(SignallingError, match=r"no offer was pasted within 0\.001 minutes: start again"):
        await answer_by_hand(desks[1].terminal(), accept)


async def test_the_input_ends(desks: tuple[Desk, Desk]) -> None:
    desks[0].type("half a li")
    desks[0].end()
    with pytest.raises(SignallingError, match="the input ended before an answer was pasted"):
        await join_by_hand(desks[0].terminal(), SENDER, offer)


async def test_a_flood_of_text_is_read_through(desks: tuple[Desk, Desk]) -> None:
    receiver = desks[1]
    answering = asyncio.create_task(answer_by_hand(receiver.terminal(), accept))
    text = write_text("offer", b'{"hello":1}')
    noise = ("x" * 1000 + " [pinhole offer 1: ") * 40  # one line, 40 KB a time
    for _ in range(8):
        await asyncio.to_thread(receiver.type, noise)
    await asyncio.to_thread(receiver.type, "\n" + text + "\n")
    with pytest.raises(SignallingError, match="the offer was refused"):
        await answering


def test_ctrl_c_ends_it_though_nobody_has_typed() -> None:
    script = (
        "import asyncio\n"
        "from shared.signals import interruptible\n"
        "from shared.signalling.pasting import Terminal, answer_by_hand\n"
        "async def main():\n"
        "    await answer_by_hand(Terminal(), None)\n"
        "asyncio.run(interruptible(main()))\n"
        "print('ended')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None and process.stdout is not None
            while "2. Paste the sender's offer" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0  # its standard input is open still
            assert process.stdout.read() == "ended\n"
        finally:
            process.kill()
