"""The site as it was built, served on this machine, and a browser to open it in."""

from __future__ import annotations

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

#: No connections of the browser's own: the test is about the pages.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


class Quiet(SimpleHTTPRequestHandler):
    """A server that doesn't write a log."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def address():
    """Where the site is served, the dashboard in it."""
    for page, how in (("index.html", "docs"), ("dashboard/index.html", "site")):
        if not (SITE / page).exists():
            pytest.skip(f"docs/_build/html/{page} isn't there: nox -s {how}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser(address):
    """Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="nox -s site installs it")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=program, args=[*FLAGS])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser, address, tmp_path):
    """Open a page of the site; at the end, nothing may have gone wrong on any of them."""
    troubles = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda m: m.type == "error" and troubles.append(f"console: {m.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on(
        "requestfailed",  # but for what the next page has interrupted
        lambda r: r.failure == "net::ERR_ABORTED" or troubles.append(f"not loaded: {r.url}"),
    )
    page.on(
        "request",
        lambda r: (
            r.url.startswith((address, "data:", "blob:")) or troubles.append(f"elsewhere: {r.url}")
        ),
    )
    page.on("response", lambda r: r.status >= 400 and troubles.append(f"{r.status}: {r.url}"))

    def open_page(path):
        page.goto(f"{address}/{path}", wait_until="load")
        return page

    yield open_page
    context.close()
    assert not troubles, "\n".join(troubles)
