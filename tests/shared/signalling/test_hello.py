from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.signalling.hello import Hello, Incompatible, MalformedHello, check

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256, {"av1": True, "gpu": "none", "x": 1.5})


def test_survives_json() -> None:
    assert Hello.from_dict(json.loads(json.dumps(HELLO.to_dict()))) == HELLO


def test_a_virtual_camera_is_a_file_to_older_sides() -> None:
    hello = replace(HELLO, source_kind="virtual")
    data = json.loads(json.dumps(hello.to_dict()))
    assert data["source_kind"] == "file"  # they know camera, file and sample
    assert Hello.from_dict(data) == hello
    assert Hello.from_dict(data | {"source_kind": "camera"}).source_kind == "camera"


def test_unknown_fields_are_ignored_and_capabilities_optional() -> None:
    data = HELLO.to_dict() | {"new": [1]}
    del data["capabilities"]
    assert Hello.from_dict(data) == replace(HELLO, capabilities={})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 0),
        ("version", True),
        ("version", "1"),
        ("engine", ""),
        ("engine", "Compact\x1b"),
        ("engine", "a" * 33),
        ("engine_hash", "xyz"),
        ("engine_hash", "ab" * 40),
        ("role", "spy"),
        ("role", []),
        ("source_kind", "screen"),
        ("fps", 0),
        ("fps", 1e-300),
        ("fps", float("nan")),
        ("fps", float("inf")),
        ("fps", True),
        ("fps", 10**400),
        ("keypoints", 0),
        ("keypoints", 257),
        ("keypoints", 15.0),
        ("picture_size", 8),
        ("picture_size", 100_000),
        ("capabilities", []),
        ("capabilities", {"a": None}),
        ("capabilities", {"a": "x" * 65}),
        ("capabilities", {"a": 10**400}),
        ("capabilities", {"a": float("nan")}),
        ("capabilities", {"A b": 1}),
        ("capabilities", {f"a{n}": 1 for n in range(33)}),
    ],
)
def test_values_out_of_bounds_are_named(field: str, value: Any) -> None:
    with pytest.raises(MalformedHello, match=r"expected") as caught:
        Hello.from_dict(HELLO.to_dict() | {field: value})
    assert field in str(caught.value) or "capability" in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("field", ["version", "engine", "engine_hash", "role", "source_kind", "fps", "keypoints"])
def test_missing_fields_are_named(field: str) -> None:
    data = HELLO.to_dict()
    del data[field]
    with pytest.raises(MalformedHello, match=field):
        Hello.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "hello", 5])
def test_not_an_object(data: object) -> None:
    with pytest.raises(MalformedHello, match="JSON object"):
        Hello.from_dict(data)


def test_sides_that_fit() -> None:
    check(HELLO, replace(HELLO, role="receiver", source_kind="file", fps=12.5, picture_size=512, capabilities={}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, ["protocol 1", "2", "update the older"]),
        ({"engine": "vox256"}, ["'compact'", "'vox256'", "--engine"]),
        ({"engine_hash": "fedcba9876543210"}, ["'compact'", "01234567", "fedcba98", "update both"]),
    ],
)
def test_sides_that_do_not_fit_are_told_the_same(change: dict[str, Any], words: list[str]) -> None:
    other = replace(HELLO, **change)
    with pytest.raises(Incompatible) as here:
        check(HELLO, other)
    with pytest.raises(Incompatible) as there:
        check(other, HELLO)
    assert str(here.value) == str(there.value)
    for word in words:
        assert word in str(here.value)
