from __future__ import annotations

import base64
import contextlib
import json
import re
import textwrap
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.signalling import pasting
from shared.signalling.pasting import BODY_LIMIT, WIDTH, Kind, Unreadable, find_text, read_text, text_name, write_text

SDP = (
    "v=0\r\no=- 3991 3991 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic:WMS *\r\n"
    "m=application 53667 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.0.2.2\r\na=mid:0\r\na=sctp-port:5000\r\n"
    "a=max-message-size:262144\r\na=candidate:f957a2332b1715da3b0ef8ba684454eb 1 udp 2130706431 192.0.2.2 53667 typ "
    "host\r\na=end-of-candidates\r\na=ice-ufrag:ANrH\r\na=ice-pwd:uazlFazixlHNpdntuBu1S5\r\n"
    "a=fingerprint:sha-256 1B:69:DE:04:A1:6A:94:30:06:CE:AB:1C:52:08:FD:9A:D9:67:52:B0:4F:3F:4C:88:BE:44:21:B8:26:E1:EE"
    ":84\r\na=fingerprint:sha-384 75:7D:99\r\na=fingerprint:sha-512 D4:08:49\r\na=setup:actpass\r\n"
)
BODY = json.dumps({"hello": {"engine": "compact"}, "sdp": SDP}, separators=(",", ":")).encode()
OFFER = write_text("offer", BODY)

GOLDEN = """\
[pinhole offer 1: hORCFMOXINBjQ6kWAA==]
"""
"""What was written once must be read for as long as the version is 1."""


def packed(kind: Kind, deflated: bytes) -> str:
    """A text whose checksum is right, whatever is in it."""
    return f"[pinhole {kind} 1: {base64.b64encode(pasting._check(kind, deflated) + deflated).decode()}]"


def test_an_offer_comes_back_but_for_fingerprints_that_are_not_needed() -> None:
    text = read_text("offer", OFFER)
    sdp = json.loads(text.body)["sdp"]
    assert sdp == re.sub(r"a=fingerprint:sha-(384|512) .*\r\n", "", SDP)
    assert text.name == text_name(OFFER)


def test_texts_are_short_and_keep_to_the_width() -> None:
    assert len(OFFER) < 400 < len(BODY)
    assert max(map(len, OFFER.splitlines())) <= WIDTH


def test_an_answer_names_its_offer() -> None:
    answer = write_text("answer", BODY, to=text_name(OFFER))
    assert json.loads(read_text("answer", answer, to=text_name(OFFER)).body)["hello"] == {"engine": "compact"}
    with pytest.raises(Unreadable, match="answers another offer"):
        read_text("answer", answer, to=b"\0\0\0\0")


@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: text.replace("\n", " "),
        lambda text: text.replace("\n", ""),
        lambda text: "\r\n".join(textwrap.wrap(text, 20)),
        lambda text: "\n\n".join(textwrap.wrap(text, 50)),
        lambda text: "Hello!\n> " + text.replace("\n", "\n> ") + "\n> Bye",
        lambda text: text.replace("\n", "\u00a0\u200b\n"),
        lambda text: "[not this] [pinhole offer 1: " + text + " [and not this]",
        lambda text: text.replace("[pinhole offer 1:", "[ Pinhole\n Offer\t1 :"),
    ],
)
def test_what_chats_and_mails_do_to_a_text(mangle: object) -> None:
    found = find_text(mangle(OFFER))  # type: ignore[operator]
    assert found is not None
    assert read_text("offer", found).body == read_text("offer", OFFER).body


@pytest.mark.parametrize(
    "part", ["", "hello", OFFER[:-1], OFFER[1:], "[pinhole offer : abc]", "[pinhole guess 1: abc]"]
)
def test_what_holds_no_text(part: str) -> None:
    assert find_text(part) is None


def test_the_last_of_several_counts() -> None:
    newer = write_text("offer", b'{"newer":1}')
    found = find_text(OFFER + "\n" + newer)
    assert found == newer


def test_one_changed_character_is_noticed() -> None:
    start = OFFER.index(":") + 1
    for place in range(start, len(OFFER) - 1, 7):
        other = "A" if OFFER[place] != "A" else "B"
        with pytest.raises(Unreadable, match="damaged on its way"):
            read_text("offer", OFFER[:place] + other + OFFER[place + 1 :])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nothing", "not a whole Pinhole text"),
        (OFFER.replace(" 1:", " 12:"), "version 12, this side reads 1: update the older"),
        (OFFER.replace("offer", "answer"), "this is an answer, but the offer of the other side is wanted"),
        ("[pinhole offer 1: ]", "damaged"),
        ("[pinhole offer 1: ====]", "damaged"),
        (OFFER.replace("]", "A]"), "damaged"),
        (packed("offer", b"\xff\xff\xff"), "not from Pinhole"),
        (packed("offer", b"\x4b"), "not from Pinhole"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(Unreadable, match=sentence):
        read_text("offer", text)


def test_a_bomb_does_not_go_off() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(50_000_000)) + deflate.flush()
    text = packed("offer", bomb)
    assert len(text) < pasting.TEXT_LIMIT
    with pytest.raises(Unreadable, match=f"more than {BODY_LIMIT} bytes"):
        read_text("offer", text)


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_with_a_right_checksum_are_read_or_refused(deflated: bytes) -> None:
    with contextlib.suppress(Unreadable):
        assert len(read_text("offer", packed("offer", deflated)).body) <= BODY_LIMIT


@given(st.binary(max_size=2000))
def test_any_body_comes_back(body: bytes) -> None:
    assert read_text("answer", write_text("answer", body, to=b"1234"), to=b"1234").body == body


def test_golden_text_is_still_read() -> None:
    assert json.loads(read_text("offer", GOLDEN.strip()).body) == {"hello": {"engine": "compact"}, "sdp": "v=0\r\n"}
