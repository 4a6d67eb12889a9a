"""The first bytes of base packets, coded by what they usually are: the header that AV1 gives every frame anew.

It says little that is not known: the frame's place in the encoder's pattern of 16 decides most of it. The tables in
`base_headers.bin` were counted on SVT-AV1's streams (`python -m benchmarks.base_headers`); other bytes cost more, and
come through all the same.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from shared.codec.range_coder import TOTAL, FrequencyTable, RangeDecoder, RangeEncoder

LENGTH = 16
"""Bytes of a packet that have tables."""
PHASES = 16
CANDIDATES = 8
"""Values of a byte that a table holds."""

_FILE = Path(__file__).with_name("base_headers.bin")
_ORDER_HINT = 1
"""The byte that counts pictures since the key, in its upper seven bits."""
_ENTRY = 3


def phase(sequence: int, droppable: bool) -> int:
    """Pictures since the key where every second one is droppable, which is only guessed: 1 to 256."""
    return 2 * sequence + 1 + (not droppable)


def code_header(encoder: RangeEncoder, data: bytes, pictures: int) -> None:
    """Codes up to LENGTH bytes of a packet so many pictures after the key."""
    for at, value in enumerate(data[:LENGTH]):
        values, table = _tables()[pictures % PHASES][at]
        value ^= _known(at, pictures)
        if value in values:
            encoder.encode(table, values.index(value))
        else:
            encoder.encode(table, CANDIDATES)
            encoder.encode_uniform(value, 8)


def read_header(decoder: RangeDecoder, length: int, pictures: int) -> bytes:
    """The first bytes of a packet of this length."""
    data = bytearray()
    for at in range(min(length, LENGTH)):
        values, table = _tables()[pictures % PHASES][at]
        symbol = decoder.decode(table)
        value = decoder.decode_uniform(8) if symbol == CANDIDATES else values[symbol]
        data.append(value ^ _known(at, pictures))
    return bytes(data)


def pack_tables(counts: dict[tuple[int, int], dict[int, int]]) -> bytes:
    """The file of tables, from how often each value stood at (phase, byte), as `known_apart` gives them."""
    content = bytearray()
    for number in range(PHASES * LENGTH):
        seen = counts.get(divmod(number, LENGTH), {})
        every = sum(seen.values()) + 1
        best = sorted(seen, key=lambda value: (-seen[value], value))[:CANDIDATES]
        for value in best:
            content += bytes([value]) + max(1, seen[value] * (TOTAL - 64) // every).to_bytes(2, "big")
        content += bytes(_ENTRY * (CANDIDATES - len(best)))
    return bytes(content)


def known_apart(data: bytes, pictures: int) -> bytes:
    """The first bytes of a packet without what its place says exactly."""
    return bytes(value ^ _known(at, pictures) for at, value in enumerate(data[:LENGTH]))


def _known(at: int, pictures: int) -> int:
    return pictures << 1 & 0xFF if at == _ORDER_HINT else 0


@cache
def _tables() -> list[list[tuple[list[int], FrequencyTable]]]:
    """Values and frequencies by phase and byte; the last symbol says that the value is none of them."""
    content, tables = _FILE.read_bytes(), []
    for begin in range(0, len(content), _ENTRY * CANDIDATES):
        entry = content[begin : begin + _ENTRY * CANDIDATES]
        frequencies = [int.from_bytes(entry[at + 1 : at + 3]) for at in range(0, len(entry), _ENTRY)]
        # A place without a value has frequency zero, and a value that nothing has, so that it is never found.
        values = [entry[_ENTRY * n] if each else -1 for n, each in enumerate(frequencies)]
        tables.append((values, FrequencyTable([*frequencies, TOTAL - sum(frequencies)])))
    return [tables[at : at + LENGTH] for at in range(0, len(tables), LENGTH)]
