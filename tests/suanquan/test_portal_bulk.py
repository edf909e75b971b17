"""Acting on several rows: what the preview says is what happens, four eyes and stale rows stop only themselves, and each leaves its trace."""

import contextlib
import html
import re
import sqlite3

import pytest

from suanquan.portal.bulk import ROWS_MAX
from suanquan.portal.bulk_text import NAMES, TEXTS
from tests.suanquan.site import post_json
from tests.suanquan.test_portal import CJK, PORTAL, words
from tests.voucher.application_samples import application, contract, materials
from voucher.holder import sandbox_uscc

ZH, EN = TEXTS["zh"], TEXTS["en"]


@pytest.fixture(scope="module")
def site(acted_on):
    return acted_on


def shown(page):
    return html.unescape(words(page.text))


def audited(site):
    """About what there is a row of the audit log for an act."""
    with contextlib.closing(sqlite3.connect(site.home.database)) as connection:
        return [row[0] for row in connection.execute("SELECT body FROM audit_detail ORDER BY seq")]


def ticks(page):
    """The boxes of a list, by name, with what they stand for."""
    return dict(re.findall(r'type="checkbox" name="(row\.[^"]+)" value="([^"]*)"', page.text))


def kept(page):
    """What the form that confirms a preview sends."""
    form = next(one for one in re.findall(r"<form.*?</form>", page.text, re.DOTALL) if 'value="confirm"' in one)
    return {
        name: html.unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form)
    }


@pytest.fixture(scope="module")
def waiting(site):
    """Three more applications of other companies in the open round."""
    found = []
    for number in range(21, 24):
        holder = sandbox_uscc(number)
        deal = contract(f"HT-{number}", signed_on="2026-11-02", starts_on="2026-11-10", ends_on="2027-10-31")
        content = application(
            site.round,
            holder,
            contract=deal,
            materials=materials(holder),
            applicant_name=f"第{number}家",
            project=f"项目{number}",
        )
        found.append(post_json(site.url, site.tokens["方"], "/v1/subsidies/applications", content)["id"])
    return found


def test_applications_are_returned_together(site, visit, waiting):
    """Previewed row by row: the maker may not, a stale one is named; confirmed once; the rest is done, each with its audit row."""
    page = visit("林", "/bulk/applications")
    boxes = ticks(page)
    assert {f"row.{one}" for one in waiting} <= set(boxes)
    nothing = visit("林", "/bulk/applications", {"act": "preview"})
    assert nothing.status_code == 422
    assert ZH["problem_ticks"] in nothing.text
    assert ZH["problem_deed"] in nothing.text
    chosen = {name: boxes[name] for name in boxes if name[4:] in waiting} | {
        "deed": "return_for_materials",
        "reason": "缺盖章页",
    }
    lacking = visit("林", "/bulk/applications", chosen | {"act": "preview"})
    assert lacking.status_code == 422
    assert ZH["input_until"] in shown(lacking)
    assert lacking.text.count(" checked") >= 4, "ticks and choice stay"
    assert 'value="缺盖章页"' in lacking.text
    chosen["until"] = "2026-11-28"
    before = audited(site)
    mine = visit("方", "/bulk/applications", chosen | {"act": "preview"})
    assert "four-eyes" in mine.text
    assert ZH["preview_none"] in mine.text
    preview = visit("林", "/bulk/applications", chosen | {"act": "preview"})
    assert ZH["preview_able"].format(count=3) in shown(preview)
    assert len(audited(site)) == len(before) + 2, "looking leaves one row each, trying none"
    assert ZH["runs"] not in visit("林", "/bulk/applications").text, "nothing was done"
    visit("林", f"/applications/{waiting[2]}/steps/refuse", {"reason": "另有决定"})
    confirm = kept(preview) | {"act": "confirm"}
    done = visit("林", "/bulk/applications", confirm)
    assert done.status_code == 303, done.text
    again = visit("林", "/bulk/applications", confirm)
    assert again.headers["location"].startswith(done.headers["location"]), "pressed twice is done once"
    told = visit("林", done.headers["location"])
    assert ZH["run_counts"].format(done=2, refused=1, waiting=0) in shown(told)
    assert "row-changed" in told.text
    for one in waiting[:2]:
        assert "已退回补正" in visit("林", f"/applications/{one}").text
        assert (
            sum(
                one in row and "return_for_materials" in row and '"application.act"' not in row for row in audited(site)
            )
            >= 1
        )
    assert visit("孙", done.headers["location"]).status_code == 404, "another's run"
    assert (
        ZH["run_title"].format(deed="退回补正") in visit("林", "/bulk/applications").text
        or ZH["runs"] in visit("林", "/bulk/applications").text
    )


