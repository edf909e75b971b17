"""The page Verify reads the code of a real voucher: from a picture, and held before a camera; pictures never leave the browser."""

import io

import pytest
from PIL import Image

from suanquan.portal.office_text import TEXTS
from tests.suanquan.browsing import CHROMIUM, NEEDS_CHROMIUM, Visits, sync_api
from tests.suanquan.site import VISITS

pytestmark = NEEDS_CHROMIUM
ZH = TEXTS["zh"]


@pytest.fixture
def shot(acted_on, tmp_path):
    """Chromium whose camera shows what was photographed of a voucher's own page, and that photograph."""
    film, picture = tmp_path / "film.mjpeg", tmp_path / "code.png"
    film.write_bytes(b"")
    switches = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *switches])
        visits = Visits(browser, acted_on.url)
        page = visits.open(acted_on.tokens["holder"])
        page.goto(acted_on.url + VISITS["voucher"][1].format(**acted_on._asdict()))
        taken = Image.open(io.BytesIO(page.locator("img.code").screenshot())).convert("RGB")
        framed = Image.new("RGB", (1280, 960), "#777")
        framed.paste(taken.resize((800, 800 * taken.height // taken.width)), (200, 60))
        framed.save(picture)
        frame = io.BytesIO()
        framed.save(frame, "JPEG", quality=92)
        film.write_bytes(frame.getvalue() * 5)
        yield visits, picture
        visits.close()
        browser.close()


def test_a_code_is_read_from_a_picture_and_by_the_camera(acted_on, shot):
    """Either way the box is filled and the verdict is there; a picture without a code is said to have none."""
    visits, picture = shot
    page = visits.open()
    posted = []
    page.on("request", lambda sent: posted.append(len(sent.post_data_buffer or b"")) if sent.method == "POST" else None)
    page.goto(f"{acted_on.url}/verify")
    assert page.is_visible("#camera-start")
    assert not page.is_visible("#camera-stop")
    blank = io.BytesIO()
    Image.new("RGB", (200, 200), "white").save(blank, "PNG")
    page.set_input_files("#camera-picture", {"name": "x.png", "mimeType": "image/png", "buffer": blank.getvalue()})
    page.wait_for_function("document.getElementById('camera-said').textContent !== ''")
    assert page.inner_text("#camera-said") == ZH["scan_nothing"]
    page.set_input_files("#camera-picture", picture)
    page.wait_for_selector(".verdict")
    assert ZH["matches"] in page.inner_text(".verdict")
    assert page.input_value("#pasted").startswith("SQ1:")
    page.goto(f"{acted_on.url}/verify")
    page.click("#camera-start")
    page.wait_for_selector(".verdict", timeout=60_000)
    assert ZH["matches"] in page.inner_text(".verdict")
    assert max(posted) < 5_000, "the code was sent, and no picture"
    plain = visits.open(java_script_enabled=False)
    plain.goto(f"{acted_on.url}/verify")
    assert not plain.is_visible("#camera")
