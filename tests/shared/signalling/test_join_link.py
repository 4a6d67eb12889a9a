from __future__ import annotations

import pytest

from shared.rendezvous.rooms import room_code
from shared.signalling.links import DirectLink, RoomLink, parse_link, parse_server
from shared.signalling.offer_answer import SignallingError

ROOM = room_code("any secret")
KEY = bytes(range(240, 256))
LINK = RoomLink("https://meet.example", "meet.example:443", ROOM, KEY)


def test_a_room_link_reads_as_it_was_written() -> None:
    assert parse_link(str(LINK)) == LINK
    assert parse_link(f"  {LINK}\n") == LINK
    local = RoomLink("http://127.0.0.1:8767", "127.0.0.1:8767", ROOM, KEY)
    assert parse_link(str(local)) == local


def test_a_direct_link() -> None:
    assert parse_link("http://[::1]:8765/join/a-B_9/") == DirectLink("http://[::1]:8765/join/a-B_9", "::1:8765")


def test_secrets_stay_out_of_logs() -> None:
    direct = parse_link("http://h/join/SECRET")
    assert "SECRET" not in repr(direct)
    assert repr(KEY) not in repr(LINK)


@pytest.mark.parametrize("fragment", ["", "#", "#short", "#" + "A" * 23, "#" + "!" * 22, "#" + "é" * 22])
def test_a_link_without_its_whole_key(fragment: str) -> None:
    with pytest.raises(SignallingError, match="copy the whole link again"):
        parse_link(f"https://meet.example/r/{ROOM}{fragment}")


@pytest.mark.parametrize(
    "text", [f"https://h/r/{ROOM}x#k", f"https://h/s/{ROOM}#k", f"https://me:pw@h/r/{ROOM}#k", "by_hand", "\x1b[31m#k"]
)
def test_what_is_no_link_is_said_without_its_key(text: str) -> None:
    with pytest.raises(SignallingError, match="is not a Pinhole URL") as caught:
        parse_link(text)
    assert "#k" not in str(caught.value).replace("#KEY", "")
    assert "\x1b" not in str(caught.value)


def test_servers() -> None:
    assert parse_server("https://meet.example/") == ("https://meet.example", "meet.example:443")
    assert parse_server("http://127.0.0.1:1") == ("http://127.0.0.1:1", "127.0.0.1:1")


@pytest.mark.parametrize("text", ["", "meet.example", "ftp://h", "https://h/path", "https://h:99999", "https://h?x=1"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match=r"rendezvous server|Port out of range"):
        parse_server(text)
