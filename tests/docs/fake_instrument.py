"""A small fake of the bench instrument of docs/driver.md: lines in, lines out, cells inside."""

import re
import socket
import threading

import torch

from secateur.chip import Geometry, SimulatedChip
from secateur.chip.forming import Formable, Forming

_SIDE = 64
_COMMAND = re.compile(
    r"(?P<verb>PULS:FORM|PULS:SET|PULS:RES|MEAS:COND\?) ?(?P<numbers>[-+.\de,]*?),?"
    r"\(@(?P<cells>[\d!,]+)\)(?:;\*OPC\?)?"
)


class _Unformed(Forming):
    """Cells as they come from the fab."""

    def run(self, chip: Formable, cells: torch.Tensor) -> None:
        pass


class FakeInstrument:
    """A macro of pristine cells behind a socket; `stream` is the other end.

    Args:
        seed: of the cells.
        broken: answers every pulse with an error.
        silent_after: lines after which it answers no more.
    """

    def __init__(self, seed: int = 0, *, broken: bool = False, silent_after: int = 10**9) -> None:
        self.chip = SimulatedChip(
            "taox-40nm", seed=seed, forming=_Unformed(), geometry=Geometry(_SIDE, _SIDE)
        )
        # Inputs first: cell numbers run along the rows.
        self.region = self.chip.place("macro", (_SIDE, _SIDE // 2), inputs_first=True)
        self.broken, self.left, self.reads = broken, silent_after, 0
        self.errors: list[str] = []
        ours, theirs = socket.socketpair()
        self.stream = theirs.makefile("rwb")
        theirs.close()
        threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                self.left -= 1
                if self.left < 0:
                    return
                stream.write(self._answer(line.decode("ascii").strip()).encode("ascii") + b"\n")
                stream.flush()

    def _answer(self, words: str) -> str:
        if words == "*IDN?":
            return "secateur,fake bench,0042,1.0"
        if words == "SYST:ERR?":
            return self.errors.pop(0) if self.errors else '0,"No error"'
        command = _COMMAND.fullmatch(words)
        if command is None or self.broken:
            self.errors.append('-113,"Undefined header"')
            return ""
        pairs = [place.split("!") for place in command["cells"].split(",")]
        cells = torch.tensor([int(row) * _SIDE + int(column) for row, column in pairs])
        if len(cells) > 100:
            self.errors.append('-363,"Input buffer overrun"')
            return ""
        return self._carry_out(command["verb"], command["numbers"], cells)

    def _carry_out(self, verb: str, numbers: str, cells: torch.Tensor) -> str:
        if verb == "MEAS:COND?":
            self.reads += 1
            read = self.chip.read(self.region, key=self.reads).view(-1)[cells]
            return ",".join(f"{value:.6e}" for value in read.tolist())
        values = [float(word) for word in numbers.split(",")]
        if verb == "PULS:FORM":
            voltage, width, compliance = values
            self.chip.form(cells, voltage=voltage, width=width, compliance=compliance)
        else:
            (self.chip.set if verb == "PULS:SET" else self.chip.reset)(cells)
        return "1"
