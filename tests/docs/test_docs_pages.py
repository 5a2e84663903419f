"""What the pages say is true: their examples run, their commands parse, their links lead there."""

import re
import shlex
from xml.etree import ElementTree

import pages
import pytest
import typer

import secateur
from secateur.cli.main import app
from secateur.cli.settings import Asked, recipe_of
from secateur.experiment.arms import ARMS

_NAMES = [str(page.relative_to(pages.ROOT)) for page in pages.PAGES]
_WITH_EXAMPLES = [
    n for n in _NAMES if any(b.kind == "python" for b in pages.blocks(pages.named(n)))
]
_COMMANDS = sorted({(n, line) for n in _NAMES for line in pages.commands(pages.named(n))})


def test_the_pages_are_found() -> None:
    promised = ["behaviour", "extending", "getting-started", "glossary", "method", "recipes"]
    assert {*(f"docs/{name}.md" for name in promised), "README.md", "CONTRIBUTING.md"} <= {*_NAMES}
    assert "README.md" in _WITH_EXAMPLES
    assert len(_COMMANDS) > 10


@pytest.mark.parametrize("name", _WITH_EXAMPLES)
def test_examples_run(name: str) -> None:
    pages.run(name)


@pytest.mark.parametrize("name", _WITH_EXAMPLES)
def test_examples_that_are_not_run_say_why(name: str) -> None:
    reasons = [b.reason for b in pages.blocks(pages.named(name)) if b.reason is not None]
    assert all(len(reason.split()) > 3 for reason in reasons)


@pytest.mark.parametrize(("name", "line"), _COMMANDS)
def test_commands_parse(name: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    found, group = words[0], typer.main.get_command(app)
    with group.commands[found].make_context(found, words[1:]) as context:
        given = context.params
    if found == "run" and given["task"] is not None:
        asked = Asked(
            task=given["task"], options=(("--arm", "run.arms", list(given["arm"] or [])),),
            assignments=given["set_"] or (), vary=given["vary"] or (),
            sweep_programming_error=given["sweep_programming_error"],
        )  # fmt: skip
        assert recipe_of(asked).task.name == given["task"]


@pytest.mark.parametrize("name", _NAMES)
def test_links_lead_somewhere(name: str) -> None:
    here = (pages.ROOT / name).parent
    for target in pages.links(pages.named(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = (here / path) if path else pages.ROOT / name
        assert page.is_file(), f"{name} links to {target}"
        if anchor:
            assert anchor in pages.anchors(page.read_text(encoding="utf-8")), target


def test_the_picture_is_drawn_for_light_and_dark() -> None:
    picture = ElementTree.fromstring(pages.named("docs/method.svg"))
    space = {"svg": "http://www.w3.org/2000/svg"}
    style = picture.findtext("svg:style", namespaces=space)
    assert "prefers-color-scheme: dark" in style
    used = {c for e in picture.iter() for c in e.get("class", "").split()}
    assert used <= set(re.findall(r"\.([\w-]+)", style))
    assert picture.findtext("svg:title", namespaces=space)


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = set(pages.links(pages.named("README.md")))
    assert {name for name in _NAMES if name != "README.md"} <= linked


def test_the_readme_lists_the_arms() -> None:
    listed = [
        arm.strip("`") for arm, _ in pages.rows(pages.named("README.md"), "arm", "what it is")
    ]
    assert listed == list(ARMS)


def test_the_changes_name_this_version() -> None:
    assert f"## {secateur.__version__}" in pages.named("CHANGELOG.md")
