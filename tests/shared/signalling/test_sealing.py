from __future__ import annotations

import pytest

from shared.signalling.sealing import (
    KEY_BYTES,
    OVERHEAD,
    NotOpened,
    answer_context,
    new_key,
    offer_context,
    seal,
    unseal,
)

KEY = bytes(range(KEY_BYTES))


@pytest.mark.parametrize("message", [b"", b"x", bytes(70000)])
def test_what_is_sealed_opens_with_the_same_key_and_context(message: bytes) -> None:
    sealed = seal(KEY, message, b"here")
    assert len(sealed) == len(message) + OVERHEAD
    assert unseal(KEY, sealed, b"here") == message


def test_nothing_of_the_message_shows_and_no_two_seals_are_alike() -> None:
    one, two = (seal(KEY, b"a secret of some length", b"") for _ in range(2))
    assert b"secret" not in one
    assert one[1:] != two[1:]


def test_another_key_context_or_byte_does_not_open_it() -> None:
    sealed = seal(KEY, b"hello", b"here")
    for key, data, context in [
        (new_key(), sealed, b"here"),
        (KEY, sealed, b"there"),
        *((KEY, sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :], b"here") for n in range(1, len(sealed))),
    ]:
        with pytest.raises(NotOpened, match="the key does not fit"):
            unseal(key, data, context)


@pytest.mark.parametrize(
    ("sealed", "sentence"), [(b"", "too short"), (bytes(OVERHEAD - 1), "too short"), (b"\x07" + bytes(40), "version 7")]
)
def test_what_was_never_sealed(sealed: bytes, sentence: str) -> None:
    with pytest.raises(NotOpened, match=sentence):
        unseal(KEY, sealed, b"")


def test_contexts_tell_offers_answers_and_rooms_apart() -> None:
    contexts = [
        offer_context("a"), offer_context("b"), answer_context("a", b"1"), answer_context("a", b"2"),
        answer_context("b", b"1"),
    ]  # fmt: skip
    assert len(set(contexts)) == len(contexts)
