"""The short authentication string: four words that both see, equal only if nobody sits between the two sides.

The words are of our own list of easy English ones, no two of which look alike.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import cache
from importlib.resources import files
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.codec.control import Commitment, CommitmentAnswer, Proof, Reveal
from shared.transport.link import Fingerprints

COUNT = 1024
"""Words in the list: each stands for ten bits."""
_BITS = 10
NONCE_BYTES = 16
WORDS = 4
_WORDS_BYTES = 5  # ten bits for each word


@cache
def word_list() -> tuple[str, ...]:
    """All words, in alphabetical order: lower case, 4 to 8 letters, at least three edits from each other."""
    return tuple(files(__package__).joinpath("words.txt").read_text(encoding="ascii").split())


def words(data: bytes) -> tuple[str, ...]:
    """As many words as there are whole tens of bits in `data`: four for five bytes."""
    number, count = int.from_bytes(data, "big"), 8 * len(data) // _BITS
    number >>= 8 * len(data) - _BITS * count
    return tuple(word_list()[number >> _BITS * place & COUNT - 1] for place in reversed(range(count)))


class Signer(Protocol):
    """An identity of this side."""

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""


class Verification:
    """One side's part for one connection: `begin`, then `take` for each message; what they return is to be sent."""

    def __init__(self, offerer: bool, fingerprints: Fingerprints, nonce: bytes, signer: Signer | None = None) -> None:
        """`nonce`: 16 random bytes, never used before."""
        ours, theirs = fingerprints.ours, fingerprints.theirs
        self._offerer, self._nonce, self._signer = offerer, nonce, signer
        self._ends = ours + theirs if offerer else theirs + ours
        self._commitment: bytes | None = None
        self._answered = b""  # the answerer's nonce
        self.words: tuple[str, ...] | None = None
        """Four words to compare; None while they are not known."""
        self.key: bytes | None = None
        """The other side's public key, proved; None if it has none or is not known yet."""
        self.broken: str | None = None
        """Why the other side is not to be believed, as a sentence part. There will be no words then."""

    @property
    def over(self) -> bool:
        """Whether all is known that there will be."""
        return self.words is not None or self.broken is not None

    def begin(self) -> list[Proof]:
        """The first message, if it is this side's to send."""
        if not self._offerer:
            return []
        self._commitment = self._commit(self._nonce)
        return [Commitment(self._commitment)]

    def take(self, message: Proof) -> list[Proof]:
        """Takes in a message of the other side. After the end, and after a break, nothing changes any more."""
        if self.over:
            return []
        match message:
            case CommitmentAnswer() if self._offerer and self._commitment is not None:
                self._answered = message.nonce
                self._conclude(self._nonce, message)
                return [Reveal(self._nonce, *self._identity())] if self.broken is None else []
            case Commitment() if not self._offerer and self._commitment is None:
                self._commitment, self._answered = message.hash, self._nonce
                return [CommitmentAnswer(self._nonce, *self._identity())]
            case Reveal() if not self._offerer and self._commitment is not None:
                if hmac.compare_digest(self._commit(message.nonce), self._commitment):
                    self._conclude(message.nonce, message)
                else:
                    self.broken = "its secret number is not the one it was bound to for this connection"
            case _:  # another commitment, for one, would be another guess
                self.broken = "its messages came twice or in the wrong order"
        return []

    def _conclude(self, offered: bytes, proof: CommitmentAnswer | Reveal) -> None:
        """The last things to check, and the words. `offered`: the offerer's nonce."""
        if proof.key is not None and not self._signed(proof.key, proof.signature):
            self.broken = "its signature is not for this connection"
            return
        self.key = proof.key
        digest = hashlib.sha256(b"pinhole words" + self._ends + offered + self._answered).digest()
        self.words = words(digest[:_WORDS_BYTES])

    def _commit(self, nonce: bytes) -> bytes:
        # With the fingerprints, so that who passes messages on from one connection to another fails already here.
        return hashlib.sha256(b"pinhole commitment" + self._ends + nonce).digest()

    def _statement(self, offerer: bool) -> bytes:
        """What a side signs; the offerer's nonce is in it by its commitment."""
        assert self._commitment is not None
        role = b"pinhole offerer" if offerer else b"pinhole answerer"
        return role + self._ends + self._commitment + self._answered

    def _identity(self) -> tuple[bytes, bytes] | tuple[None, None]:
        if self._signer is None:
            return None, None
        return self._signer.public, self._signer.sign(self._statement(self._offerer))

    def _signed(self, key: bytes, signature: bytes | None) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature or b"", self._statement(not self._offerer))
        except (InvalidSignature, ValueError):
            return False
        return True
