from __future__ import annotations

import pytest

from shared.transport.ice import IceSettings, TurnServer


def test_nobody_is_contacted_by_default() -> None:
    assert IceSettings.parse() == IceSettings(None, None)


@pytest.mark.parametrize("text", ["stun.example.org", "stun:stun.example.org", "stun.example.org:3478"])
def test_stun(text: str) -> None:
    assert IceSettings.parse(stun=text).stun == "stun:stun.example.org:3478"


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("turn:ann:secret@relay.example:99", TurnServer("turn:relay.example:99", "ann", "secret")),
        ("turn:ann:a:b@c%40d@relay.example", TurnServer("turn:relay.example:3478", "ann", "a:b@c@d")),
        ("turns:ann:s@r.example?transport=tcp", TurnServer("turns:r.example:5349?transport=tcp", "ann", "s")),
    ],
)
def test_turn(text: str, server: TurnServer) -> None:
    assert IceSettings.parse(turn=text).turn == server


def test_bad_servers_are_refused_without_repeating_a_password() -> None:
    with pytest.raises(ValueError, match="host:port"):
        IceSettings.parse(stun="http://example.org")
    with pytest.raises(ValueError, match="turn:user:password@host:port") as caught:
        IceSettings.parse(turn="ann:secret@relay.example")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(IceSettings.parse(turn="turn:ann:secret@relay.example"))


def test_only_a_relay() -> None:
    assert IceSettings.parse(turn="turn:ann:s@relay.example", relay_only=True).relay_only
    with pytest.raises(ValueError, match="--relay-only needs a relay: name one with --turn"):
        IceSettings.parse(stun="stun.example.org", relay_only=True)


def test_where_no_path_is_found_the_next_thing_to_try_is_named() -> None:
    stun, turn = "stun.example.org", "turn:ann:s@relay.example"
    assert "--rendezvous" in IceSettings().advice and "--turn" in IceSettings().advice
    assert "name a relay with --turn" in IceSettings.parse(stun).advice
    assert "--turn did not help" in IceSettings.parse(stun, turn).advice
