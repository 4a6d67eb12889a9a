"""How a benchmark's command ends."""

from __future__ import annotations

import pytest

from benchmarks.command import command


def ended(error: BaseException | None) -> int:
    """Exit status of a command in which this happens."""

    @command("weighing", ValueError, OSError)
    def main(raised: BaseException | None) -> None:
        """Weighs."""
        if raised is not None:
            raise raised

    assert main.__doc__ == "Weighs."
    return main(error)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (None, 0, ""),
        (ValueError("too heavy"), 1, "python -m benchmarks.weighing: too heavy\n"),
        (FileNotFoundError("no scales"), 1, "python -m benchmarks.weighing: no scales\n"),
        (KeyboardInterrupt(), 130, "\npython -m benchmarks.weighing: interrupted\n"),
        (KeyboardInterrupt("half is weighed"), 130, "\npython -m benchmarks.weighing: half is weighed\n"),
    ],
)
def test_a_sentence_and_a_status(
    error: BaseException | None, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == status
    assert capsys.readouterr().err == said


def test_a_bug_goes_through() -> None:
    with pytest.raises(KeyError):
        ended(KeyError("a bug"))
