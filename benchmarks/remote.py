"""A pruned training step on a served board against the same step in one process.

    python -m benchmarks.remote [--rounds N] [--folder DIR] [--json]

Network and settings as in `benchmarks.step`: the Fashion-MNIST one (62 272 weights), batch 60,
masks updated at every fourth step with a dead band of 0.1, 4-bit inputs. The board is another
process on this machine, reached over the loopback; it computes every forward product. Three files
are durable before a pulse is sent or told of: the journal, the model's state, the board's. The
variants take steps in turn in blocks of ten on the same batches; what counts is the ratio of each
block to its neighbour in one process, with fresh noise for every product ("read-per-product") and
with one read a step ("read-per-step").
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.step import BATCH, BLOCK, channels_last, images, pruned, record, stepper
from secateur import ReadPerProduct, ReadPerStep, SimulatedChip, TopK, prune_
from secateur.chip import Journal, JournaledChip
from secateur.chip.board import Board
from secateur.chip.link import Link
from secateur.chip.remote import RemoteChip
from secateur.chip.server import Server
from secateur.experiment.training import keep_freed_memory
from secateur.files import write_atomically
from secateur.network import is_due, pack, write_tensors

USUAL: dict[str, Any] = {"dead_band": 0.1, "interval": 4}


def serve(folder: str, addresses: Any) -> None:
    """The board's process."""
    torch.set_num_threads(1)
    keep_freed_memory()
    board = Board(lambda: SimulatedChip("taox-40nm", seed=0), Path(folder) / "board.sqlite")
    server = Server(lambda: board.chip, board, serial=board.serial, address="tcp://127.0.0.1:*")
    addresses.put(server.address)
    server.run()


@contextmanager
def board_process(folder: Path) -> Iterator[str]:
    """The address of a board in another process."""
    context = multiprocessing.get_context("spawn")
    addresses = context.Queue()
    process = context.Process(target=serve, args=(str(folder), addresses), daemon=True)
    process.start()
    try:
        yield addresses.get(timeout=120)
    finally:
        process.kill()
        process.join()


def on_board(chip: JournaledChip) -> nn.Module:
    """The network on a board that multiplies."""
    return prune_(
        channels_last(), chip, rule=TopK(dead_band=USUAL["dead_band"]),
        interval=USUAL["interval"], circuit=ReadPerProduct(), input_bits=4,
    )  # fmt: skip


def safely(
    model: nn.Module, path: Path, spent: dict[str, float]
) -> Callable[[Tensor, Tensor], None]:
    """A step that saves the model's state before it sends pulses, as a run does."""
    step = stepper(model)

    def whole(inputs: Tensor, targets: Tensor) -> None:
        if is_due(model):
            begin = time.perf_counter()
            write_tensors(path, *pack(model))
            spent["the model's state, written"] += time.perf_counter() - begin
        step(inputs, targets)

    return whole


def watch(spent: dict[str, float]) -> None:
    """Adds up what the client's parts take."""
    for owner, name, words in (
        (Journal, "begin", "the journal, written"),
        (Link, "wait", "waiting for the board"),
        (Link, "ask", "sending"),
    ):
        original = getattr(owner, name)

        def timed(*args: Any, original: Any = original, words: str = words, **more: Any) -> Any:
            begin = time.perf_counter()
            try:
                return original(*args, **more)
            finally:
                spent[words] += time.perf_counter() - begin

        setattr(owner, name, timed)


def main() -> None:
    """Prints milliseconds per step, ratios, and where the time on the board goes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where the durable files lie")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    parts = ("the model's state, written", "the journal, written", "waiting for the board",
             "sending")  # fmt: skip
    spent = dict.fromkeys(parts, 0.0)
    with TemporaryDirectory(dir=options.folder) as name, board_process(Path(name)) as address:
        folder = Path(name)
        chip = JournaledChip(RemoteChip(address), Journal(folder / "journal.sqlite"))
        model = on_board(chip)
        watch(spent)
        models = {
            "one process, read per product": stepper(pruned(ReadPerProduct(), **USUAL)),
            "one process, read per step": stepper(pruned(ReadPerStep(), **USUAL)),
            "on a board": safely(model, folder / "state.safetensors", spent),
        }
        times, steps = measure(models, options.rounds, spent)
        sync = synchronisation(folder)
        chip.close()
    rows = rows_of(times)
    share = {part: 1e3 * seconds / steps for part, seconds in spent.items()}
    share["all else: the digital part"] = rows["on a board"]["ms"] - sum(share.values())
    if options.json:
        kept = record(rows, command="python -m benchmarks.remote --json")
        print(json.dumps({**kept, "kind": "remote", "spent": share, "sync_ms": sync}, indent=1))
        return
    for words, row in rows.items():
        ratios = ", ".join(f"x {row[key]:.2f} of {key}" for key in row if key != "ms")
        print(f"{words:32s} {row['ms']:7.2f} ms   {ratios}")
    for words, ms in share.items():
        print(f"  {words:30s} {ms:7.2f} ms")
    print(f"  (a small file made durable here: {sync:.1f} ms)")


def measure(
    models: dict[str, Callable[[Tensor, Tensor], None]], rounds: int, spent: dict[str, float]
) -> tuple[dict[str, list[float]], int]:
    """Milliseconds per step of every block, the models taking turns; two rounds warm up."""
    inputs, targets = images(6000)
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 2):
        if number == 2:
            spent.update(dict.fromkeys(spent, 0.0))
        batches = [((number * BLOCK + n) * BATCH) % (len(targets) - BATCH) for n in range(BLOCK)]
        for name, step in models.items():
            begin = time.perf_counter()
            for first in batches:
                step(inputs[first : first + BATCH], targets[first : first + BATCH])
            if number >= 2:
                times[name].append((time.perf_counter() - begin) / BLOCK * 1e3)
    return times, rounds * BLOCK


def rows_of(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians, and medians of the ratios to either step in one process."""
    rows: dict[str, dict[str, float]] = {}
    bases = [name for name in times if name != "on a board"]
    for name, values in times.items():
        rows[name] = {"ms": statistics.median(values)}
        for base in bases if name == "on a board" else ():
            pairs = zip(values, times[base], strict=True)
            rows[name][base] = statistics.median([one / other for one, other in pairs])
    return rows


def synchronisation(folder: Path) -> float:
    """Milliseconds, median, until a small file is on the disk."""
    found = []
    for _ in range(20):
        begin = time.perf_counter()
        write_atomically(folder / "probe", b"x" * 1000)
        found.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(found)


if __name__ == "__main__":
    main()
