"""Whatever goes wrong: one paragraph, an exit code, no traceback unless asked for."""

import errno

import pytest

from secateur.cli import listing, refusals
from secateur.cli import run as run_command
from secateur.errors import ChipError, FileError, SettingError

WRONG = [
    (("run",), "No task was named"),
    (("run", "digitz"), "Did you mean 'digits'"),
    (("recipe", "digitz"), "Did you mean 'digits'"),
    (("run", "digits", "--arm", "prunde"), "Did you mean 'pruned'"),
    (("run", "digits", "--set", "chip.formin=full"), "Did you mean 'chip.forming'"),
    (("run", "digits", "--set", "chip.forming=hlaf"), "chip.forming"),
    (("run", "digits", "--set", "training.epochs=many"), "training.epochs"),
    (("run", "digits", "--set", "training.epochs"), "path=value"),
    (("run", "digits", "--chips", "0"), "run.chips"),
    (("run", "digits", "--split", "tset"), "run.split"),
    (("run", "digits", "--epochs", "2", "--set", "training.epochs=3"), "set twice"),
    (("run", "--resume"), "--out"),
    (("technologies", "taox-40mn"), "Did you mean 'taox-40nm'"),
]
UNREADABLE = [
    (("run", "digits", "--recipe", "missing.toml"), "missing.toml"),
    (("run", "--resume", "--out", "missing"), "no run to resume"),
    (("report", "missing"), "record.json"),
    (("technologies", "missing.toml"), "missing.toml"),
]


def _is_one_paragraph(text: str) -> bool:
    return text.startswith("secateur: ") and text.count("\n") == 1 and text.endswith("\n")


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [(*case, 2) for case in WRONG] + [(*case, 1) for case in UNREADABLE],
)
def test_bad_input_is_refused_in_one_paragraph(secateur, empty, words, message, code):
    result = secateur(*words)
    assert result.exit_code == code
    assert message in result.stderr
    assert _is_one_paragraph(result.stderr)
    assert result.stdout == ""
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("recipe", "digitz", "--debug"), ("--debug", "recipe", "digitz")]
)
def test_debug_shows_the_traceback_and_keeps_message_and_code(secateur, words):
    result = secateur(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback (most recent call last)")
    assert _is_one_paragraph(result.stderr[result.stderr.index("\nsecateur: ") + 1 :])


@pytest.mark.parametrize("words", [("nonsense",), ("run", "digits", "--epochs", "x"), ("report",)])
def test_misuse_of_options_is_explained_by_the_parser(secateur, words):
    result = secateur(*words)
    assert result.exit_code == 2
    assert "Usage: secateur" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (SettingError("Too few", remedy="Give more"), "Too few. Give more.", 2),
        (ChipError("No macro left"), "No macro left.", 1),
        (FileError("Truncated", where="a.json"), "Truncated (a.json).", 1),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.json"),
            "The disk is full (a.json)",
            1,
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied (/x)", 1),
        (OSError("no library"), "no library", 1),
        (ZeroDivisionError("by zero"), "unexpected ZeroDivisionError: by zero", 1),
        (KeyboardInterrupt(), "Interrupted.", 130),
    ],
)
def test_every_kind_of_failure_has_its_words_and_its_code(error, message, code):
    said, found = refusals.refusal(error)
    assert message in said
    assert found == code


def test_a_full_disk_says_how_to_go_on():
    said, _ = refusals.refusal(OSError(errno.ENOSPC, "No space left on device"))
    assert "--resume" in said


def test_a_fault_of_ours_is_no_traceback_either(secateur, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("torn")

    monkeypatch.setattr(listing, "show", broken)
    result = secateur("tasks")
    assert result.exit_code == 1
    assert _is_one_paragraph(result.stderr)
    assert "unexpected RuntimeError: torn" in result.stderr
    assert "--debug" in result.stderr


def test_messages_are_printed_as_they_are(capsys):
    refusals.say("a [bold]bracket[/] and :warning: " + "long " * 100)
    assert "a [bold]bracket[/] and :warning: long" in capsys.readouterr().err


@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupted_run_says_how_to_go_on_if_it_can(secateur, tmp_path, monkeypatch, begun):
    from secateur.experiment import runner

    def interrupted(recipe, out, **_):
        if begun:
            out.mkdir()
            (out / "recipe.toml").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_experiment", interrupted)
    result = secateur("run", "digits", "--out", tmp_path / "r")
    assert result.exit_code == 130
    assert result.stderr.startswith("secateur: Interrupted.")
    assert (f"secateur run --resume --out {tmp_path / 'r'}" in result.stderr) == begun


def test_the_default_directory_names_task_and_time():
    parent, name = run_command._new_directory("digits").parts
    assert parent == "runs"
    assert name.startswith("digits-20")
    assert len(name) == len("digits-20260101-120000")
