"""Both sides' parts played against each other, and against somebody in between."""

from __future__ import annotations

import copy
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.codec.control import Commitment, CommitmentAnswer, Proof, Reveal, pack_control
from shared.transport.link import Fingerprints
from shared.trust.identity import Identity
from shared.trust.short_authentication_string import NONCE_BYTES, Verification, word_list

ANNA, BEN, MAN = (bytes([n]) * 32 for n in (1, 2, 3))


def identity() -> Identity:
    return Identity(Ed25519PrivateKey.generate())


def part(offerer: bool, ours: bytes, theirs: bytes, signer: Identity | None = None) -> Verification:
    return Verification(offerer, Fingerprints(ours, theirs), os.urandom(NONCE_BYTES), signer)


def play(offerer: Verification, answerer: Verification) -> list[Proof]:
    """Everything that was said until nobody had more to say."""
    said = under_way = offerer.begin() + answerer.begin()
    turns = [answerer, offerer]
    while under_way:
        under_way = [each for message in under_way for each in turns[0].take(message)]
        turns.reverse()
        said = said + under_way
    return said


def test_both_see_the_same_four_words() -> None:
    anna, ben = part(True, ANNA, BEN), part(False, BEN, ANNA)
    said = play(anna, ben)
    assert [type(each) for each in said] == [Commitment, CommitmentAnswer, Reveal]
    assert anna.words is not None and anna.words == ben.words
    assert len(anna.words) == 4 and set(anna.words) <= set(word_list())
    assert (anna.broken, ben.broken, anna.key, ben.key) == (None,) * 4
    assert anna.over and ben.over


def test_words_are_others_in_each_call() -> None:
    seen = set()
    for _ in range(20):
        anna, ben = part(True, ANNA, BEN), part(False, BEN, ANNA)
        play(anna, ben)
        seen.add(anna.words)
    assert len(seen) == 20


def test_it_costs_few_bytes() -> None:
    said = play(part(True, ANNA, BEN, identity()), part(False, BEN, ANNA, identity()))
    assert sum(len(pack_control(each)) for each in said) == 349
    said = play(part(True, ANNA, BEN), part(False, BEN, ANNA))
    assert sum(len(pack_control(each)) for each in said) == 153


def test_identities_are_proved() -> None:
    one, other = identity(), identity()
    anna, ben = part(True, ANNA, BEN, one), part(False, BEN, ANNA, other)
    play(anna, ben)
    assert (anna.key, ben.key) == (other.public, one.public)
    assert anna.words == ben.words is not None


def test_one_may_have_an_identity_and_the_other_none() -> None:
    one = identity()
    anna, ben = part(True, ANNA, BEN, one), part(False, BEN, ANNA)
    play(anna, ben)
    assert (anna.key, ben.key) == (None, one.public)
    assert anna.words == ben.words is not None


def test_a_man_who_plays_both_parts_makes_different_words() -> None:
    for _ in range(20):
        anna, as_ben = part(True, ANNA, MAN), part(False, MAN, ANNA)
        as_anna, ben = part(True, MAN, BEN), part(False, BEN, MAN)
        play(anna, as_ben)
        play(as_anna, ben)
        assert anna.words is not None and ben.words is not None
        assert anna.words != ben.words


def test_a_man_who_passes_everything_on_is_found_out_without_words() -> None:
    anna, ben = part(True, ANNA, MAN), part(False, BEN, MAN)
    play(anna, ben)
    assert ben.words is None
    assert ben.broken is not None and "bound" in ben.broken


def test_signatures_hold_for_one_connection_only() -> None:
    anna, ben = part(True, ANNA, MAN, identity()), part(False, BEN, MAN, identity())
    play(anna, ben)
    assert anna.words is None and anna.key is None
    assert anna.broken == "its signature is not for this connection"


def test_a_nonce_that_was_changed_after_the_commitment_is_refused() -> None:
    anna, ben = part(True, ANNA, BEN), part(False, BEN, ANNA)
    (answer,) = ben.take(anna.begin()[0])
    anna.take(answer)
    assert ben.take(Reveal(os.urandom(NONCE_BYTES))) == []
    assert ben.words is None and ben.broken is not None and "bound" in ben.broken


@pytest.mark.parametrize("which", ["answer", "reveal"])
def test_a_stolen_key_without_its_signature_is_refused(which: str) -> None:
    stolen, own = identity(), identity()
    anna, ben = part(True, ANNA, BEN, own), part(False, BEN, ANNA, own)
    (answer,) = ben.take(anna.begin()[0])
    assert isinstance(answer, CommitmentAnswer)
    if which == "answer":
        assert anna.take(CommitmentAnswer(answer.nonce, stolen.public, answer.signature)) == []
        assert anna.broken is not None and "signature" in anna.broken
        return
    (reveal,) = anna.take(answer)
    assert isinstance(reveal, Reveal)
    for signature in (reveal.signature, None, answer.signature):
        again = copy.copy(ben)
        again.take(Reveal(reveal.nonce, stolen.public, signature))
        assert again.words is None and again.broken is not None and "signature" in again.broken


def test_the_other_side_cannot_have_its_own_signature_back() -> None:
    """An answerer without a key that gives the offerer's own as its own."""
    own = identity()
    anna, mirror = part(True, ANNA, BEN, own), part(False, BEN, ANNA)
    (answer,) = mirror.take(anna.begin()[0])
    assert isinstance(answer, CommitmentAnswer)
    signature = own.sign(anna._statement(offerer=True))
    anna.take(CommitmentAnswer(answer.nonce, own.public, signature))
    assert anna.broken is not None


def test_a_key_that_is_none_is_refused() -> None:
    anna, ben = part(True, ANNA, BEN), part(False, BEN, ANNA)
    (answer,) = ben.take(anna.begin()[0])
    assert isinstance(answer, CommitmentAnswer)
    anna.take(CommitmentAnswer(answer.nonce, b"\xff" * 32, bytes(64)))
    assert anna.broken is not None and anna.words is None


def test_nobody_gets_a_second_guess() -> None:
    ben = part(False, BEN, ANNA)
    (first,) = ben.take(part(True, ANNA, BEN).begin()[0])
    assert isinstance(first, CommitmentAnswer)
    assert ben.take(part(True, ANNA, BEN).begin()[0]) == []
    assert ben.broken is not None and ben.words is None


@pytest.mark.parametrize("message", [Commitment(bytes(32)), Reveal(bytes(16))])
def test_an_offerer_takes_answers_only(message: Proof) -> None:
    anna = part(True, ANNA, BEN)
    anna.begin()
    assert anna.take(message) == []
    assert anna.broken is not None


@pytest.mark.parametrize("message", [CommitmentAnswer(bytes(16)), Reveal(bytes(16))])
def test_an_answerer_waits_for_the_commitment(message: Proof) -> None:
    ben = part(False, BEN, ANNA)
    assert ben.take(message) == []
    assert ben.broken is not None


def test_words_that_are_known_stay() -> None:
    anna, ben = part(True, ANNA, BEN), part(False, BEN, ANNA)
    said = play(anna, ben)
    before = anna.words, ben.words
    for message in said:
        assert anna.take(message) == ben.take(message) == []
    assert (anna.words, ben.words) == before and ben.broken is None
