"""What waits for somebody stands on top of the first page, with the way to where it is done."""

import html
import re

from suanquan.portal.text import TEXTS

ZH, EN = TEXTS["zh"], TEXTS["en"]


def due_on(page):
    """What the page says there is to do, by address."""
    [section] = re.findall(r'<section class="due".*?</section>', page.text, re.DOTALL)
    return {
        html.unescape(address): html.unescape(text)
        for address, text in re.findall(r'<a href="([^"]*)">([^<]*)<', section)
    }


def test_a_company_reads_what_it_has_to_do(untouched, look):
    """The application that came back with its last day, the hold that is about to end, the voucher that ends first."""
    page = look("holder", "/vouchers")
    due = due_on(page)
    said = due[f"/applications/{untouched.returned}/supplement"]
    assert "第二个项目" in said
    assert "2026-11-28" in said
    assert untouched.application not in " ".join(due), "it is with the reviewers"
    assert due["/holds?state=open"] == ZH["due_holds"].format(count=1)
    assert re.search(ZH["due_soonest"].split("{days}")[0] + r"\d+ 天", page.text)
    english = due_on(look("holder", "/vouchers?lang=en"))
    assert english[f"/applications/{untouched.returned}/supplement?lang=en"].startswith("Supplement: ")


def test_who_has_no_voucher_reads_the_one_next_step(look):
    """How many rounds are open, and the way to their conditions."""
    page = look("stranger", "/vouchers")
    assert ZH["due_none"] in page.text
    assert ZH["due_rounds"].format(count=1) in page.text
    assert f'href="/subsidies">{ZH["due_conditions"]}' in page.text


def test_a_centre_reads_what_it_has_to_do(look):
    """Records in quarantine, batches under way, holds about to end; another centre has nothing."""
    due = due_on(look("centre", "/centre"))
    assert due["/centre/quarantine"] == ZH["due_quarantine"].format(count=1)
    assert due["/settlements"] == ZH["due_settling"].format(count=1)
    assert due["/holds?state=open"] == ZH["due_holds"].format(count=1)
