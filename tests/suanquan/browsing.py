"""A real browser for tests: pages that go to the site alone and break no policy, and pictures of them for the documents."""

import contextlib
import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from suanquan.http.auth import COOKIE

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no browser: install chromium")
PICTURES = os.environ.get("SUANQUAN_TEST_PICTURES", "")
PNG_BYTES_MAX = 60_000
PICTURE_BYTES_MAX = 150_000
COLOURS = 64
WIDE = {"width": 1366, "height": 768}


@contextlib.contextmanager
def launched():
    """The browser, until the end of the block."""
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--lang=en-US"])
        yield browser
        browser.close()


class Visits:
    """Pages of persons at one site; `faults` is what any of them asked of another host, or said on its console."""

    def __init__(self, browser, url):
        self._browser, self._url = browser, url
        self._contexts, self._faults, self._known = [], [], {}

    def open(self, token=None, **options):
        """A page of somebody's browser."""
        context = self._browser.new_context(**{"viewport": WIDE, "locale": "zh-CN"} | options)
        self._contexts.append(context)
        if token:
            context.add_cookies([{"name": COOKIE, "value": token, "url": self._url}])
        page = context.new_page()
        page.on("request", lambda sent: self._faults.append(sent.url) if not sent.url.startswith(self._url) else None)
        page.on("console", lambda said: self._faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self._faults.append(str(error)))
        return page

    def known(self, token, scheme):
        """The page of somebody's browser that was opened before, as wide as at first."""
        if (token, scheme) not in self._known:
            self._known[token, scheme] = self.open(token, color_scheme=scheme)
        self._known[token, scheme].set_viewport_size(WIDE)
        return self._known[token, scheme]

    def close(self):
        """Close every page; nothing left the site, and no policy was broken."""
        for context in self._contexts:
            context.close()
        assert not [fault for fault in self._faults if not fault.startswith(("data:", "blob:"))]


def keep_png(page, name):
    """Keep what stands on the screen as a small PNG of few colours, where a folder for pictures is named."""
    if not PICTURES:
        return
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot = shot.resize((1024, round(1024 * shot.height / shot.width)), Image.Resampling.LANCZOS)
    path = Path(PICTURES) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < PNG_BYTES_MAX, (path, path.stat().st_size)


def keep_picture(page, name):
    """Keep what a page looks like, small enough for the documents."""
    if not PICTURES:
        return
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shot = shot.crop((0, 0, shot.width, min(shot.height, 1600)))
    path = Path(PICTURES) / f"{name}.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    shot.save(path, quality=50, method=6)
    assert path.stat().st_size < PICTURE_BYTES_MAX, path
