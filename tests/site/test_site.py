"""The built site in a real browser: pages load, search finds, the dashboard draws."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "_build" / "html"
PAGES = sorted(
    str(page.relative_to(ROOT / "docs").with_suffix(".html"))
    for page in (ROOT / "docs").rglob("*.md")
    if "_build" not in page.parts
)


def test_every_page_loads_with_its_pictures(visit):
    """One browser page goes through all, and the API's; nothing is asked of another host."""
    generated = sorted(f"generated/{page.name}" for page in (SITE / "generated").glob("*.html"))
    assert len(PAGES) > 15
    assert len(generated) > 15
    for path in PAGES + generated:
        page = visit(path)
        assert page.locator("h1").first.inner_text().strip(), path
        broken = page.evaluate(
            "() => [...document.images].filter(i => i.loading != 'lazy' && !i.naturalWidth)"
            ".map(i => i.src)"
        )
        assert broken == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_suit_the_page(scheme, visit):
    page = visit("how-it-works.html")
    page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
    shown = page.evaluate(
        "() => [...document.querySelectorAll('.drawn img')]"
        ".filter(i => i.getBoundingClientRect().width > 0).map(i => i.getAttribute('src'))"
    )
    assert len(shown) == 3
    assert all(source.endswith(f"-{scheme}.svg") for source in shown)


def test_formulas_are_drawn_by_the_browser(visit):
    page = visit("how-it-works.html")
    box = page.locator(".formula math").first.bounding_box()
    assert box["width"] > 200
    assert box["height"] > 30


def test_no_page_is_wider_than_a_telephone(visit):
    page = visit("performance-cpu.html")
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("index.html", "performance-cpu.html", "performance-log.html", "how-it-works.html"):
        page = visit(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 391, path


def test_search_finds_topk(visit):
    page = visit("search.html?q=topk")
    page.wait_for_selector("#search-results li a")
    links = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")
    assert any(re.search(r"generated/approxtopk\.topk\.html", link) for link in links)


def benchmarks():
    """The names in the dashboard's index."""
    return json.loads((SITE / "dashboard" / "index.json").read_text())["benchmarks"]


@pytest.mark.parametrize(
    "name", ["cpu.TopK.time_topk", "gpu.TorchSelection.track_time", "cpu.Recall.track_recall"]
)
def test_the_dashboard_draws_a_graph(name, visit):
    assert name in benchmarks()
    page = visit(f"dashboard/index.html#{name}")
    page.wait_for_selector("#main-graph canvas.flot-base", timeout=20_000)
    page.wait_for_function(
        """() => {
            const canvas = document.querySelector('#main-graph canvas.flot-base');
            if (!canvas || !canvas.width) return false;
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            for (let i = 0; i < pixels.data.length; i += 4)
                if (pixels.data[i + 3] > 200)
                    colours.add(pixels.data.slice(i, i + 3).join());
            return colours.size > 5;
        }""",
        timeout=20_000,
    )


def test_the_dashboard_is_a_click_away(visit):
    page = visit("performance.html")
    page.locator("article a", has_text="Dashboard").first.click()
    page.locator("a", has_text="Open the dashboard").click()
    page.wait_for_selector("#summarygrid-display .benchmark-container", timeout=20_000)
    assert page.url.endswith("/dashboard/index.html") or "/dashboard/index.html#" in page.url


def test_both_machines_have_five_commits():
    results = ROOT / "asv_bench" / "results"
    for machine in ("2-core-x86_64-cpu", "nvidia-h200"):
        commits = {
            each.name.split("-")[0] for each in (results / machine).glob("*-checkout-*.json")
        }
        assert len(commits) >= 5, machine
