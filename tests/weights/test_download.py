from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, cut, other, page, ranged, redirect, status, unmeasured, whole

from weights import transfer
from weights.download import download
from weights.errors import WeightsError
from weights.transfer import CutOff, Wanted

CONTENT = bytes(range(256)) * 40
KNOWN = Wanted(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
UNKNOWN = Wanted(None, None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(CONTENT) as server:
        yield server


class Listener:
    """What was said, and how long was waited."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.waits: list[float] = []


@pytest.fixture
def heard() -> Listener:
    return Listener()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "esrgan.part"


def get(part: Path, heard: Listener, *urls: str, wanted: Wanted = KNOWN) -> bytes:
    arrived = download(urls, part, wanted, heard.said.append, heard.waits.append)
    assert arrived.sha256 == hashlib.sha256(part.read_bytes()).hexdigest()
    return part.read_bytes()


def test_a_file_comes_whole(server: FileServer, part: Path, heard: Listener) -> None:
    assert get(part, heard, server.url()) == CONTENT
    assert server.ranges() == [None]
    assert heard.said == []


def test_a_transfer_that_is_cut_off_goes_on_where_it_stopped(server: FileServer, part: Path, heard: Listener) -> None:
    server.answers.append(cut(3000))
    assert get(part, heard, server.url()) == CONTENT
    assert server.ranges() == [None, "bytes=3000-"]
    assert server.requests[1][1]["If-Range"]
    assert "3000 of 10240" in heard.said[0]
    assert heard.waits == [1.0]


def test_a_server_without_ranges_starts_again(server: FileServer, part: Path, heard: Listener) -> None:
    server.answers.extend([cut(3000), whole])
    assert get(part, heard, server.url()) == CONTENT
    assert server.ranges() == [None, "bytes=3000-"]


def test_an_answer_with_another_part_than_asked_for_is_refused(
    server: FileServer, part: Path, heard: Listener
) -> None:  # fmt: skip
    server.answers.append(cut(3000))
    server.always = lambda handler, content: handler.head(
        206, Content_Length=0, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}"
    )
    with pytest.raises(WeightsError, match="another part"):
        get(part, heard, server.url())


def test_what_an_interrupted_download_left_is_used(server: FileServer, part: Path, heard: Listener) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    server.answers.append(cut(5000))
    with pytest.raises(KeyboardInterrupt):
        download((server.url(),), part, KNOWN, heard.said.append, interrupt)
    assert part.read_bytes() == CONTENT[:5000]
    assert get(part, heard, server.url()) == CONTENT
    assert server.ranges() == [None, "bytes=5000-"]


def test_a_part_of_another_file_costs_a_second_download_only(
    server: FileServer, part: Path, heard: Listener
) -> None:  # fmt: skip
    part.write_bytes(b"x" * 4000)
    assert get(part, heard, server.url()) == CONTENT
    assert server.ranges() == ["bytes=4000-", None]
    assert "SHA-256" in heard.said[0]


def test_a_part_that_is_longer_than_the_file_is_dropped(server: FileServer, part: Path, heard: Listener) -> None:
    part.write_bytes(b"x" * (len(CONTENT) + 1))
    assert get(part, heard, server.url()) == CONTENT
    assert server.ranges() == [None]


def test_a_part_that_is_whole_asks_nobody(server: FileServer, part: Path, heard: Listener) -> None:
    part.write_bytes(CONTENT)
    assert get(part, heard, server.url()) == CONTENT
    assert server.requests == []


def test_without_a_known_sum_a_part_from_elsewhere_is_dropped(
    server: FileServer, part: Path, heard: Listener
) -> None:  # fmt: skip
    server.answers.append(cut(3000))
    with pytest.raises(CutOff):
        transfer.transfer(server.url("/one"), part, UNKNOWN)
    assert get(part, heard, server.url("/two"), wanted=UNKNOWN) == CONTENT
    assert server.ranges() == [None, None]


def test_without_a_known_sum_a_file_that_changed_meanwhile_starts_again(
    server: FileServer, part: Path, heard: Listener
) -> None:
    server.answers.append(cut(3000))
    with pytest.raises(CutOff):
        transfer.transfer(server.url(), part, UNKNOWN)
    server.content = changed = CONTENT[::-1]
    assert get(part, heard, server.url(), wanted=UNKNOWN) == changed
    assert server.ranges() == [None, "bytes=3000-"]


def test_the_end_is_known_though_the_size_is_not(server: FileServer, part: Path, heard: Listener) -> None:
    get(part, heard, server.url(), wanted=UNKNOWN)
    assert get(part, heard, server.url(), wanted=UNKNOWN) == CONTENT
    assert server.ranges() == [None, f"bytes={len(CONTENT)}-"]


def test_wrong_bytes_are_refused_and_the_next_address_is_asked(
    server: FileServer, part: Path, heard: Listener
) -> None:  # fmt: skip
    server.answers.append(other(CONTENT[::-1]))
    assert get(part, heard, server.url("/bad"), server.url("/good")) == CONTENT
    assert [path for path, _ in server.requests] == ["/bad", "/good"]
    assert KNOWN.sha256 is not None and KNOWN.sha256 in heard.said[0]
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in heard.said[0]


def test_a_file_that_is_wrong_everywhere_leaves_nothing(server: FileServer, part: Path, heard: Listener) -> None:
    server.always = other(CONTENT[::-1])
    with pytest.raises(WeightsError, match="no address gave the file"):
        get(part, heard, server.url("/one"), server.url("/two"))
    assert not part.exists()


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"])
def test_another_size_than_expected_is_refused_before_it_comes(
    content: bytes, server: FileServer, part: Path, heard: Listener
) -> None:
    server.always = other(content)
    with pytest.raises(WeightsError, match=f"{len(content)} bytes, expected {len(CONTENT)}"):
        get(part, heard, server.url())
    assert not part.exists()


def test_a_stream_without_end_stops_at_the_expected_size(server: FileServer, part: Path, heard: Listener) -> None:
    server.always = unmeasured(CONTENT * 1000)
    with pytest.raises(WeightsError, match="more than 10240 bytes"):
        get(part, heard, server.url())
    assert part.stat().st_size <= len(CONTENT)


def test_a_file_of_unknown_size_is_bounded(
    server: FileServer, part: Path, heard: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "LARGEST", 1000)
    for answer in (whole, unmeasured(CONTENT)):
        server.always = answer
        with pytest.raises(WeightsError, match=r"at most 1 KB are accepted|more than 1000 bytes"):
            get(part, heard, server.url(), wanted=UNKNOWN)


def test_a_web_page_is_not_taken_for_the_file(server: FileServer, part: Path, heard: Listener) -> None:
    server.always = page
    with pytest.raises(WeightsError, match="a web page instead of the file"):
        get(part, heard, server.url(), wanted=UNKNOWN)
    assert not part.exists()


def test_a_missing_file_is_looked_for_at_the_next_address(server: FileServer, part: Path, heard: Listener) -> None:
    server.answers.append(status(404))
    assert get(part, heard, server.url("/gone"), server.url("/here")) == CONTENT
    assert "404" in heard.said[0]
    assert heard.waits == []


def test_a_busy_server_is_asked_again(server: FileServer, part: Path, heard: Listener) -> None:
    server.answers.extend([status(500), status(503)])
    assert get(part, heard, server.url()) == CONTENT
    assert heard.waits == [1.0, 2.0]


def test_a_server_that_stays_busy_is_given_up(server: FileServer, part: Path, heard: Listener) -> None:
    server.always = status(500)
    with pytest.raises(WeightsError, match="status 500, 5 times in a row"):
        get(part, heard, server.url())
    assert heard.waits == [1.0, 2.0, 4.0, 8.0]


def test_transfers_that_bring_much_are_not_counted_as_failures(
    server: FileServer, part: Path, heard: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weights.download._PROGRESS", 1000)

    def stingy(handler: object, content: bytes) -> None:
        ranged_start = server.ranges()[-1]
        start = int(ranged_start[6:-1]) if ranged_start else 0
        handler.head(  # type: ignore[attr-defined]
            206 if start else 200, Content_Length=len(content) - start, ETag='"a"',
            **({"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}),
        )  # fmt: skip
        handler.wfile.write(content[start : start + 1024])  # type: ignore[attr-defined]

    server.always = stingy
    assert get(part, heard, server.url()) == CONTENT
    assert len(server.requests) == 10
    assert set(heard.waits) == {1.0}


def test_redirects_are_followed(server: FileServer, part: Path, heard: Listener) -> None:
    server.answers.extend([redirect(server.url("/elsewhere")), ranged])
    assert get(part, heard, server.url()) == CONTENT


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_to_other_schemes_are_refused(to: str, server: FileServer, part: Path, heard: Listener) -> None:
    server.always = redirect(to)
    with pytest.raises(WeightsError, match="it leads to an address that is"):
        get(part, heard, server.url())
    assert not part.exists()


def test_redirects_in_a_circle_end(server: FileServer, part: Path, heard: Listener) -> None:
    server.always = redirect(server.url("/again"))
    with pytest.raises(WeightsError, match="it leads to an address that is not allowed, or nowhere"):
        get(part, heard, server.url())


def test_nobody_listens(part: Path, heard: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(CONTENT) as server:
        url = server.url()
    with pytest.raises(WeightsError, match="no answer"):
        get(part, heard, url)


def test_a_file_address_is_checked_like_any_other(tmp_path: Path, part: Path, heard: Listener) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[:-1])
    urls = (bad.as_uri(), (tmp_path / "none").as_uri(), good.as_uri())
    assert download(urls, part, KNOWN, heard.said.append).path == good
    assert "expected 10240" in heard.said[0]
    assert "no such file" in heard.said[1]
