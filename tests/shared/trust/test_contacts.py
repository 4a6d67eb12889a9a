from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.trust import contacts as module
from shared.trust.contacts import Contacts, Damaged, check_name

ANNA, BEN, EVE = (bytes([n]) * 32 for n in (1, 2, 3))
MONDAY, TUESDAY, NEXT_YEAR = date(2025, 11, 3), date(2025, 11, 4), date(2026, 1, 2)


def met(*keys: bytes, name: str | None = None) -> Contacts:
    """All of them met on a Monday; the first one by a name."""
    people = Contacts()
    for key in keys:
        people.meet(key, name, MONDAY)
        name = None
    return people


def test_who_was_there_before_is_known_again() -> None:
    people = Contacts()
    assert people.meet(ANNA, None, MONDAY).text.startswith("a new key")
    again = people.meet(ANNA, None, TUESDAY)
    assert (again.text, again.alarm) == ("this is the same person, known from 3 November (1 call)", False)
    assert people.meet(ANNA, None, NEXT_YEAR).text == "this is the same person, known from 4 November 2025 (2 calls)"
    known = people.with_key(ANNA)
    assert known is not None
    assert (known.first, known.last, known.calls) == ("2025-11-03", "2026-01-02", 3)


def test_a_name_is_given_at_the_first_call_or_later() -> None:
    people = met(ANNA, name="anna")
    assert people.meet(ANNA, None, TUESDAY).text == "this is anna, known from 3 November (1 call)"
    people = met(BEN)
    assert people.meet(BEN, "ben", TUESDAY).text == "this is ben, known from 3 November (1 call)"
    assert people.named("ben") == people.with_key(BEN)


def test_another_key_under_the_same_name_is_an_alarm() -> None:
    people = met(ANNA, name="anna")
    for _ in range(2):
        judged = people.meet(EVE, "anna", TUESDAY)
        assert judged.alarm and not judged.compared
        assert "the key of anna has changed" in judged.text and "3 November (1 call)" in judged.text
    assert people.named("anna") == people.with_key(ANNA)  # the name stays where it was
    eve = people.with_key(EVE)
    assert eve is not None and eve.name is None


def test_somebody_known_in_the_place_of_somebody_else_is_an_alarm() -> None:
    people = met(ANNA, name="anna")
    people.meet(BEN, "ben", MONDAY)
    judged = people.meet(BEN, "anna", TUESDAY)
    assert judged.alarm and "is the one of ben" in judged.text
    judged = people.meet(BEN, "carl", TUESDAY)
    assert judged.alarm and judged.text == "this is ben, not carl"
    assert people.named("carl") is None


def test_no_key_is_an_alarm_only_from_who_had_one() -> None:
    people = met(ANNA, name="anna")
    assert people.meet(None, "anna", TUESDAY).alarm
    assert not people.meet(None, None, TUESDAY).alarm
    assert not people.meet(None, "ben", TUESDAY).alarm
    assert len(people) == 1


def test_words_are_compared_once() -> None:
    people = met(ANNA, name="anna")
    people.compare(ANNA, "anna")
    judged = people.meet(ANNA, "anna", TUESDAY)
    assert judged.compared and judged.text.endswith("(1 call, words compared)")


def test_compared_words_give_a_name_to_the_new_key() -> None:
    people = met(ANNA, name="anna")
    people.meet(EVE, "anna", TUESDAY)
    people.compare(EVE, "anna")
    assert people.named("anna") == people.with_key(EVE)
    assert not people.meet(EVE, "anna", TUESDAY).alarm
    assert people.meet(ANNA, "anna", TUESDAY).alarm
    people.compare(BEN, None)  # never met
    assert people.with_key(BEN) is None


def test_they_are_bounded_and_the_named_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 4)
    people = met(ANNA, BEN, name="anna")
    people.compare(BEN, None)
    for number in range(10, 30):
        people.meet(bytes([number]) * 32, None, TUESDAY)
        assert len(people) <= 4
        assert people.with_key(bytes([number]) * 32) is not None
    assert people.with_key(ANNA) and people.with_key(BEN)


def test_they_come_back_from_json() -> None:
    people = met(ANNA, BEN, name="anna")
    people.compare(ANNA, None)
    again = Contacts.from_json(people.to_json())
    assert again.to_json() == people.to_json() and len(again) == 2
    assert again.meet(ANNA, None, TUESDAY).compared


def person(**changes: Any) -> str:
    content = json.loads(met(ANNA, name="anna").to_json())
    content["people"][0] |= changes
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "[" * 100_000, '{"version": 1}', '{"version": 2, "people": []}',
        '{"version": 1, "people": [1]}',
        person(key="00"), person(key="zz" * 32), person(key="AA" * 32), person(key=None), person(name=""),
        person(name="x" * 41), person(name="a\nb"), person(name=7), person(first="yesterday"), person(last=None),
        person(calls=0), person(calls=True), person(calls="3"), person(compared=1), person(more=1),
    ],
)  # fmt: skip
def test_damage_is_noticed(text: str) -> None:
    with pytest.raises(Damaged):
        Contacts.from_json(text)


@given(st.text(max_size=40))
def test_names_are_refused_or_can_be_shown(name: str) -> None:
    try:
        check_name(name)
    except ValueError:
        return
    assert name.isprintable() and name.strip()
    assert met(ANNA, name=name).meet(ANNA, name, TUESDAY).text.startswith(f"this is {name},")
