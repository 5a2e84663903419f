"""What the documentation and the shipped file say about laws."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRESET = (ROOT / "src/secateur/device/presets/taox-40nm.toml").read_text(encoding="utf-8")


def laws() -> dict[str, list[str]]:
    """Law words by table, in the page's order."""
    page = (ROOT / "docs/ageing.md").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for table, word in re.findall(r"^\| `(\w+_law)` \| `([\w-]+)` \|", page, re.M):
        found.setdefault(table, []).append(word)
    return found


def memories() -> dict[str, list[str]]:
    """Words of the programming, read and drift laws by technology, as the page has them."""
    page = (ROOT / "docs/ageing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| `([\w-]+)` \| `([\w-]+)` \| `([\w-]+)` \|$", page, re.M)
    return {name: laws for name, *laws in rows}
