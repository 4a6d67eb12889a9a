"""The options of HTTPS on the command lines, and a call by processes over HTTPS."""

from __future__ import annotations

from pathlib import Path

import pytest
from call_examples import Program
from certificate_examples import make_certificate

from receiver.__main__ import parse as parse_receiver
from sender.__main__ import parse as parse_sender
from shared.rendezvous.__main__ import parse as parse_rendezvous
from shared.trust.certificate import Https


def test_options_become_settings() -> None:
    here = Path("c.pem"), Path("k.pem"), Path("ca.pem")
    arguments = ["--certificate", "c.pem", "--key", "k.pem"]
    both = [*arguments, "--page", "--rendezvous", "https://h", "--ca", "ca.pem"]
    assert parse_receiver(both).receiving.https == Https(*here)
    assert parse_sender(["--peer", "https://h/join/t", "--ca", "ca.pem"]).sending.https == Https(authority=here[2])
    assert parse_rendezvous(arguments).https == Https(*here[:2])
    assert parse_receiver([]).receiving.https == Https()


@pytest.mark.parametrize("parse", [parse_receiver, parse_rendezvous])
@pytest.mark.parametrize("alone", ["--certificate", "--key"])
def test_a_certificate_needs_its_key(parse: object, alone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(parse)
    with pytest.raises(SystemExit):
        parse([alone, "file"])
    assert "--certificate and --key go together" in capsys.readouterr().err


@pytest.mark.slow
def test_a_call_over_https(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "localhost")
    home = ["--no-identity"]
    with Program("receiver", "--listen", "127.0.0.1:0", "--certificate", certificate, "--key", key, "--no-qr",
                 "--out", tmp_path / "call.mp4", *home) as receiver:  # fmt: skip
        url = receiver.join_url()
        assert url.startswith("https://localhost:")
        with Program("sender", "--peer", url, "--source", "sample", "--seconds", "2", *home) as stranger:
            code, error = stranger.end()
            assert code == 1 and "is not trusted" in error and "Traceback" not in error
        with Program("sender", "--peer", url, "--source", "sample", "--seconds", "2", "--ca", certificate,
                     *home) as sender:  # fmt: skip
            code, error = sender.end(120)
            assert code == 0, error
        code, error = receiver.end(120)
        assert code == 0, error
