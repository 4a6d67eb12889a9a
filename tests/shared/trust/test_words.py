from __future__ import annotations

from itertools import combinations

import pytest

from shared.trust.short_authentication_string import COUNT, word_list, words


def apart(one: str, other: str, least: int) -> bool:
    """Whether it takes at least so many letters, put in, left out or replaced, to get from one to the other."""
    if abs(len(one) - len(other)) >= least:
        return True
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        left, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(left[j] + 1, row[-1] + 1, left[j - 1] + (a != b)))
        if min(row) >= least:
            return True
    return row[-1] >= least


def alike(each: tuple[str, ...], least: int) -> set[tuple[str, str]]:
    """All pairs less than so many edits apart. Such a pair has a word in common once so many letters are left out."""
    left: dict[str, list[str]] = {}
    for word in each:
        for out in range(least):
            for kept in combinations(word, len(word) - out):
                left.setdefault("".join(kept), []).append(word)
    pairs = {pair for words in left.values() for pair in combinations(sorted(set(words)), 2)}
    return {pair for pair in pairs if not apart(*pair, least)}


def test_edits_are_counted() -> None:
    assert apart("kitten", "sitting", 3) and not apart("kitten", "sitting", 4)
    assert apart("anna", "hanna", 1) and not apart("anna", "hanna", 2)
    assert alike(("tiger", "tower", "timer", "pepper", "paper"), 3) == {
        ("tiger", "tower"), ("timer", "tower"), ("tiger", "timer"), ("paper", "pepper"),
    }  # fmt: skip


def test_words_are_short_and_cannot_be_taken_for_each_other() -> None:
    each = word_list()
    assert len(set(each)) == len(each) == COUNT == 1 << 10
    assert list(each) == sorted(each)
    assert all(4 <= len(word) <= 8 and word.isascii() and word.isalpha() and word.islower() for word in each)
    assert len({word[:4] for word in each}) == COUNT  # four letters say which
    assert alike(each, 3) == set()


@pytest.mark.parametrize(("data", "numbers"), [(bytes(5), [0] * 4), (b"\xff" * 5, [COUNT - 1] * 4)])
def test_ten_bits_make_a_word(data: bytes, numbers: list[int]) -> None:
    assert words(data) == tuple(word_list()[number] for number in numbers)


def test_the_first_bits_make_the_first_word() -> None:
    data = (1 << 30 | 2 << 20 | 3 << 10 | 4).to_bytes(5, "big")
    assert words(data) == tuple(word_list()[number] for number in (1, 2, 3, 4))
    assert words(data + b"\xff") == words(data)[:4]
