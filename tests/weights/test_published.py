from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.models.esrgan_layouts import FILE
from shared.models.vox256.convert import NAMES, basis_file, generator_file, motion_file
from weights.errors import WeightsError
from weights.published import parse, published, safe_file, safe_url

ENTRY: dict[str, Any] = {
    "purpose": "p", "file": "a.pth", "kind": "esrgan", "gives": ["a.safetensors"], "licence": "Apache-2.0",
    "non_commercial": False, "page": "https://example.org/a", "urls": ["https://example.org/a.pth"],
    "sha256": "0" * 64, "bytes": 10, "note": "",
}  # fmt: skip


def written(**changes: Any) -> str:
    return json.dumps({"a": ENTRY | changes})


def test_our_catalogue_is_of_the_form_that_users_files_must_have() -> None:
    entries = published()
    assert set(entries) == {"vox256", "adasr", "esrgan", "realesrgan"}
    for entry in entries.values():
        assert entry.page.startswith("https://")
        assert all(url.startswith("https://") for url in entry.urls)
        assert (entry.sha256 is None) == (entry.size is None) == (not entry.urls)


def test_only_what_needs_it_is_called_non_commercial() -> None:
    assert {name for name, entry in published().items() if entry.non_commercial} == {"vox256", "adasr"}


def test_our_catalogue_gives_what_the_engines_load() -> None:
    entries = published()
    for name in NAMES:
        assert set(entries[name].gives) == {motion_file(name), generator_file(name), basis_file(name)}
    assert entries["esrgan"].gives == (FILE,)


def test_every_field_arrives() -> None:
    entry = parse(written())["a"]
    assert (entry.name, entry.file, entry.gives) == ("a", "a.pth", ("a.safetensors",))
    assert (entry.urls, entry.sha256, entry.size) == (("https://example.org/a.pth",), "0" * 64, 10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purpose", ""), ("purpose", 3), ("purpose", "p" * 201), ("purpose", "two\nlines"), ("purpose", "\x1b[2J"),
        ("file", "../a.pth"), ("file", "/etc/passwd"), ("file", "a/b"), ("file", "a\\b"), ("file", ""), ("file", ".x"),
        ("file", None), ("file", "store.json"), ("file", "a.part"), ("file", "a" * 129), ("file", "a..b"),
        ("kind", "tensorflow"), ("kind", ["esrgan"]),
        ("gives", []), ("gives", "a.safetensors"), ("gives", ["../a.safetensors"]), ("gives", ["a"] * 17),
        ("licence", ""), ("licence", None), ("non_commercial", 1), ("non_commercial", "false"),
        ("page", "file:///a"), ("page", "javascript:1"), ("page", None),
        ("urls", "https://example.org"), ("urls", ["ftp://example.org/a"]), ("urls", ["https://x/" + "a" * 2000]),
        ("urls", ["https://example.org/a b"]), ("urls", ["https://"]), ("urls", ["http://[::1"]), ("urls", [1]),
        ("urls", ["https://example.org/\r\nHost: x"]), ("urls", ["https://example.org/"] * 17),
        ("sha256", "0" * 63), ("sha256", "G" * 64), ("sha256", 0), ("sha256", ["0" * 64]),
        ("bytes", 0), ("bytes", -1), ("bytes", True), ("bytes", 1.5), ("bytes", 10**12), ("bytes", "10"),
        ("note", None), ("note", "n" * 501), ("surprise", 1),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    with pytest.raises(WeightsError, match=f"entry a: '{field}'"):
        parse(written(**{field: value}))


@pytest.mark.parametrize("field", sorted(ENTRY))
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(WeightsError, match=f"entry a: '{field}' is missing"):
        parse(json.dumps({"a": {key: value for key, value in ENTRY.items() if key != field}}))


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"a"', '{"a": 1}', '{"A": {}}', '{"../a": {}}'])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(WeightsError, match="catalogue"):
        parse(text)


def test_too_large_a_catalogue_is_refused() -> None:
    with pytest.raises(WeightsError, match="at most 1000000 bytes"):
        parse(" " * 1_000_001)
    with pytest.raises(WeightsError, match="at most 256 entries"):
        parse(json.dumps({f"a{i}": ENTRY for i in range(257)}))


def test_a_users_catalogue_is_named_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(written())
    assert set(published(path)) == {"a"}
    path.write_text(written(bytes=0))
    with pytest.raises(WeightsError, match=r"mine\.json: .*'bytes'"):
        published(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match=r"mine\.json cannot be read"):
        published(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        published(tmp_path / "none.json")


def test_files_that_stay_in_their_folder() -> None:
    assert all(map(safe_file, ("a.safetensors", "RRDB_x4.pth", "0-1.tar")))
    assert not any(map(safe_file, ("..", "a/../b", "C:\\a", "a\x00", "a.", "-a", "ä", None, "a.new")))


def test_addresses_that_are_asked() -> None:
    assert all(map(safe_url, ("http://a/b", "https://a.org:443/b?c=d", "file:///a/b")))
    assert not any(map(safe_url, ("a/b", "ftp://a/b", "data:,x", "file:", "https:///a", "http://a\tb", b"http://a")))
