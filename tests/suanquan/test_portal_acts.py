"""Acts that a case may need on its way: calling a round, and supplementing what was returned."""

import html
import re

from suanquan.portal.round_text import NAMES as ROUND_NAMES
from suanquan.portal.round_text import TEXTS as ROUNDS
from suanquan.portal.work_text import TEXTS
from subsidy.step_body import decode
from subsidy.store import steps_of
from tests.suanquan.test_portal import CJK, words
from tests.voucher.application_samples import SCHEME

ZH = TEXTS["zh"]


def shown(page):
    return html.unescape(words(page.text))


def typed_in(page):
    """The form as it stands: hidden and typed fields, and what is chosen."""
    form = max(re.findall(r"<form.*?</form>", page.text, re.DOTALL), key=len)
    fields = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
        if name and 'type="file"' not in tag and ('type="radio"' not in tag or " checked" in tag):
            fields[name[1]] = html.unescape(value[1]) if value else ""
    return fields


def test_a_returned_application_is_supplemented(acted_on, visit):
    """Why it came back and until when, what is lacking stands open, all else is there; a fault keeps it; then it goes on."""
    case = f"/applications/{acted_on.returned}"
    before = visit("holder", case)
    assert f'href="{case}/supplement"' in before.text
    assert ZH["your_part"] in before.text
    assert "2026-11-28" in before.text
    assert visit("stranger", f"{case}/supplement").status_code == 404
    assert visit("何", f"{case}/supplement").status_code == 409
    page = visit("holder", f"{case}/supplement")
    told = shown(page)
    assert "营业执照未盖章，缺信用报告" in told
    open_part = page.text[: page.text.index(ZH["as_they_were"])]
    assert 'name="material.credit_report"' in open_part
    assert 'name="material.business_licence_copy.sealed"' in open_part
    assert 'name="material.application_form"' not in open_part
    fields = typed_in(page)
    assert fields["contract.number"] == "HT-2026-B"
    assert fields["material.business_licence_copy.sealed"] == "no"
    fields |= {
        "material.business_licence_copy.sealed": "yes",
        "material.credit_report": "kein Hash",
        "material.credit_report.bad_record": "no",
    }
    fields |= {"material.credit_report.sealed": "yes", "material.credit_report.matches_original": "yes"}
    refused = visit("holder", f"{case}/supplement", fields)
    assert refused.status_code == 422
    assert 'value="kein Hash"' in refused.text
    assert 'href="#material.credit_report"' in refused.text
    seen = re.search(r'name="stamp" value="(\d+)"', visit("林", case).text)[1]
    fields["material.credit_report"] = "ef" * 32
    more = {"amount": "很多", "costs": "某公司 | FP-1 | 100.00\n某公司 | FP-2"}
    wrong = visit("holder", f"{case}/supplement", fields | more)
    assert wrong.status_code == 422
    for name in ("amount", "costs"):
        assert f'id="{name}-problem"' in wrong.text
        assert f'href="#{name}"' in wrong.text
    assert "FP-2" in wrong.text
    fields |= {"amount": "90000", "costs": "某公司 | FP-1 | 100.00"}
    done = visit("holder", f"{case}/supplement", fields)
    assert done.status_code == 303, refused.text
    last = acted_on.call(_last_inputs(acted_on.service, acted_on.returned))
    assert (last["amount_fen"], last["costs"]) == (
        9_000_000,
        [{"issuer": "某公司", "document": "FP-1", "yuan": "100.00"}],
    )
    assert "contract" not in last, "what is not changed is not sent again"
    after = visit("holder", case)
    assert "已申领，待初审" in after.text
    assert ZH["nothing_of_you"] in after.text
    assert visit("holder", f"{case}/supplement").status_code == 409
    review = {"opinion": "独有的意见", "stamp": seen}
    stale = visit("林", f"{case}/steps/pass_preliminary_review", review)
    assert stale.status_code == 409, "of a page that showed the application as it was before"
    assert "独有的意见" in stale.text
    review["stamp"] = re.search(r'name="stamp" value="(\d+)"', stale.text)[1]
    assert visit("林", f"{case}/steps/pass_preliminary_review", review).status_code == 303


async def _last_inputs(service, application):
    async with service.database.read() as conn:
        return decode((await steps_of(conn, application))[-1])["inputs"]


def test_a_round_is_called_on_the_page(acted_on, visit):
    """What is wrong stands at its field with all that was typed; then it is there, open by its days; finance adds to it."""
    zh = ROUNDS["zh"]
    assert visit("holder", "/office/rounds").status_code == 403
    assert zh["no_rounds_yet"] not in visit("officer", "/office/rounds").text
    assert 'value="call"' not in visit("何", "/office/rounds").text
    call = {"procedure": "voucher-sandbox", "title": "第二轮通知", "opens": "2026-11-25", "closes": "2026-11-21"}
    refused = visit(
        "方",
        "/office/rounds",
        {"deed": "call"} | call | {f"budget.voucher-sandbox.{SCHEME}": "一万", "budget.16.16:三(一)": "5"},
    )
    assert refused.status_code == 422
    assert 'href="#call-budgets"' in refused.text
    assert 'value="一万"' in refused.text
    assert 'value="第二轮通知"' in refused.text
    turned = visit("方", "/office/rounds", {"deed": "call"} | call | {f"budget.voucher-sandbox.{SCHEME}": "10,000"})
    assert turned.status_code == 422, "it would close before it opens"
    call["closes"] = "2026-12-05"
    assert (
        visit(
            "何", "/office/rounds", {"deed": "call"} | call | {f"budget.voucher-sandbox.{SCHEME}": "10000"}
        ).status_code
        == 403
    )
    assert (
        visit(
            "方", "/office/rounds", {"deed": "call"} | call | {f"budget.voucher-sandbox.{SCHEME}": "10,000"}
        ).status_code
        == 303
    )
    page = shown(visit("何", "/office/rounds"))
    assert "第二轮通知" in page
    assert zh["round_called"] in page
    new = re.findall(r"Rvoucher-sandbox-2026-[2-9]", page)[0]
    added = {"round": new, f"budget.{SCHEME}": "500.00"}
    lacking = visit("何", "/office/rounds", {"deed": "fund"} | added)
    assert (lacking.status_code, 'value="500.00"' in lacking.text) == (422, True)
    assert visit("何", "/office/rounds", {"deed": "fund"} | added | {"basis": "财〔2026〕1号"}).status_code == 303
    assert "10,500.00" in visit("何", "/office/rounds").text
    assert visit("何", "/office/rounds", {"deed": "settle", "round": new, "basis": "x"}).status_code == 409, (
        "it is not over"
    )
    english = visit("何", "/office/rounds?lang=en").text
    for key in ROUND_NAMES:
        assert not CJK.search(ROUNDS["en"][key]), key
    assert ROUNDS["en"]["round_called"] in english
