"""Arbitrary bytes, and damaged messages, for everything that reads what others send: some of each, always the same.

`python -m benchmarks.fuzz` does the same with a million inputs.
"""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import attack
from benchmarks.fuzz_targets import Target, targets
from shared.call.call_file import CallFileError
from shared.codec import MalformedControl
from shared.codec.control import Bye, unpack_control
from shared.signalling.hello import MAX_FPS, MIN_FPS, Hello, MalformedHello

NAMES = (
    *("bundle", "sound", "base", "base_key", "base_packet", "base_track"),
    *("picture", "pieces", "control", "offer", "answer", "sealed", "link", "by_hand", "catalogue"),
    *("callfile", "basis", "weights", "receiver", "sender"),
)
INPUTS = 200
"""For each."""


@pytest.fixture(scope="module")
def all_targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return {each.name: each for each in targets(tmp_path_factory.mktemp("hostile"))}


def test_all_parsers_are_known_and_shares_are_whole(all_targets: dict[str, Target]) -> None:
    assert tuple(all_targets) == NAMES
    assert sum(each.share for each in all_targets.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_parsers_accept_what_is_valid_and_keep_their_word(all_targets: dict[str, Target], name: str) -> None:
    target = all_targets[name]
    for message in target.valid:
        target.parse(message)
        assert target.mend is None or target.mend(message) == message
    outcome = attack(target, "test", INPUTS)
    assert outcome.inputs == outcome.accepted + outcome.refused == INPUTS
    assert 0 < outcome.peak_bytes <= target.memory


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


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(FIELDS), st.recursive(SCALARS, larger, max_leaves=8)))
def test_hellos_are_read_or_refused(data: dict[str, object]) -> None:
    valid = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256).to_dict()
    try:
        hello = Hello.from_dict(valid | data)
    except MalformedHello:
        return
    assert MIN_FPS <= hello.fps <= MAX_FPS and Hello.from_dict(hello.to_dict()) == hello
