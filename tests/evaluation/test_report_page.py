"""The page in a real browser: nothing asked of the network, nothing complained of, nothing wider than the window."""

import re

import browser
import pytest
import report_inputs
from conftest import ROOT
from test_report import write

SECTIONS = re.findall(
    r'"(\w+)": "', (ROOT / "src/heldout/evaluation/report/template/page.html.j2").read_text("utf-8").split("%}")[1]
)
pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.ABSENT)
# Text and its background, as (red, green, blue) each: WCAG 2's contrast ratio of every element that has text.
CONTRAST = """
(() => {
  const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
  const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  return [...document.querySelectorAll("body *")]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && !e.matches("script, style"))
    .map(e => [luminance(getComputedStyle(e).color), luminance(back(e))].sort((a, b) => a - b))
    .reduce((lowest, [dark, light]) => Math.min(lowest, (light + 0.05) / (dark + 0.05)), 21);
})()
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    root = report_inputs.write(tmp_path_factory.mktemp("page"))
    write(root)
    return root / "report/index.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser.page(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_at_both_widths_without_a_request_or_a_complaint(page, html, width, dark):
    page.requests.clear()
    page.problems.clear()
    page.open(html, width, dark)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate("document.images.length") > 60
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
    assert page.problems == []
    assert {url for url in page.requests if not url.startswith("data:")} == {html.resolve().as_uri()}
    assert page.evaluate(CONTRAST) >= 4.5


def test_each_section_is_there_and_the_headings_are_in_order(page, html):
    page.open(html, 1280)
    ids = page.evaluate("[...document.querySelectorAll('main > section')].map(section => section.id)")
    assert ids == SECTIONS and len(ids) == 15
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")
    assert page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(head => head.tagName).join()") == (
        "H1" + ",H2" * 15
    )
    assert page.evaluate("document.documentElement.lang") == "en"


def test_names_of_classes_do_not_become_elements(page, html):
    page.open(html, 1280)
    assert page.evaluate("document.scripts.length") == 1
    assert (
        page.evaluate("document.querySelectorAll('img:not([src^=\"data:\"]), [onerror], [onmouseover], b').length") == 0
    )
    names = page.evaluate("[...document.querySelectorAll('#classes tbody th')].map(cell => cell.textContent)")
    assert sorted(names) == sorted([*report_inputs.HOSTILE, "class 0000", "class 0001"])


def column(page, number: int) -> list[str]:
    script = f"[...document.querySelectorAll('#classes tbody tr')].map(row => row.cells[{number}].textContent)"
    return page.evaluate(script)


def test_the_classes_are_sorted_by_click_and_by_keyboard(page, html):
    page.open(html, 1280)
    button = "document.querySelectorAll('#classes thead button')[2]"
    order = "document.querySelectorAll('#classes thead th')[2].ariaSort"
    page.evaluate(f"{button}.click()")
    scores = [float(text.split()[0]) for text in column(page, 2)]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
    assert page.evaluate(order) == "descending"
    page.evaluate(f"{button}.focus()")
    page.press("Enter", 13)
    assert [float(text.split()[0]) for text in column(page, 2)] == sorted(scores)
    assert page.evaluate(order) == "ascending"
    page.evaluate("document.querySelector('#classes thead button').click()")
    assert column(page, 0)[0] in ('" onmouseover="alert(1)', "<img src=x onerror=alert(1)>", "\u202egnp.exe")
    sorts = page.evaluate("[...document.querySelectorAll('#classes th[scope=col]')].map(head => head.ariaSort).join()")
    assert sorts == "ascending,none,none,none,none,none"


def test_the_first_stop_of_the_keyboard_skips_to_the_results(page, html):
    page.open(html, 1280)
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.hash") == "#main"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(area => area.tabIndex === 0 && area.ariaLabel)"
    )


def test_print_shows_all_rows_and_no_links_to_sections(page, html):
    page.open(html, 1280)
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate("getComputedStyle(document.querySelector('.tall')).maxHeight") == "none"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
