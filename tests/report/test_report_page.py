"""The page says what the record says, needs nothing else, and copes with what is absent."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import synthetic

from secateur.errors import FileError, SettingError
from secateur.report import read_run, write_report
from secateur.report.page import render, write_page

WITHIN_CELLS = {"td", "th", "span", "sup", "small", "abbr"}
VOID = {"meta", "link", "img", "br", "hr", "input", "wbr"}


class Page(HTMLParser):
    """Tables as rows of words, headings, ids, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.headings: list[tuple[int, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for key, value in attrs if key == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in WITHIN_CELLS and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()
        if self.headings and self.open and re.fullmatch("h[1-6]", self.open[-1]):
            level, words = self.headings[-1]
            self.headings[-1] = (level, words + data)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(full_page: Path) -> Page:
    return Page(text_of(full_page))


def test_the_page_is_sound_html(full_page: Path, digital_page: Path, joint_page: Path) -> None:
    for path in (full_page, digital_page, joint_page):
        page = Page(text_of(path))
        assert page.open == []
        assert len(page.ids) == len(set(page.ids))
        levels = [level for level, _ in page.headings]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_page_needs_nothing_from_anywhere(full_page: Path) -> None:
    text = text_of(full_page)
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in text
    assert "@import" not in text
    sources = re.findall(r'src="([^"]{0,22})', text)
    assert sources
    assert set(sources) == {"data:image/png;base64,"}


def test_every_link_leads_somewhere(joint_page: Path, full_page: Path) -> None:
    for path in (joint_page, full_page):
        text = text_of(path)
        assert set(re.findall(r'<a href="#([^"]+)"', text)) <= set(Page(text).ids)


def test_pages_are_light(full_page: Path, joint_page: Path) -> None:
    assert full_page.stat().st_size < 3_000_000
    assert joint_page.stat().st_size < 3_000_000


def test_the_headline_has_every_arm_with_its_figures(full_run: Path, parsed: Page) -> None:
    record = read_run(full_run).record
    plain = {r.arm: r for r in record.results if not r.variant}
    rows = {re.match(r"[a-z-]+?(?=(trained|noise|chip as|a random|last|search))", row[0]): row
            for row in parsed.rows if len(row) == 12}  # fmt: skip
    found = {match.group(): row for match, row in rows.items() if match}
    assert set(found) == set(synthetic.ACCURACY)
    baseline = plain["digital-quantised"].statistic("accuracy").mean
    for arm, row in found.items():
        accuracy = plain[arm].statistic("accuracy")
        assert row[1] == f"{100 * accuracy.mean:.1f}"
        assert row[2] == " – ".join(f"{100 * end:.1f}" for end in accuracy.interval)
        if arm != "digital-quantised":
            difference = 100 * (accuracy.mean - baseline)
            assert float(row[3].replace("−", "-")) == pytest.approx(difference, abs=0.051)
        assert row[4] == f"{100 * accuracy.std:.2f}(3)".replace("(", " (")
    assert found["digital-quantised"][3] == "reference"
    assert found["digital"][6:] == ["–"] * 6
    assert found["pruned"][9] == f"{plain['pruned'].pulses('set'):,.0f}".replace(",", "\u202f")


@pytest.mark.parametrize(
    "words",
    [
        "Against chip.programming_error",
        "Against search.dead_band",
        "By chip.forming",
        "Every variant and its price",
        "Masks and scores: pruned",
        "Chip 0 of pruned-cells",
        "Physics",
        "Placement",
        "Recipe",
        "Machine and versions",
    ],
)
def test_what_was_run_has_its_section(parsed: Page, words: str) -> None:
    assert words in [heading for _, heading in parsed.headings]


@pytest.mark.parametrize(
    "words",
    [
        "Training accuracy against the epoch for digital, digital-quantised",
        "Macro 0, as formed: conductance map of 512 by 512 cells",
        "Macro 0, final: conductance map",
        "Macro 0, wear: SET and RESET pulses of each cell",
        "Histograms of cell conductances in microsiemens: as formed",
        "Histograms of the difference of the two conductances of a pair: as formed, final",
        "Histograms of pair differences as formed for chip.forming: half, full, ramp",
        "Mask of conv1, 64 outputs × 9 inputs: 50.0 percent of the edges are kept",
        "Scores of fc2, 10 outputs × 128 inputs",
        "Kept fraction per layer.",
        "Mask flips per epoch: ",
        "SET pulses per epoch: ",
        "RESET pulses per epoch: ",
        "Histogram of pulses per cell",
        "Confusion matrix of pruned-summed",
        "Confusion matrix of digital-quantised",
    ],
)
def test_every_figure_is_there_and_says_what_it_shows(full_page: Path, words: str) -> None:
    text = text_of(full_page)
    assert f'aria-label="{words}' in text or f'alt="{words}' in text


def test_the_opening_tells_what_came_of_it(full_run: Path, full_page: Path) -> None:
    record = read_run(full_run).record
    best = next(r for r in record.results if r.name == "pruned-summed").statistic("accuracy")
    opening = re.search(r'<div class="opening">(.*?)</div>', text_of(full_page), re.DOTALL)[1]
    words = re.sub(r"<[^>]+>", "", opening)
    assert "The chips of pruned-summed are taox-40nm" in words
    assert f"All {sum(len(r.trials) for r in record.results)} trials" in text_of(full_page)
    assert "taught Fashion-MNIST (14 × 14) to a network of 62\u202f272 edges in 11 ways" in words
    assert "9 of them on 3 simulated chips each; training took 20 epochs" in words
    assert "taox-40nm" in words
    assert "2\u202f% read noise, 5\u202f% cycle-to-cycle spread" in words
    reached = "Pruning cells of summed pairs reached"
    assert f"{reached} {100 * best.mean:.1f}\u202f% test accuracy" in words


def test_pairs_of_single_layers_are_listed_in_words(full_page: Path) -> None:
    assert "conv1.weight 8, conv2.weight 4, fc1.weight 1, fc2.weight 1" in text_of(full_page)


def test_the_recipe_is_complete(full_page: Path) -> None:
    def leaves(tree: dict) -> list[str]:
        nested = [leaves(v) if isinstance(v, dict) else [k] for k, v in tree.items()]
        return [name for names in nested for name in names]

    shown = re.findall(r"<dt>([^<]+)</dt>", re.sub(r"</?span>|<wbr>", "", text_of(full_page)))
    for leaf in leaves(synthetic.RECIPE):
        assert any(name == leaf or name.endswith(f".{leaf}") for name in shown), leaf


def test_an_arm_without_a_chip_is_told_in_words(digital_page: Path) -> None:
    text = text_of(digital_page)
    assert "No chip took part" in text
    assert "No arm of this run left maps of a chip." in text
    assert "No arm of this run searched a topology" in text
    assert "No arm was placed on a chip." in text
    assert "One chip each, so there is no interval." in text
    assert "None" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    assert "nan" not in re.findall(r">([^<]*)<", text)


def test_one_of_a_thing_is_told_in_the_singular(tmp_path: Path) -> None:
    result = synthetic.result(np.random.default_rng(0), "pruned", chips=1, epochs=2)
    (trial,) = result["trials"]
    figures = {"figures": {"accuracy": 0.5}, "remedied": {"norms": {"accuracy": 0.7}}}
    trial["stress"] = [{"kind": "failed", "value": 0.1, **figures}]
    text = render([read_run(synthetic.write_run(tmp_path, synthetic.record([result], chips=1)))])
    for words in (
        "<summary>The trial</summary>",
        "<summary>The hardship in figures</summary>",
        "The chip of pruned is taox-40nm",
        "One chip, so there is no interval.",
    ):
        assert words in text
    assert not re.search(r"\b1 (trials|chips|hardships|epochs|ways|pulses)\b", text)


def test_several_runs_share_one_headline_and_have_a_part_each(joint_page: Path) -> None:
    text = text_of(joint_page)
    assert text.count('<table class="headline">') == 1
    assert text.count("<article>") == 2
    assert "Runs: 1 pairs, 2 digital-only." in text


def test_a_run_without_a_baseline_borrows_that_of_its_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ours = synthetic.record([synthetic.result(rng, "pruned", epochs=2)], chips=3)
    theirs = synthetic.record([synthetic.result(rng, "digital-quantised", epochs=2)], chips=3)
    other = synthetic.record([synthetic.result(rng, "pruned", epochs=2)], chips=3)
    other["task"] = "digits"
    names = ("ours", "theirs", "other")
    runs = [
        read_run(synthetic.write_run(tmp_path / name, content))
        for name, content in zip(names, (ours, theirs, other), strict=True)
    ]
    page = Page(render(runs))
    pruned = [row for row in page.rows if len(row) == 12 and row[0].startswith("pruned")]
    gap = ours["results"][0]["summary"]["accuracy"]["mean"]
    gap -= theirs["results"][0]["summary"]["accuracy"]["mean"]
    assert pruned[0][3] == f"{100 * gap:+.1f}*".replace("-", "−")
    assert pruned[1][3] == "–"  # another task is no reference


def test_a_run_that_measured_nothing_yet_still_has_a_page(tmp_path: Path) -> None:
    bare = {"arm": "pruned", "trials": [{"chip": 0}]}
    content = {"schema": "secateur.record", "version": 1, "task": "digits", "results": [bare]}
    run = read_run(synthetic.write_run(tmp_path, content | {"results": [bare | {"label": "p"}]}))
    text = render([run])
    assert Page(text).open == []
    assert "No arm has finished with a figure yet." in text


def test_maps_that_are_gone_are_told_in_words(tmp_path: Path) -> None:
    result = synthetic.result(np.random.default_rng(0), "pruned", chips=1, epochs=2)
    result["trials"][0]["maps"] = "trials/pruned-chip0/maps.npz"
    synthetic.write_run(tmp_path, synthetic.record([result], chips=1))
    assert "The maps that the record names are not in the run directory." in render(
        [read_run(tmp_path)]
    )


def test_notes_of_the_trials_are_passed_on(tmp_path: Path) -> None:
    result = synthetic.result(np.random.default_rng(0), "pruned", chips=2, epochs=2)
    for trial in result["trials"]:
        trial["notes"] = ["The checkpoint of epoch 3 was truncated."]
    synthetic.write_run(tmp_path, synthetic.record([result], chips=2))
    assert render([read_run(tmp_path)]).count("The checkpoint of epoch 3 was truncated.") == 1


def test_curves_that_lie_one_on_the_other_are_told_of(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arms = ("digital-quantised", "pruned", "programmed")
    made = [synthetic.result(rng, arm, epochs=3) for arm in arms]
    for ours, theirs in zip(made[0]["trials"], made[2]["trials"], strict=True):
        theirs["history"] = ours["history"]
    text = render([read_run(synthetic.write_run(tmp_path, synthetic.record(made, chips=3)))])
    told = "over the chips. digital-quantised and programmed share one line"
    assert text.count(told) == 2  # accuracy and loss


def test_words_from_the_record_are_never_markup(tmp_path: Path) -> None:
    evil = '<script>alert("$x^{$")</script>'
    result = synthetic.result(np.random.default_rng(0), "pruned", chips=2, epochs=3)
    result |= {"arm": evil, "label": evil}
    for trial in result["trials"]:
        trial["keep_fraction"] = {evil: 0.5}
        trial["physics"] = {evil: evil}
    content = synthetic.record([result], chips=2)
    content |= {"title": evil, "classes": [evil] * 10, "command": evil, "recipe": {evil: {evil: 1}}}
    text = render([read_run(synthetic.write_run(tmp_path / "run", content))])
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert Page(text).open == []


def test_very_many_classes_and_rows_still_have_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = [round(0.01 * n, 2) for n in range(1, 40) if n != 5]
    results = [
        synthetic.result(rng, "pruned", chips=1, epochs=1, classes=30, overrides={"a.b": value})
        for value in values
    ]
    synthetic.write_run(tmp_path, synthetic.record(results, chips=1, classes=30))
    text = render([read_run(tmp_path)])
    assert "Too many rows for one chart" in text
    assert "Confusion matrix of pruned" in text


def test_the_same_records_give_the_same_page(
    small_run: Path, digital_run: Path, joint_page: Path
) -> None:
    assert render([read_run(small_run), read_run(digital_run)]) == text_of(joint_page)


def test_a_page_is_replaced_only_by_a_whole_one(digital_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    old = '<!doctype html><head><meta name="generator" content="secateur 0.0.1"></head>'
    out.write_text(old)
    with pytest.raises(FileError):
        write_report([digital_run, tmp_path / "no-run"], out)
    assert out.read_text() == old
    assert write_report([digital_run], out) == out
    assert out.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("content", ["my notes", "<head><title>secateur</title></head>"])
def test_a_file_that_is_no_page_of_ours_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    note = tmp_path / "note.txt"
    note.write_text(content)
    with pytest.raises(FileError, match=r"no report page of secateur.*note\.txt.*another name"):
        write_page("<!doctype html>", note)
    assert note.read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("old", ["", "<head><title>Sweep – secateur</title></head>"])
def test_an_empty_file_and_a_page_of_the_first_kind_are_replaced(tmp_path: Path, old: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(old, encoding="utf-8")
    assert write_page("new", page).read_text() == "new"


def test_a_page_of_ours_is_replaced_by_the_next(digital_page: Path) -> None:
    page = write_page(text_of(digital_page), digital_page.with_name("again.html"))
    assert write_page("new", page).read_text() == "new"


def test_a_page_that_cannot_be_written_is_refused(digital_run: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="cannot be written"):
        write_report([digital_run], tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        write_report([], tmp_path / "report.html")
