"""Picture messages cut into pieces: a big message would hold up the motion that shares the link with it.

A piece: source id (2 bytes, big-endian), index (1), number of pieces (1), content.
"""

from __future__ import annotations

import struct

from shared.codec import MalformedPicture

PIECE_SIZE = 300
"""Bytes of a piece, header included: 0.2 s at 16 kbit/s."""
MAX_MESSAGE = 255 * 1024
MAX_PIECE = 1200
"""More would not fit one packet."""

_HEADER = struct.Struct(">HBB")


def split(message: bytes, source_id: int, piece_size: int = PIECE_SIZE) -> list[bytes]:
    """The pieces of a message, of `piece_size` bytes or more if 255 would not do. Raises ValueError if too long."""
    if not _HEADER.size < piece_size <= MAX_PIECE:
        raise ValueError(f"a piece has {_HEADER.size + 1} to {MAX_PIECE} bytes, {piece_size} asked for")
    if not 0 < len(message) <= MAX_MESSAGE:
        raise ValueError(f"a picture message has 1 to {MAX_MESSAGE} bytes, this one has {len(message)}")
    room = max(piece_size - _HEADER.size, -(-len(message) // 255))
    count = -(-len(message) // room)
    return [
        _HEADER.pack(source_id & 0xFFFF, index, count) + message[index * room : (index + 1) * room]
        for index in range(count)
    ]


class Reassembler:
    """Puts pieces back together, in any order; holds a few unfinished messages and forgets the one begun first."""

    def __init__(self, max_pending: int = 3) -> None:
        self._max_pending = max_pending
        self._pending: dict[int, tuple[int, dict[int, bytes]]] = {}

    def add(self, piece: bytes) -> bytes | None:
        """The whole message when this was its last missing piece.

        A piece that is there already changes nothing. A message that was handed out is forgotten, so sending it
        again gives it again. Raises MalformedPicture for a piece that cannot be or that contradicts an earlier one.
        """
        if not _HEADER.size < len(piece) <= MAX_PIECE:
            raise MalformedPicture(f"a piece of {len(piece)} bytes arrived, expected {_HEADER.size + 1} to {MAX_PIECE}")
        source_id, index, count = _HEADER.unpack_from(piece)
        if index >= count:
            raise MalformedPicture(f"piece {index} of {count} arrived")
        known_count, parts = self._pending.get(source_id, (count, {}))
        if known_count != count:
            del self._pending[source_id]
            raise MalformedPicture(f"a piece of a message of {count} arrived, earlier ones said {known_count}")
        parts.setdefault(index, piece[_HEADER.size :])
        if sum(map(len, parts.values())) > MAX_MESSAGE:
            self._pending.pop(source_id, None)
            raise MalformedPicture(f"a picture message longer than {MAX_MESSAGE} bytes arrived")
        if len(parts) == count:
            self._pending.pop(source_id, None)
            return b"".join(parts[i] for i in range(count))
        self._pending[source_id] = (count, parts)
        if len(self._pending) > self._max_pending:
            del self._pending[next(iter(self._pending))]
        return None
