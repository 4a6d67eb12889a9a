import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec.range_coder import TOTAL, FrequencyTable, RangeDecoder, RangeEncoder

SKEWED = FrequencyTable([1, 0, 4000, 94, 1])
EVEN = FrequencyTable([TOTAL // 4] * 4)
CODED = [0, 2, 3, 4]

symbols = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 255)), max_size=60)


def _encode(items: list[tuple[bool, int, int]]) -> bytes:
    encoder = RangeEncoder()
    for skewed, symbol, raw in items:
        encoder.encode(SKEWED if skewed else EVEN, CODED[symbol] if skewed else symbol)
        encoder.encode_uniform(raw, 8)
    return encoder.finish()


@given(symbols)
def test_symbols_come_back_in_order(items: list[tuple[bool, int, int]]) -> None:
    decoder = RangeDecoder(_encode(items))
    for skewed, symbol, raw in items:
        assert decoder.decode(SKEWED if skewed else EVEN) == (CODED[symbol] if skewed else symbol)
        assert decoder.decode_uniform(8) == raw
    assert decoder.unread == 0


@pytest.mark.parametrize("symbol", CODED)
def test_long_runs_carry_and_keep_their_price(symbol: int) -> None:
    encoder = RangeEncoder()
    for _ in range(500):
        encoder.encode(SKEWED, symbol)
    data = encoder.finish()
    decoder = RangeDecoder(data)
    assert [decoder.decode(SKEWED) for _ in range(500)] == [symbol] * 500
    bits = 500 * math.log2(TOTAL / SKEWED.frequencies[symbol])
    assert len(data) <= bits / 8 * 1.001 + 2


def test_nothing_coded_needs_no_bytes() -> None:
    assert RangeEncoder().finish() == b""


@given(st.binary(max_size=40))
def test_any_bytes_decode_to_symbols_that_exist(data: bytes) -> None:
    decoder = RangeDecoder(data)
    for _ in range(100):
        assert decoder.decode(SKEWED) in CODED
        assert 0 <= decoder.decode_uniform(8) < 256


def test_a_symbol_without_frequency_is_refused() -> None:
    with pytest.raises(ValueError, match="frequency zero"):
        RangeEncoder().encode(SKEWED, 1)
    with pytest.raises(ValueError, match="does not fit"):
        RangeEncoder().encode_uniform(256, 8)


@pytest.mark.parametrize("frequencies", [[1, 2, 3], [TOTAL + 1, -1]])
def test_a_table_must_sum_up(frequencies: list[int]) -> None:
    with pytest.raises(ValueError, match="sum to"):
        FrequencyTable(frequencies)


def test_bytes_after_the_end_are_noticed() -> None:
    data = _encode([(True, 1, 7)])
    decoder = RangeDecoder(data.ljust(6, b"\0") + b"\1")
    decoder.decode(SKEWED)
    decoder.decode_uniform(8)
    assert decoder.unread > 0
