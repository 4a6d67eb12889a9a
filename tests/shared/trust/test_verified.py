from __future__ import annotations

import json
from pathlib import Path

import pytest
from trust_examples import HELLO, Person, Talker

from shared.call.loop import Outgoing
from shared.codec.control import Commitment, Reveal, pack_control, unpack_control
from shared.files import PrivateFileError
from shared.transport.link import Channel, Fingerprints
from shared.trust import identity as trust_module
from shared.trust.identity import PEOPLE_FILE
from shared.trust.verified import PATIENCE

SILENT = pack_control(Reveal(bytes(16)))


class Wire:
    """Between two people; everything arrives at once."""

    def __init__(
        self, folder: Path, who: str | None = None, identities: tuple[bool, bool] = (True, True), ben: str = "ben"
    ) -> None:
        """`who` is whom Anna expects; `ben`: the folder of who is there."""
        self.fingerprints = Fingerprints(b"a" * 32, b"b" * 32)
        self.anna = Person(folder / "anna", lambda: self.fingerprints, offerer=True, who=who, identity=identities[0])
        self.ben = Person(folder / ben, self.seen_by_ben, offerer=False, identity=identities[1])
        self.said: list[Outgoing] = []

    def seen_by_ben(self) -> Fingerprints:
        return Fingerprints(self.fingerprints.theirs, self.fingerprints.ours)

    def talk(self, now: float = 0.0) -> None:
        """Until nobody has anything to say."""
        while True:
            said = [(self.ben, each) for each in self.anna.verified.tick(now, 0)]
            said += [(self.anna, each) for each in self.ben.verified.tick(now, 0)]
            if not said:
                return
            for person, (channel, data) in said:
                self.said.append((channel, data))
                person.verified.receive(channel, data, now)

    def reconnect(self, number: int = 1) -> None:
        self.fingerprints = Fingerprints(bytes([number]) * 32, bytes([number + 100]) * 32)


def test_both_are_told_the_same_words(tmp_path: Path) -> None:
    wire = Wire(tmp_path)
    wire.talk()
    anna, ben = wire.anna.verified, wire.ben.verified
    assert anna.words is not None and anna.words == ben.words
    for person in (wire.anna, wire.ben):
        assert person.told[0].startswith(f"read these four words to each other: {' '.join(anna.words)}. If the other")
        assert person.told[1].startswith("a new key")
        assert person.verified.banner == (f"words: {' '.join(anna.words)}",)
        assert person.verified.warnings == ()
    assert json.loads(json.dumps(anna.state())) == {"words": list(anna.words), "compared": False, "warnings": []}


def test_only_what_is_not_of_the_half_is_kept_from_it(tmp_path: Path) -> None:
    wire = Wire(tmp_path)
    wire.talk()
    assert wire.anna.half.heard == wire.ben.half.heard == [(channel, HELLO) for channel in Channel]
    for channel, data in ((Channel.MOTION, SILENT), (Channel.CONTROL, b"\xc1"), (Channel.CONTROL, b"")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Talker, "receive", lambda half, channel, data, now: half.heard.append((channel, data)))
            wire.ben.verified.receive(channel, data, 1.0)
        assert wire.ben.half.heard[-1] == (channel, data)
    wire.ben.verified.receive(Channel.CONTROL, SILENT, 1.0)
    assert wire.ben.half.heard[-1] == (Channel.CONTROL, b"")
    assert wire.ben.verified.finish("the end", 2.0) == wire.ben.half.finish("the end", 2.0)
    wire.ben.half.peer_bye = "gone"
    assert wire.ben.verified.peer_bye == "gone"


def test_without_encryption_nothing_is_said(tmp_path: Path) -> None:
    person = Person(tmp_path, lambda: None, offerer=True)
    assert person.verified.tick(0.0, 0) == [(channel, HELLO) for channel in Channel]
    assert person.verified.tick(10 * PATIENCE, 0) == []
    assert person.told == [] and person.verified.banner == ()


@pytest.mark.parametrize("offerer", [True, False])
def test_a_side_that_gives_no_words_is_told_about_once(tmp_path: Path, offerer: bool) -> None:
    person = Person(tmp_path, lambda: Fingerprints(b"a" * 32, b"b" * 32), offerer=offerer)
    person.verified.tick(5.0, 0)
    person.verified.tick(5.0 + 0.9 * PATIENCE, 0)
    assert person.told == []
    for _ in range(2):
        person.verified.tick(5.0 + PATIENCE, 0)
        assert len(person.told) == 1 and person.told[0].startswith("no words came from the other side")


