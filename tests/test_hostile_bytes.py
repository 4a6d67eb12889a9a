"""Arbitrary bytes, and damaged messages, for everything that reads what others send (hypothesis).

`python -m benchmarks.fuzz` does the same with a million inputs, and looks at time and memory.
"""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_targets import Target, targets
from shared.callfile import CallFileError
from shared.codec.control import Bye, unpack_control
from shared.codec.errors import MalformedControl
from shared.session.hello import MAX_FPS, MIN_FPS, Hello, MalformedHello

NAMES = (
    *("bundle", "sound", "base", "base_key", "base_packet", "base_track"),
    *("picture", "pieces", "control", "offer", "answer", "sealed", "link", "by_hand", "catalogue"),
    *("callfile", "basis", "weights", "receiver", "sender"),
)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def all_targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return {each.name: each for each in targets(tmp_path_factory.mktemp("hostile"))}


def read(target: Target, data: bytes) -> None:
    """Lets through only the errors that the parser may not raise."""
    try:
        target.parse(data)
    except target.refusals:
        return


@pytest.mark.parametrize("name", NAMES)
@QUICK
@given(data=st.binary(max_size=600))
def test_arbitrary_bytes_are_read_or_refused(all_targets: dict[str, Target], name: str, data: bytes) -> None:
    read(all_targets[name], data)


@pytest.mark.parametrize("name", NAMES)
@QUICK
@given(data=st.data())
def test_damaged_messages_are_read_or_refused(all_targets: dict[str, Target], name: str, data: st.DataObject) -> None:
    target = all_targets[name]
    message = bytearray(data.draw(st.sampled_from(target.valid)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(message) - 1)))
        message[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    read(target, bytes(message))
    if target.mend is not None:
        read(target, target.mend(bytes(message)))


def nested(depth: int) -> object:
    value: object = None
    for _ in range(depth):
        value = [value]
    return value


def test_a_type_that_is_nested_too_deep_to_be_shown_is_refused() -> None:
    message = b"\x81\xa1t" + b"\x91" * 900 + b"\xc0"
    assert msgpack.unpackb(message)["t"] != nested(1)
    with pytest.raises(MalformedControl, match="unknown type"):
        unpack_control(message)


@given(st.text(max_size=200))
def test_texts_cannot_steer_a_terminal(text: str) -> None:
    message = msgpack.packb({"t": "bye", "reason": text}, unicode_errors="surrogatepass")
    try:
        bye = unpack_control(message)
    except MalformedControl:  # half a surrogate pair
        return
    assert isinstance(bye, Bye)
    assert bye.reason.isprintable() or not bye.reason
    assert len(bye.reason) == len(text)


def test_a_mark_of_endless_length_is_damage(all_targets: dict[str, Target]) -> None:
    target = all_targets["callfile"]
    assert target.mend is not None
    record = (0).to_bytes(4, "big") + b"\x40" + (5 + 5000).to_bytes(4, "big") + bytes(6) + b"\x01" + bytes(5004)
    with pytest.raises(CallFileError, match="is damaged"):
        target.parse(target.mend(target.valid[0] + record))


FIELDS = tuple(Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256).to_dict())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


def larger(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


@QUICK
@given(st.dictionaries(st.sampled_from(FIELDS), st.recursive(SCALARS, larger, max_leaves=8)))
def test_hellos_are_read_or_refused(data: dict[str, object]) -> None:
    valid = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256).to_dict()
    try:
        hello = Hello.from_dict(valid | data)
    except MalformedHello:
        return
    assert MIN_FPS <= hello.fps <= MAX_FPS and Hello.from_dict(hello.to_dict()) == hello
