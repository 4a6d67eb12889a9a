from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.files import PrivateFileError, create_private, write_private
from shared.trust import identity as module
from shared.trust.identity import FILE_NAME, load_identity, usual_folder


def test_an_identity_lasts(tmp_path: Path) -> None:
    first, again = load_identity(tmp_path), load_identity(tmp_path)
    assert first.public == again.public != load_identity(tmp_path / "another").public
    key = Ed25519PublicKey.from_public_bytes(first.public)
    key.verify(again.sign(b"said"), b"said")
    with pytest.raises(InvalidSignature):
        key.verify(again.sign(b"said"), b"not said")


def test_two_calls_at_once_make_one_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = []

    def quicker(path: Path, data: bytes) -> bool:
        monkeypatch.setattr(module, "create_private", create_private)
        others.append(load_identity(path.parent))
        return create_private(path, data)

    monkeypatch.setattr(module, "create_private", quicker)
    assert load_identity(tmp_path).public == others[0].public


def another_key() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"\xff" * 100, another_key()])
def test_a_damaged_identity_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    write_private(path, content)
    with pytest.raises(PrivateFileError, match="is damaged and holds no key: restore it") as error:
        load_identity(tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_tests_have_a_folder_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert tmp_path_factory.getbasetemp() in usual_folder().parents
