"""The citation file is the plain part of YAML that every reader takes, and has what is needed."""

import json
import re
from typing import Any

import pages

import secateur

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


def test_the_citation_file_points_to_the_paper() -> None:
    cited = _read(pages.named("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["version"] == secateur.__version__
    assert cited["license"] == "MIT"
    paper = cited["preferred-citation"]
    assert paper["type"] == "article"
    assert paper["title"] == "Pruning random resistive memory for optimizing analog AI"
    assert paper["doi"] == "10.1038/s41467-025-67960-6"
    assert paper["identifiers"][0]["value"] == "arXiv:2311.07164"
    assert (paper["year"], paper["journal"]) == ("2026", "Nature Communications")
    assert all(set(author) == {"given-names", "family-names"} for author in paper["authors"])
    assert len(paper["authors"]) == 23


def _read(text: str) -> dict[str, Any]:
    """Nested mappings and lists, two spaces a level; values plain words or JSON strings."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines()]
    value, rest = _value([line for line in lines if line[1]], 0)
    assert not rest
    assert isinstance(value, dict)
    return value


def _value(lines: list[tuple[int, str]], level: int) -> tuple[Any, list[tuple[int, str]]]:
    listed: list[Any] = []
    mapped: dict[str, Any] = {}
    while lines and lines[0][0] == level:
        content = lines[0][1]
        if content.startswith("- "):
            item = content.removeprefix("- ")
            if ": " in item and not item.startswith('"'):
                found, lines = _value([(level + 2, item), *lines[1:]], level + 2)
            else:
                found, lines = _scalar(item), lines[1:]
            listed.append(found)
            continue
        key, colon, inline = content.partition(":")
        assert colon
        assert key not in mapped, f"{key} is there twice"
        if inline:
            mapped[key], lines = _scalar(inline.removeprefix(" ")), lines[1:]
        else:
            mapped[key], lines = _value(lines[1:], level + 2)
    assert bool(listed) != bool(mapped), f"neither a list nor a mapping at {lines[:1]}"
    return listed or mapped, lines


def _scalar(text: str) -> str:
    if text.startswith('"'):
        return str(json.loads(text))
    assert _PLAIN.fullmatch(text), f"{text!r} needs quotes"
    return text