def test_people_are_recognised_in_the_next_call(tmp_path: Path) -> None:
    Wire(tmp_path, who="ben").talk()
    wire = Wire(tmp_path, who="ben")
    wire.talk()
    assert wire.anna.told[1] == "this is ben, known from 3 November (1 call)"
    assert wire.ben.told[1].startswith("this is the same person")


def test_another_key_is_shouted_about_and_stays_on_the_screen(tmp_path: Path) -> None:
    Wire(tmp_path, who="ben").talk()
    wire = Wire(tmp_path, who="ben", ben="eve")
    wire.talk()
    assert wire.anna.told[0].startswith("WARNING: the key of ben has changed")
    assert wire.anna.verified.words is not None
    words = f"words: {' '.join(wire.anna.verified.words)}"
    assert wire.anna.verified.banner == ("WARNING: the key of ben has changed", words)
    wire.anna.verified.compare()
    assert wire.anna.verified.banner == ("WARNING: the key of ben has changed",)


def test_compared_words_are_remembered(tmp_path: Path) -> None:
    wire = Wire(tmp_path)
    wire.anna.verified.compare()  # too early
    assert wire.anna.told == []
    wire.talk()
    for _ in range(2):
        wire.anna.verified.compare()
    assert wire.anna.told[2:] == ["the words were compared: nobody sits between"]
    assert wire.anna.verified.banner == () and wire.anna.verified.compared
    again = Wire(tmp_path)
    again.talk()
    assert again.anna.told[1].endswith("(1 call, words compared)")
    assert again.anna.told[0].startswith("the words of this call:")
    assert again.anna.verified.banner == () != again.ben.verified.banner


def test_a_folder_that_cannot_be_written_does_not_end_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise PrivateFileError(f"{path} cannot be written: no space left")

    wire = Wire(tmp_path)
    monkeypatch.setattr(trust_module, "write_private", full)
    wire.talk()
    assert wire.anna.told[1].startswith("nobody is recognised") and PEOPLE_FILE in wire.anna.told[1]
    assert wire.anna.verified.words == wire.ben.verified.words is not None


def test_the_same_person_over_another_connection_is_not_asked_about(tmp_path: Path) -> None:
    wire = Wire(tmp_path)
    wire.talk()
    wire.anna.verified.compare()
    told, before = len(wire.anna.told), wire.anna.verified.words
    wire.reconnect()
    wire.talk(1.0)
    assert wire.anna.verified.words == wire.ben.verified.words not in (None, before)
    assert len(wire.anna.told) == told and wire.anna.verified.compared
    known = json.loads((tmp_path / "anna" / PEOPLE_FILE).read_text())["people"]
    assert [each["calls"] for each in known] == [1]


@pytest.mark.parametrize("other", [True, False])
def test_another_key_over_another_connection_is_shouted_about(tmp_path: Path, other: bool) -> None:
    wire = Wire(tmp_path)
    wire.talk()
    wire.anna.verified.compare()
    wire.ben = Person(tmp_path / "eve", wire.seen_by_ben, offerer=False, identity=other)
    for number in (1, 2, 3):
        wire.reconnect(number)
        wire.talk()
        assert wire.anna.told[-2].startswith("WARNING: the connection was made anew by somebody with another key")
        assert len(wire.anna.verified.warnings) == 1
        assert not wire.anna.verified.compared


def test_without_identities_the_words_are_asked_for_again(tmp_path: Path) -> None:
    wire = Wire(tmp_path, identities=(False, False))
    wire.talk()
    wire.anna.verified.compare()
    wire.reconnect()
    wire.talk()
    assert wire.anna.verified.warnings == () and not wire.anna.verified.compared
    assert wire.anna.told[-1].startswith("read these four words to each other:")


def test_a_connection_that_ends_before_the_words_are_known_leaves_nothing_behind(tmp_path: Path) -> None:
    wire = Wire(tmp_path)
    wire.anna.verified.tick(0.0, 0)  # its commitment is lost
    wire.ben.verified.tick(0.0, 0)
    wire.reconnect()
    wire.talk(1.0)
    assert wire.anna.verified.words == wire.ben.verified.words is not None
    assert sum(isinstance(unpack_control(data), Commitment) for channel, data in wire.said) == 1


def test_tampering_is_shouted_about_and_gives_no_words(tmp_path: Path) -> None:
    wire = Wire(tmp_path)
    wire.ben.verified.receive(Channel.CONTROL, SILENT, 0.0)
    wire.talk()
    assert wire.ben.told[0].startswith("WARNING: somebody is tampering with this call")
    assert wire.ben.alarmed and wire.ben.verified.banner == ("WARNING: somebody is tampering with this call",)
    assert wire.ben.verified.state()["words"] == []
