"""Before an officer decides: the rules' result, duplicates and the budget after are on the page, as rules, register and ledger have them."""

import html
import re

from suanquan.portal.work_text import TEXTS
from suanquan.use_cases.weighing import weigh
from tests.suanquan.test_portal import words

ZH = TEXTS["zh"]


def part(page):
    """The section that is for whoever decides."""
    found = re.search(r'<section aria-labelledby="weigh">.*?</section>', page.text, re.DOTALL)
    return html.unescape(words(found[0])) if found else ""


async def weighed(service, application):
    """What the use case says of an application, its round's account and what was claimed, from the stores."""
    async with service.database.read() as conn:
        every = await service.cases.applications(conn)
        found = next(one for one in every if one.id == application)
        return await weigh(conn, found, await service.proceedings.setting(conn, found), every)


def test_an_officer_sees_what_he_decides_on(untouched, look):
    """Ceiling by the rules with its steps, the other application of the company, what the register holds, the budget before and after."""
    said = untouched.call(weighed(untouched.service, untouched.application))
    for who in ("林", "officer", "专家组"):
        page = part(look(who, f"/applications/{untouched.application}"))
        assert ZH["status_eligible"] in page
        assert "第二个项目" in page, "the other application of the same company"
        assert ZH["claims_alone"] in page
        assert said.after == said.left - said.wanted > 0
        for units in (said.left, said.wanted, said.after):
            assert f"{units // 10**6:,}.{units % 10**6:06d}" in page.replace(" ", ""), units
    assert (said.left, said.shared, said.committed) == (300_000_000_000, [], False)
    assert said.held["contract"] == said.held["application"] == 1
    assert part(look("林", f"/applications/{untouched.application}?lang=en"))
    assert not part(look("holder", f"/applications/{untouched.application}")), "no applicant sees the budget"