def test_a_session_that_ends_loses_no_tick(site, visit, waiting):
    """Ticks and words go along through the sign-in, and back into the list."""
    boxes = ticks(visit("周", "/bulk/applications?tick=all"))
    sent = dict(list(boxes.items())[:2]) | {"deed": "refuse", "reason": "独有的理由", "act": "preview"}
    over = visit(None, "/bulk/applications", sent)
    assert over.status_code == 401
    assert "独有的理由" in over.text
    back = visit("周", "/bulk/applications", sent | {"resume": "1"})
    assert back.text.count('type="checkbox" name="row.') >= 2
    assert len(re.findall(r'name="row\.[^>]* checked', back.text)) == len(boxes.keys() & sent.keys())
    assert "独有的理由" in back.text
    many = {f"row.R{number}": "x" for number in range(ROWS_MAX + 1)} | {
        "deed": "refuse",
        "reason": "x",
        "act": "preview",
    }
    assert ZH["problem_too_many"].format(most=ROWS_MAX, count=ROWS_MAX + 1) in shown(
        visit("周", "/bulk/applications", many)
    )
    gone = visit("周", "/bulk/applications", {"row.R0": "x", "deed": "refuse", "reason": "x", "act": "preview"})
    assert "row-gone" in gone.text


def test_quarantined_records_are_decided_together(site, visit):
    """One that cannot be rated says so and can be dropped; who may not decide has no list."""
    assert visit("department", "/bulk/quarantine").status_code == 403
    boxes = ticks(visit("officer", "/bulk/quarantine"))
    [name] = boxes
    chosen = boxes | {"reason": "型号不存在"}
    refused = visit("officer", "/bulk/quarantine", chosen | {"deed": "release", "act": "preview"})
    assert "model-unknown" in refused.text
    assert ZH["preview_unable"].format(count=1) in shown(refused)
    preview = visit("officer", "/bulk/quarantine", chosen | {"deed": "drop", "act": "preview"})
    done = visit("officer", "/bulk/quarantine", kept(preview) | {"act": "confirm"})
    assert ZH["run_done"] in visit("officer", done.headers["location"]).text
    assert ZH["nothing_to_do"] in visit("officer", "/bulk/quarantine").text
    assert name.removeprefix("row.") in visit("officer", done.headers["location"]).text


def test_batches_are_approved_by_others_only(site, visit):
    """The preview says which papers are lacking and who may not; a batch is certified, and given back."""
    boxes = ticks(visit("department", "/bulk/settlements"))
    assert list(boxes) == [f"row.{site.batch}"]
    mine = visit("department", "/bulk/settlements", boxes | {"deed": "approve", "act": "preview"})
    assert "same-person" in mine.text
    lacking = visit("林", "/bulk/settlements", boxes | {"deed": "approve", "act": "preview"})
    assert "evidence-missing" in lacking.text
    preview = visit("林", "/bulk/settlements", boxes | {"deed": "certify", "act": "preview"})
    assert ZH["preview_sum"].format(amount="120.00") in shown(preview)
    certified = visit("林", "/bulk/settlements", kept(preview) | {"act": "confirm"})
    assert ZH["run_done"] in visit("林", certified.headers["location"]).text
    stale = visit("林", "/bulk/settlements", boxes | {"deed": "return", "reason": "重列", "act": "confirm"})
    assert "row-changed" in visit("林", stale.headers["location"]).text


def test_every_text_of_these_pages_stands_in_both_languages():
    """No key lacks a language, placeholders agree, each is used, and no English page has Chinese beside names."""
    used = "".join(path.read_text("utf-8") for path in [*PORTAL.glob("templates/**/*.html"), *PORTAL.glob("[!t]*.py")])
    used = used.replace((PORTAL / "bulk_text.py").read_text("utf-8"), "")
    built = re.compile("(bulk|sheet|column|cell)_")
    for key in NAMES:
        chinese, english = ZH[key], EN[key]
        assert not CJK.search(english), key
        assert sorted(re.findall(r"{\w*}", chinese)) == sorted(re.findall(r"{\w*}", english)), key
        assert re.search(rf"\bt\.{key}\b|\"{key}\"", used) or built.match(key), key
