"""Progress: throttled lines without a terminal, a bar with one; resumed epochs count."""

import io

from rich.console import Console

from secateur.cli.watching import SECONDS_BETWEEN_LINES, Bar, Lines


def line(epoch: int, *, chip: int = 0, split: str = "test") -> dict:
    return {
        "arm": "pruned", "variant": "chip.forming=ramp", "chip": chip, "split": split,
        "epoch": epoch, "epochs": 4, "train_loss": 0.51249, "train_accuracy": 0.875, "flips": 1234,
    }  # fmt: skip


def result(*, chip: int = 0, part: str = "test") -> dict:
    return {
        "arm": "pruned", "variant": "", "chip": chip, "part": part,
        "figures": {"accuracy": 0.9125, "loss": 0.3}, "history": [{}] * 4,
    }  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_are_throttled_but_trials_are_all_told():
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.begin(8)
    lines.notice("No worker is left.")
    for epoch in range(1, 5):
        lines.epoch(line(epoch))
    lines.trial({**result(), "variant": "chip.forming=ramp"})
    clock.now = SECONDS_BETWEEN_LINES
    lines.epoch(line(1, chip=1))
    lines.epoch(line(2, chip=1))
    lines.trial({**result(chip=1), "variant": "chip.forming=ramp"})
    lines.end()
    assert stream.getvalue().splitlines() == [
        "8 epochs in all",
        "No worker is left.",
        "[4/8] pruned, chip.forming=ramp, chip 0: test accuracy 91.25 %",
        "[5/8] pruned, chip.forming=ramp, chip 1, epoch 1/4: loss 0.512, "
        "training accuracy 87.50 %, 1 234 flips",
        "[8/8] pruned, chip.forming=ramp, chip 1: test accuracy 91.25 %",
    ]


def test_epochs_of_an_earlier_session_count_as_done():
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.begin(12)
    lines.trial(result())  # finished before: no epoch is told
    lines.trial(result(part="validation"))
    clock.now = SECONDS_BETWEEN_LINES
    lines.epoch(line(3, chip=1))  # goes on from its checkpoint
    assert [text.split()[0] for text in stream.getvalue().splitlines()[1:]] == [
        "[4/12]", "[8/12]", "[11/12]",
    ]  # fmt: skip


def test_arms_without_flips_say_nothing_of_them():
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    clock.now = SECONDS_BETWEEN_LINES
    lines.epoch({key: value for key, value in line(1).items() if key != "flips"})
    assert "flips" not in stream.getvalue()


def test_the_bar_moves_and_shows_the_latest_metrics():
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=200, color_system=None))
    bar.begin(8)
    bar.epoch(line(3))
    bar.trial(result(chip=1))
    bar.notice("No worker is left at [::1]:8786.")
    bar.end()
    bar.end()
    shown = stream.getvalue()
    assert "pruned, chip 1: test accuracy 91.25 %" in shown
    assert "No worker is left at [::1]:8786." in shown
    assert "7/8" in shown
    assert "loss 0.512" in shown
