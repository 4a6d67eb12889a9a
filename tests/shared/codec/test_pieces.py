import random
from collections.abc import Callable

import pytest

from shared.codec import MalformedPicture
from shared.codec.pieces import MAX_MESSAGE, MAX_PIECE, PIECE_SIZE, Reassembler, split


def _message(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.mark.parametrize("length", [1, 296, 297, 5000, 255 * 296, 255 * 296 + 1, MAX_MESSAGE])
def test_pieces_in_any_order_give_the_message_once(length: int) -> None:
    message = _message(length)
    pieces = split(message, 0x1FFFF)
    assert max(map(len, pieces)) <= (PIECE_SIZE if length <= 255 * 296 else MAX_PIECE)
    assert len(pieces) <= 255
    random.Random(2).shuffle(pieces)
    reassembler = Reassembler()
    results = [reassembler.add(piece) for piece in pieces]
    assert results[:-1] == [None] * (len(pieces) - 1)
    assert results[-1] == message


def test_duplicates_change_nothing() -> None:
    message = _message(1000)
    first, *rest = split(message, 5)
    reassembler = Reassembler()
    assert [reassembler.add(piece) for piece in (first, first, first, *rest)][-1] == message


def test_messages_may_interleave() -> None:
    a, b = _message(900, 1), _message(900, 2)
    reassembler = Reassembler()
    results = [reassembler.add(piece) for pair in zip(split(a, 1), split(b, 2), strict=True) for piece in pair]
    assert [result for result in results if result is not None] == [a, b]


def test_the_message_begun_first_is_forgotten_first() -> None:
    reassembler = Reassembler(max_pending=2)
    messages = {source: _message(500, source) for source in (1, 2, 3)}
    pieces = {source: split(message, source) for source, message in messages.items()}
    for source in (1, 2, 3):
        assert reassembler.add(pieces[source][0]) is None
    assert reassembler.add(pieces[2][1]) == messages[2]
    assert reassembler.add(pieces[3][1]) == messages[3]
    assert reassembler.add(pieces[1][1]) is None


def test_pieces_that_contradict_are_refused() -> None:
    reassembler = Reassembler()
    reassembler.add(split(_message(900), 5)[0])
    with pytest.raises(MalformedPicture, match="earlier ones said 4"):
        reassembler.add(split(_message(2000), 5)[0])


@pytest.mark.parametrize("piece", [b"", b"\0\1\0\1", b"\0\1\1\1x", b"\0\1\0\0x", bytes(2000)])
def test_impossible_pieces_are_refused(piece: bytes) -> None:
    with pytest.raises(MalformedPicture):
        Reassembler().add(piece)


def test_memory_is_bounded() -> None:
    reassembler = Reassembler()
    fitting = MAX_MESSAGE // 1100
    for index in range(fitting):
        assert reassembler.add(bytes([0, 1, index, 255]) + bytes(1100)) is None
    with pytest.raises(MalformedPicture, match="longer than"):
        reassembler.add(bytes([0, 1, fitting, 255]) + bytes(1100))


@pytest.mark.parametrize(("length", "piece_size"), [(0, 300), (MAX_MESSAGE + 1, 300), (10, 4), (10, 9999)])
def test_what_cannot_be_split_is_refused(length: int, piece_size: int) -> None:
    with pytest.raises(ValueError, match=r"a piece|a picture message"):
        split(bytes(length), 1, piece_size)


def test_golden_pieces(golden: Callable[[str, bytes], None]) -> None:
    golden("pieces.bin", b"".join(split(bytes(range(40)), 513, piece_size=20)))
