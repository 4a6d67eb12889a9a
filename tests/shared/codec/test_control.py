from collections.abc import Callable
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import MalformedControl
from shared.codec.control import (
    MAX_CONTROL_BYTES,
    BaseHeld,
    Bye,
    Commitment,
    CommitmentAnswer,
    Control,
    Heartbeat,
    Note,
    Reaction,
    Reveal,
    SourceHeld,
    SourceRequest,
    Stats,
    pack_control,
    unpack_control,
)

MESSAGES: list[Control] = [
    SourceHeld(epoch=255, sources=(1, 65535)),
    SourceHeld(epoch=0, sources=()),
    SourceRequest(source=7, reason="not held"),
    SourceRequest(source=None, reason="resumed"),
    Stats(received=1000, shown=990, late=10, bundles=200, highest_frame=65535, delay_ms=180, behind_ms=4, clock_ms=77),
    Stats(received=0, shown=0, late=0, bundles=0, highest_frame=None, delay_ms=0, behind_ms=0),
    Heartbeat(clock_ms=2**32 - 1),
    Heartbeat(clock_ms=1, echo_ms=2**32 - 1),
    Note(text="no face"),
    Bye(reason="hung up"),
    BaseHeld(generation=15),
    BaseHeld(generation=None, asks=True),
    Stats(received=9, shown=5, late=0, bundles=2, highest_frame=4, delay_ms=700, behind_ms=0, busy_ms=430),
    Reaction(1),
    Reaction(6),
]

PROOFS: list[Control] = [
    Commitment(bytes(32)),
    CommitmentAnswer(bytes(16)),
    CommitmentAnswer(bytes(16), bytes(32), bytes(64)),
    Reveal(bytes(range(16)), None, None),
]

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(-1, 70000), max_size=4),
)
KEYS = ["epoch", "sources", "source", "reason", "received", "clock_ms", "text", "number", "other"]


@pytest.mark.parametrize("message", MESSAGES + PROOFS)
def test_a_message_comes_back(message: Control) -> None:
    assert unpack_control(pack_control(message)) == message


def test_what_an_older_side_says_is_read_and_what_it_does_not_know_is_not_sent_for_nothing() -> None:
    keeps_up = Stats(received=9, shown=9, late=0, bundles=2, highest_frame=4, delay_ms=70, behind_ms=0)
    content = msgpack.unpackb(pack_control(keeps_up))
    assert "busy_ms" not in content and content["clock_ms"] is None
    assert unpack_control(msgpack.packb(content)) == keeps_up
    busy = msgpack.unpackb(pack_control(replace(keeps_up, busy_ms=80)))
    assert busy == content | {"busy_ms": 80}
    with pytest.raises(MalformedControl):
        unpack_control(msgpack.packb(content | {"busy_ms": -1}))


def test_fields_of_a_later_release_are_ignored() -> None:
    assert unpack_control(msgpack.packb({"t": "note", "text": "hi", "colour": [1, {"a": None}]})) == Note("hi")


@pytest.mark.parametrize(
    "content",
    [
        {"t": "dance"},
        {"t": 3},
        {"t": ["note"]},
        {"text": "no type"},
        ["note", "text"],
        {"t": "note"},
        {"t": "note", "text": 3},
        {"t": "note", "text": b"bytes"},
        {"t": "note", "text": "x" * 201},
        {"t": "held", "epoch": True, "sources": []},
        {"t": "held", "epoch": 256, "sources": []},
        {"t": "held", "epoch": 1, "sources": [70000]},
        {"t": "held", "epoch": 1, "sources": [1] * 65},
        {"t": "held", "epoch": 1, "sources": "ab"},
        {"t": "heartbeat", "clock_ms": -1},
        {"t": "heartbeat", "clock_ms": 1.5},
        {"t": "heartbeat", "clock_ms": None},
        {"t": "react"},
        {"t": "react", "number": 0},
        {"t": "react", "number": 7},
        {"t": "react", "number": True},
        {"t": "react", "number": 1.0},
        {"t": "react", "number": "1"},
        {"t": "commitment", "hash": bytes(31)},
        {"t": "commitment", "hash": "x" * 32},
        {"t": "answer", "nonce": bytes(16), "key": bytes(32)},
        {"t": "answer", "nonce": bytes(17), "key": None, "signature": None},
        {"t": "reveal", "nonce": bytes(16), "key": bytes(33), "signature": bytes(64)},
        {"t": "reveal", "nonce": bytes(16), "key": bytes(32), "signature": [0] * 64},
    ],
)
def test_content_outside_the_schema_is_refused(content: object) -> None:
    with pytest.raises(MalformedControl):
        unpack_control(msgpack.packb(content))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81", b"\x80\x80", b"\x91" * 1000, b"\xd6\xff\xff\xff\xff\xff"])
def test_bytes_that_are_no_map_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedControl):
        unpack_control(data)


def test_long_messages_are_refused() -> None:
    data = msgpack.packb({"t": "note", "text": "hi", "more": "x" * MAX_CONTROL_BYTES})
    with pytest.raises(MalformedControl, match="at most"):
        unpack_control(data)


@pytest.mark.parametrize(
    "message", [SourceHeld(256, ()), SourceHeld(1, (-1,)), Note("x" * 201), Heartbeat(2**32), Reaction(7)]
)
def test_fields_out_of_range_are_not_packed(message: Control) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        pack_control(message)


@given(
    st.sampled_from(["held", "request", "stats", "heartbeat", "note", "bye", "react"]),
    st.dictionaries(st.sampled_from(KEYS), values, max_size=5),
)
def test_random_fields_are_read_or_refused(name: str, content: dict[str, object]) -> None:
    try:
        message = unpack_control(msgpack.packb({"t": name, **content}))
    except MalformedControl:
        return
    assert unpack_control(pack_control(message)) == message


def test_golden_control_messages(golden: Callable[[str, bytes], None]) -> None:
    golden("control.bin", b"".join(map(pack_control, MESSAGES)))
