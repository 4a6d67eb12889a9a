from __future__ import annotations

import pytest

from shared.rendezvous.rooms import CODE_LENGTH, Limits, Refused, Rooms, room_code
from shared.signalling.limits import neighbourhood


def opened(rooms: Rooms, count: int, now: float = 0.0) -> None:
    for n in range(count):
        rooms.open(f"room {n}", f"10.0.0.{n}", now)


def refused(status: int) -> pytest.RaisesExc[Refused]:
    return pytest.RaisesExc(Refused, check=lambda error: error.status == status)


def test_codes_follow_from_secrets() -> None:
    assert room_code("a") == room_code("a") != room_code("b")
    assert len(room_code("a")) == CODE_LENGTH


def test_a_room_is_entered_while_it_is_there() -> None:
    rooms = Rooms()
    room = rooms.open("code", "1.2.3.4", 0.0)
    assert rooms.enter("code", "5.6.7.8", 1.0) is room
    rooms.leave(room)
    rooms.close(room)
    with refused(404):
        rooms.enter("code", "5.6.7.8", 2.0)


def test_rooms_are_bounded() -> None:
    rooms = Rooms(Limits(rooms=3))
    opened(rooms, 3)
    with refused(503):
        rooms.open("another", "10.1.1.1", 0.0)
    rooms.open("room 1", "10.1.1.1", 0.0)  # its receiver comes back
    assert len(rooms) == 3


def test_rooms_of_one_address_are_bounded() -> None:
    rooms = Rooms(Limits(rooms_each=2))
    for code in "ab":
        rooms.open(code, "2001:db8::1", 0.0)
    with refused(429):
        rooms.open("c", "2001:db8::2", 0.0)  # of the same network
    rooms.open("c", "2001:db8:0:1::1", 0.0)


def test_callers_in_a_room_are_bounded() -> None:
    rooms = Rooms(Limits(callers=2))
    room = rooms.open("a", "::1", 0.0)
    rooms.enter("a", "1.1.1.1", 0.0)
    rooms.enter("a", "1.1.1.1", 0.0)
    with refused(503):
        rooms.enter("a", "1.1.1.1", 0.0)
    rooms.leave(room)
    rooms.enter("a", "1.1.1.1", 0.0)


def test_a_flood_from_one_address_is_stopped_for_a_minute_and_others_are_not() -> None:
    rooms = Rooms(Limits(requests=5))
    room = rooms.open("a", "9.9.9.9", 0.0)
    for _ in range(5):
        rooms.enter("a", "1.1.1.1", 0.0)
        rooms.leave(room)
    for now in (0.0, 59.0):
        with refused(429):
            rooms.enter("a", "1.1.1.1", now)
        with refused(429):
            rooms.open("b", "1.1.1.1", now)
    rooms.leave(rooms.enter("a", "2.2.2.2", 0.0))
    rooms.leave(rooms.enter("a", "1.1.1.1", 60.0))


def test_guessing_rooms_is_stopped() -> None:
    rooms = Rooms(Limits(requests=1000, misses=10))
    rooms.open("a", "9.9.9.9", 0.0)
    for n in range(10):
        with refused(404):
            rooms.enter(f"guess {n}", "1.1.1.1", 0.0)
    with refused(429):
        rooms.enter("a", "1.1.1.1", 0.0)


def test_rooms_expire_when_nobody_calls() -> None:
    rooms = Rooms(Limits(idle=100.0))
    rooms.open("quiet", "1.1.1.1", 0.0)
    busy = rooms.open("busy", "1.1.1.1", 0.0)
    rooms.leave(rooms.enter("busy", "2.2.2.2", 50.0))
    assert rooms.expire(99.0) == []
    assert [room.code for room in rooms.expire(100.0)] == ["quiet"]
    assert rooms.expire(149.0) == []
    assert rooms.expire(150.0) == [busy]
    assert len(rooms) == 0


def test_who_lost_a_room_does_not_close_the_next_ones() -> None:
    rooms = Rooms()
    before = rooms.open("a", "1.1.1.1", 0.0)
    after = rooms.open("a", "1.1.1.1", 0.0)
    rooms.close(before)
    assert rooms.enter("a", "2.2.2.2", 0.0) is after


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"), ("", ""), ("unix", "unix"),
    ],
)  # fmt: skip
def test_neighbourhoods(address: str, network: str) -> None:
    assert neighbourhood(address) == network
