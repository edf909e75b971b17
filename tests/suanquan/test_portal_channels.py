"""Channels of notices on their page: registered, tried, ended, each audience its own."""

import html
import re

from suanquan import outbound
from suanquan.portal.channels_text import NAMES, TEXTS
from suanquan.use_cases import channels
from tests.suanquan.test_portal import CJK

ZH, EN = TEXTS["zh"], TEXTS["en"]
LOOPBACK = outbound.Rules(outbound.networks_of("127.0.0.0/8"), sandbox=True)
URL = "http://127.0.0.1:9/robot?key=canary-5b1c"


def test_a_channel_is_registered_tried_and_ended(acted_on, visit, monkeypatch):
    """What cannot be reached is said with what was typed; a webhook's secret is shown once, its address never again; another has none."""
    inward = visit("holder", "/channels", {"way": "webhook", "url": URL, "kinds": ["gap.found"]})
    assert inward.status_code == 422, inward.text
    assert html.escape(URL) in inward.text
    assert re.search(r'value="gap.found" checked', inward.text)
    for wrong in (
        {"way": "fax", "url": URL},
        {"way": "wecom", "url": "x"},
        {"way": "dingtalk", "url": URL, "sign_secret": "一"},
    ):
        assert visit("holder", "/channels", wrong).status_code == 422, wrong
    monkeypatch.setattr(channels, "rules_of", lambda _: LOOPBACK)
    made = visit("holder", "/channels", {"way": "webhook", "url": URL, "kinds": ["voucher.expiring", "voucher.used"]})
    assert (made.status_code, made.headers["cache-control"], "whsec_" in made.text) == (201, "no-store", True), (
        made.text
    )
    assert visit("holder", "/channels", {"way": "wecom", "url": URL}).status_code == 303
    page = visit("holder", "/channels").text
    assert "whsec_" not in page
    assert "canary-5b1c" not in page
    assert ZH["way_none_lately"] in page
    numbers = sorted(set(re.findall(r"/channels/(\d+)/end", page)), key=int)
    assert len(numbers) == 2
    for who in ("centre", "stranger"):
        assert f"/channels/{numbers[0]}/" not in visit(who, "/channels").text
        for act in ("end", "test", "again"):
            assert visit(who, f"/channels/{numbers[0]}/{act}", {"delivery": "1"}).status_code == 404
    assert visit("holder", f"/channels/{numbers[0]}/burn", {"x": ""}).status_code == 404
    assert visit("holder", f"/channels/{numbers[0]}/again", {"delivery": "x"}).status_code == 404
    tested = visit("holder", f"/channels/{numbers[0]}/test", {"x": ""})
    assert tested.headers["location"] == "/channels?tested=1"
    assert ZH["sent_waiting"] in visit("holder", "/channels?tested=1").text
    for _ in range(2):
        assert visit("holder", f"/channels/{numbers[0]}/end", {"x": ""}).status_code == 303
    left = visit("holder", "/channels").text
    assert (f"/channels/{numbers[0]}/end" in left, f"/channels/{numbers[1]}/end" in left) == (False, True)
    assert visit("officer", "/channels").status_code == 200
    assert ZH["ways_add"] not in visit("officer", "/channels").text, "who may only read them"


def test_every_text_stands_in_both_languages():
    """No English text has Chinese in it, and placeholders agree."""
    for key in NAMES:
        assert not CJK.search(EN[key]), key
        assert re.findall(r"{\w*}", ZH[key]) == re.findall(r"{\w*}", EN[key]), key
