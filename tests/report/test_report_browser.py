"""The page in a real browser: nothing amiss in the console, all figures seen, nothing overflows."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no browser: install Debian's packages chromium and chromium-driver",
)

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
WIDTHS, SCHEMES = (1280, 400), ("light", "dark")

FIGURES = """
return [...document.querySelectorAll('figure')].map(figure => {
  const seen = [...figure.querySelectorAll('svg.plot, img')].filter(
    picture => getComputedStyle(picture).display !== 'none');
  const boxes = seen.map(picture => picture.getBoundingClientRect());
  return {
    caption: figure.querySelector('figcaption').textContent.trim(),
    pictures: seen.length,
    width: Math.min(...boxes.map(box => box.width)),
    height: Math.min(...boxes.map(box => box.height)),
    right: Math.max(...boxes.map(box => box.right)),
    loaded: seen.every(picture => picture.tagName !== 'IMG' || picture.naturalWidth > 0),
    named: seen.every(p => (p.getAttribute('aria-label') || p.getAttribute('alt') || '') !== ''),
    letters: Math.min(99, ...seen.flatMap(picture => [...picture.querySelectorAll('text')].map(
      text => parseFloat(getComputedStyle(text).fontSize)
        * picture.getBoundingClientRect().width / picture.viewBox.baseVal.width))),
  };
});
"""
SCROLLERS = """
return [...document.querySelectorAll('.scroll')].map(box => ({
  label: box.getAttribute('aria-label'),
  right: box.getBoundingClientRect().right,
  scrolls: getComputedStyle(box).overflowX,
}));
"""
COLOURS = """
const rgb = element => getComputedStyle(element);
const text = document.querySelector('svg.plot text');
return [rgb(document.body).backgroundColor, rgb(document.body).color, rgb(text).fill];
"""
LETTERS_CUT = """
return [...document.querySelectorAll('svg.plot')].filter(
  svg => getComputedStyle(svg).display !== 'none').flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
      const box = text.getBoundingClientRect();
      return box.left < 0 || box.right > document.documentElement.clientWidth
        || box.top < frame.top - 8 || box.bottom > frame.bottom + 8;
    }).map(text => text.textContent);
  });
"""

# A place between two letters of a name is on one line with both, but for where a name may wrap.
BROKEN_NAMES = """
return [...document.querySelectorAll('dt')].filter(name => {
  const letters = [];
  const walk = document.createTreeWalker(name, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) for (let n = 0; n < walk.currentNode.length; n++) {
    const range = document.createRange();
    range.setStart(walk.currentNode, n);
    range.setEnd(walk.currentNode, n + 1);
    letters.push([walk.currentNode.data[n], range.getBoundingClientRect().top]);
  }
  return letters.some(([_, top], n) => n && top > letters[n - 1][1] + 2
    && !'._ '.includes(letters[n - 1][0]));
}).map(name => name.textContent);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def look(browser: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wish = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
    browser.get(page.as_uri())


@pytest.fixture(params=["full_page", "digital_page", "joint_page", "sweep_page"])
def page(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_opens_well(browser: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    look(browser, page, width, scheme)
    assert browser.get_log("browser") == []
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth - {root}.clientWidth") <= 0
    figures = browser.execute_script(FIGURES)
    assert len(figures) >= 5
    for figure in figures:
        assert figure["pictures"] == 1, figure
        assert figure["width"] >= 90, figure
        assert figure["height"] >= 60, figure
        assert figure["right"] <= width, figure
        assert figure["loaded"], figure
        assert figure["named"], figure
        assert figure["caption"], figure
        assert figure["letters"] >= 9, figure
    for box in browser.execute_script(SCROLLERS):
        assert box["scrolls"] == "auto", box
        assert box["right"] <= width, box


@pytest.mark.parametrize("width", WIDTHS)
def test_no_letter_of_a_figure_is_cut(browser: webdriver.Chrome, page: Path, width: int) -> None:
    look(browser, page, width, "light")
    assert browser.execute_script(LETTERS_CUT) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_names_of_settings_wrap_at_dots_and_underscores_only(
    browser: webdriver.Chrome, full_page: Path, width: int
) -> None:
    look(browser, full_page, width, "light")
    assert browser.execute_script(BROKEN_NAMES) == []


def brightness(colour: str) -> float:
    return sum(float(part) for part in colour.strip("rgba()").split(",")[:3]) / 3


def test_the_readers_colour_scheme_is_obeyed(browser: webdriver.Chrome, full_page: Path) -> None:
    look(browser, full_page, 1280, "light")
    paper, ink, figure = map(brightness, browser.execute_script(COLOURS))
    assert paper > 230
    assert max(ink, figure) < 130
    look(browser, full_page, 1280, "dark")
    paper, ink, figure = map(brightness, browser.execute_script(COLOURS))
    assert paper < 40
    assert min(ink, figure) > 140


def test_the_headline_fits_a_desktop_without_scrolling(
    browser: webdriver.Chrome, full_page: Path
) -> None:
    look(browser, full_page, 1280, "light")
    box = "document.querySelector('.scroll')"
    assert browser.execute_script(f"return {box}.scrollWidth - {box}.clientWidth") <= 0
