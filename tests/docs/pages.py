"""The pages of the documentation, taken apart: code blocks, commands, links, tables."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

_FENCE = re.compile(
    r"(?:<!-- not run:(?P<reason>[^>]*)-->\n)?```(?P<kind>\w*)\n(?P<code>.*?)```", re.S
)
_LINK = re.compile(r"(?<!`)\[[^\]]+\]\(([^)\s]+)\)")
_INLINE_COMMAND = re.compile(r"`(secateur [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, where its text starts, and why it is not run."""

    kind: str
    code: str
    line: int
    reason: str | None


def named(name: str) -> str:
    """The text of a page, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(m["kind"], m["code"], text[: m.start("code")].count("\n"), m["reason"])
        for m in _FENCE.finditer(text)
    ]


def run(name: str) -> dict[str, Any]:
    """Runs the Python blocks of a page in order, in one namespace, which is returned."""
    space: dict[str, Any] = {"__name__": name}
    for block in blocks(named(name)):
        if block.kind == "python" and block.reason is None:
            # The empty lines make a traceback name the line of the page.
            code = compile("\n" * block.line + block.code, str(ROOT / name), "exec")
            exec(code, space)
    return space


def commands(text: str) -> list[str]:
    """The `secateur ...` command lines of a page, in shell blocks and in running text."""
    listed = [
        line for block in blocks(text) if block.kind == "sh" for line in block.code.splitlines()
    ]
    listed += _INLINE_COMMAND.findall(_FENCE.sub("", text))
    return [line[line.index("secateur ") :] for line in listed if _calls(line)]


def _calls(line: str) -> bool:
    words = shlex.split(line, comments=True)
    return bool(words) and words[0].rpartition("/")[2] == "secateur"


def links(text: str) -> list[str]:
    """The targets of a page's links and pictures."""
    return _LINK.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """What a link may put behind a #: the headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def rows(text: str, *heading: str) -> list[list[str]]:
    """The rows of all tables of a page that have the given heading."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [c.strip().replace(r"\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells == list(heading):
            inside = True
        elif not cells:
            inside = False
        elif inside and not set("".join(cells)) <= set("-: "):
            found.append(cells)
    return found
