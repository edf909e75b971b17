"""Paying an application on its page, as the finance bureau does."""

import re

import httpx2

from suanquan.http.auth import COOKIE
from tests.suanquan.test_portal import FROM_HERE
from tests.subsidy.procedure_samples import PAY


def pay_on_the_page(bureau, found):
    """The fact that the payment needs is a field, as declared; what is wrong is said at its field, and what was typed stays."""
    path = f"/applications/{found}"
    cookie = {"Cookie": f"{COOKIE}={bureau.tokens[PAY[0].person]}"}
    with httpx2.Client(base_url=bureau.service.url, headers=FROM_HERE | cookie, timeout=60) as client:
        page = client.get(path).text
        assert re.search(r'<select id="pay-facts.project_completed" name="facts.project_completed" required', page)
        typed = {"reference": "ZF-2025-0001", "facts.project_completed": "false"}
        other = {"other_fact": re.findall(r'<option value="([a-z_]+_yuan)">', page)[0], "other_fact_said": "很多"}
        wrong = client.post(f"{path}/steps/pay", data=typed | other)
        assert wrong.status_code == 422
        assert re.search(r'<p class="error" id="pay-other_fact-problem">[^<]*应写整数', wrong.text)
        assert 'name="other_fact_said" value="很多"' in wrong.text
        assert '<option value="false" selected>' in wrong.text
        early = client.post(f"{path}/steps/pay", data=typed)
        assert (early.status_code, "ZF-2025-0001" in early.text) == (422, True)
        done = client.post(f"{path}/steps/pay", data=typed | {"facts.project_completed": "true"})
        assert done.status_code == 303, done.text
    told = bureau.http("GET", f"/v1/subsidies/applications/{found}", PAY[0].person).content
    assert told["money_yuan"]["paid"] == "150000.00"
