"""Every route × role × own, another's and missing object, generated from the router and the table of rights.

What a route does with an allowed request is tested elsewhere; here it is only let in or not. Another's object and one that does
not exist get the same answer, to the byte but for the name that was asked for.
"""

import asyncio
import contextlib
import json
import re
from random import Random

import httpx2
import pytest

from suanquan.access.policy import BENEFICIARY, CENTRE, POLICY, Reach, Role, reach
from suanquan.db.tokens import create_token
from suanquan.http.app import create_app
from suanquan.http.auth import actions_of, is_scoped
from suanquan.service import open_service
from tests.conftest import ALL
from tests.shared_data import ROOT
from tests.suanquan.harness import PASSPHRASE, give
from voucher.holder import sandbox_uscc

HERE, THERE = sandbox_uscc(1), sandbox_uscc(2)
TENANTS = dict.fromkeys(BENEFICIARY, HERE) | dict.fromkeys(CENTRE, "sj01")
ROLES = [role for role in Role if role not in {Role.PUBLIC, Role.CENTRE_AGENT}]
MISSING = {
    "jti": "00000000-0000-7000-8000-000000000000",
    "decision_id": "SQD-20200101-000000000000",
    "event_id": "0" * 32,
    "name": "nobody",
    "name:path": "nobody",
    "path:path": "0/000",
    "hold": "0" * 32,
    "place": "1-1",
    "token_id": "0" * 16,
    "step": "approve",
    "centre": "sj99",
    "account": "nobody",
}


class House:
    """A service in this process, a token for each role, and what belongs to whom."""

    def __init__(self, client, app, tokens, owned):
        self.client, self.tokens, self.owned = client, tokens, owned
        self.service = app._app._app.state.service
        self.routes = app._app._app.state.routes  # limits and the short way stand around it

    async def ask(self, role, method, path):
        headers = {} if role is Role.PUBLIC else {"Authorization": f"Bearer {self.tokens[role]}"}
        return await self.client.request(method, path, headers=headers)


@contextlib.asynccontextmanager
async def opened(home, clock_ns=None):
    async with open_service(home, PASSPHRASE, clock_ns) as service:
        owned = {}
        for holder, centre in ((HERE, "sj01"), (THERE, "sj02")):
            made = await give(service, holder, "100", accounts=[f"acct-{centre}"], centre=centre)
            owned[holder], owned[centre] = made.jti, f"acct-{centre}"
        async with service.database.write() as conn:
            tokens = {
                role: await create_token(conn, role.value, f"t-{role.value}", 0, tenant=TENANTS.get(role, ""))
                for role in ROLES
            }
        app = create_app(service)
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=service.settings.url) as client:
            yield House(client, app, tokens, owned)


@pytest.fixture(scope="module")
def home(template, tmp_path_factory):
    return template.copy_to(tmp_path_factory.mktemp("tenants") / "home").home


def of(path, **values):
    """The address of a route, with objects that do not exist where none is given."""
    return re.sub(r"\{([^}]+)\}", lambda found: values.get(found[1], MISSING.get(found[1], "none")), path)


def entries(house):
    """Method, path and action of every route that people use."""
    for route in house.routes:
        (action,) = actions_of(route)
        if POLICY[action].own != {Role.CENTRE_AGENT}:  # agents sign, and are tested with their signatures
            yield min(route.methods - {"HEAD"}), route.path, action


def refusal(answer):
    """Status and code; a page says by its status, and sends the public to the log-in, what a problem says by its code."""
    if answer.status_code == 303 and answer.headers["location"].startswith("/login"):
        return 401, "token-required"
    if answer.status_code >= 400 and "json" in answer.headers.get("content-type", ""):
        return answer.status_code, answer.json()["code"]
    return answer.status_code, {401: "token-required", 403: "not-permitted"}.get(answer.status_code, "")


def test_every_route_lets_in_whom_the_table_names(home, seed):
    """The public is asked for a token, a role without a right is refused, one with a right is never told that it lacks it.

    Of the roles that are let in, one by the seed is tried; all of them with --all.
    """
    random = Random(seed)

    async def run():
        async with opened(home) as house:
            asked = list(entries(house))
            assert len(asked) > 60
            for method, path, action in asked:
                address = of(path)
                if reach(Role.PUBLIC, action) is Reach.EVERYTHING:
                    if path != "/metrics":
                        answer = await house.ask(Role.PUBLIC, method, address)
                        assert answer.status_code < 500, (path, answer.text)
                        assert "not-permitted" not in answer.text, path
                    continue
                answer = await house.ask(Role.PUBLIC, method, address)
                assert refusal(answer) == (401, "token-required"), path
                allowed = [role for role in ROLES if reach(role, action) is not Reach.NOTHING]
                spared = set() if ALL else {*allowed} - {random.choice(allowed)}  # what it does for them is the same
                for role in [role for role in ROLES if role not in spared]:
                    answer = await house.ask(role, method, address)
                    assert answer.status_code < 500, (path, role, answer.text)
                    if reach(role, action) is Reach.NOTHING:
                        assert refusal(answer) == (403, "not-permitted"), (path, role)
                    elif "json" in answer.headers.get("content-type", ""):  # a page may refuse a form for other reasons
                        assert refusal(answer)[1] not in {"not-permitted", "token-required"}, (path, role, answer.text)

    asyncio.run(run())


def stripped(answer, *names):
    """An answer without its own number and the names that were asked for."""
    text = answer.text
    for name in names:
        text = text.replace(name, "*")
    found = json.loads(text) if text.startswith("{") else text
    if isinstance(found, dict):
        found.pop("request_id", None)
    return answer.status_code, found


def told(answer, name):
    """Status and text of a page without its request id, the marks of its forms and the name that was asked for."""
    status, found = stripped(
        answer, answer.headers.get("x-request-id", "-"), name
    )  # a short name may be part of the id
    return status, ONCE.sub("", found) if isinstance(found, str) else found


ONCE = re.compile(r'name="once" value="[^"]*"')

OBJECTS = {
    "/v1/vouchers/{jti}": "test_anothers_object_is_as_missing",
    "/v1/vouchers/{jti}/state": "test_anothers_object_is_as_missing",
    "/v1/vouchers/{jti}/qr": "test_anothers_object_is_as_missing",
    "/v1/statements/{centre}/{account}": "test_anothers_account_is_as_missing",
    "/v1/statements/{centre}/{account}/{month}": "test_anothers_account_is_as_missing",
    "/v1/decisions/{decision_id}/file": "test_anothers_decision_is_as_missing",
    "/v1/decisions/{decision_id}/letter": "test_anothers_decision_is_as_missing",
    "/v1/advice/{centre}": "test_another_centre_is_as_missing",
    "/v1/admission/kubernetes/{centre}": "test_another_centre_is_as_missing",
    "/v1/accounts": "test_accounts_over_http",
    "/v1/accounts/end": "test_accounts_over_http",
    "/v1/accounts/sessions/end": "test_a_tenant_makes_accounts_of_its_own_alone",
    **dict.fromkeys(
        (
            *("/v1/subsidies/applications", "/v1/applications"),
            *("/v1/subsidies/applications/{application}", "/v1/applications/{application}"),
            *("/v1/subsidies/applications/{application}/steps/{step}", "/v1/applications/{application}/steps/{step}"),
        ),
        "test_who_may_do_and_see_what",
    ),
    **dict.fromkeys(
        (
            "/v1/claims",
            "/v1/claims/{claim}",
            *(f"/v1/claims/{{claim}}/{act}" for act in ("withdraw", "return", "refuse")),
        ),
        "test_a_claim_that_ends_gives_back_what_it_took",
    ),
    **dict.fromkeys(
        ("/v1/receipts", "/v1/receipts/countersign", "/v1/receipts/dispute"), "test_receipts_are_for_their_beneficiary"
    ),
}
OBJECTS["/v1/usage/disputes"] = "test_a_holder_disputes_its_own_usage"
OBJECTS |= dict.fromkeys(
    ("/v1/settlements", *(f"/v1/settlements/{{batch}}{part}" for part in ("", "/lines", "/bundle"))),
    "test_a_payee_sees_its_own_batches_alone",
)
OBJECTS |= dict.fromkeys(
    (f"/v1/centres/{{centre}}{part}" for part in ("", "/pools", "/energy")), "test_a_centre_reads_and_reports_its_own"
)
OBJECTS["/v1/ledger/accounts/{name:path}/statement"] = "test_a_holder_gets_statements_of_its_own_vouchers"
OBJECTS |= dict.fromkeys(("/v1/holds", "/v1/holds/{hold}"), "test_everybody_sees_his_own_holds")
OBJECTS |= dict.fromkeys(
    (
        *("/v1/channels", "/v1/channels/{channel}/test", "/v1/channels/{channel}/end"),
        *("/v1/channels/{channel}/deliveries", "/v1/channels/{channel}/deliveries/{delivery}/again"),
    ),
    "test_the_inbox_and_channels_over_http",
)
"""Routes of the API that give each tenant its own part, and the test that asks them for one's own, another's and a missing object."""


def test_no_scoped_route_is_forgotten(home):
    """Each stands above with a test that is there, or is a list, which the next test reads; a new one fails here."""

    async def run():
        async with opened(home) as house:
            scoped = {route.path for route in house.routes if is_scoped(route) and route.path.startswith("/v1/")}
            assert scoped == set(OBJECTS) | set(LISTS), scoped ^ (set(OBJECTS) | set(LISTS))

    asyncio.run(run())
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in set(OBJECTS.values()):
        assert f"def {name}(" in sources, name


LISTS = ["/v1/vouchers", "/v1/centres", "/v1/quarantine", "/v1/decisions", "/v1/claims", "/v1/accounts"]


def test_no_list_names_another(home):
    """For every role that has a right to its own: nothing of the other company or the other centre is in any list."""

    async def run():
        async with opened(home) as house:
            for path in LISTS:
                (action,) = {
                    action
                    for route in house.routes
                    if route.path == path and "GET" in route.methods
                    for action in actions_of(route)
                }
                for role in [role for role in ROLES if reach(role, action) is Reach.OWN]:
                    answer = await house.ask(role, "GET", path)
                    assert answer.status_code == 200, (path, role, answer.text)
                    for name in (THERE, house.owned[THERE], "acct-sj02"):
                        assert name not in answer.text, (path, role)
                    assert not re.search(r"(?<![\w-])sj02(?![\w-])", answer.text), (
                        path,
                        role,
                    )  # no four letters of a token

    asyncio.run(run())


def test_another_centre_is_as_missing(home):
    """A scheduler and a centre's staff get one answer for another centre and for one that does not exist."""

    async def run():
        async with opened(home) as house:
            ask = "/v1/advice/{centre}?account=acct-sj01&model=A100&cards=1&hours=1"
            for role in (Role.SCHEDULER, Role.CENTRE_OPERATOR):
                assert (await house.ask(role, "GET", of(ask, centre="sj01"))).status_code == 200
                for method, path in (("GET", ask), ("POST", "/v1/admission/kubernetes/{centre}")):
                    foreign = await house.ask(role, method, of(path, centre="sj02"))
                    assert foreign.status_code in {403, 422}
                    assert stripped(foreign, "sj02") == stripped(await house.ask(role, method, of(path)), "sj99")

    asyncio.run(run())


READING = {"month": "2026-10", "total_kwh": 1240, "it_kwh": 1000, "green_kwh": 186, "evidence": "ab" * 32}


def test_a_centre_reads_and_reports_its_own(home):
    """A centre's staff read what is registered of it and report its energy; another centre is as one that is not there."""

    async def run():
        async with opened(home) as house:
            headers = {"Authorization": f"Bearer {house.tokens[Role.CENTRE_OPERATOR]}"}
            for path in ("/v1/centres/{centre}", "/v1/centres/{centre}/pools?on=2026-11-01"):
                assert (await house.ask(Role.CENTRE_OPERATOR, "GET", of(path, centre="sj01"))).status_code == 200
                foreign = await house.ask(Role.CENTRE_OPERATOR, "GET", of(path, centre="sj02"))
                assert foreign.status_code == 404
                assert stripped(foreign, "sj02") == stripped(
                    await house.ask(Role.CENTRE_OPERATOR, "GET", of(path)), "sj99"
                )

            async def report(centre):
                return await house.client.post(f"/v1/centres/{centre}/energy", json=READING, headers=headers)

            assert (await report("sj01")).json()["energy"][0]["pue"] == "1.240000"
            assert stripped(await report("sj02"), "sj02") == stripped(await report("sj99"), "sj99")

    asyncio.run(run())


def test_a_holder_gets_statements_of_its_own_vouchers(home):
    """Of its voucher's account, complete; another's, a centre's and a missing account are all unknown."""

    async def run():
        async with opened(home) as house:

            async def statement(name):
                return await house.ask(Role.BENEFICIARY_ADMIN, "GET", f"/v1/ledger/accounts/{name}/statement")

            name = f"voucher/{house.owned[HERE]}"
            assert (await statement(name)).json()["account"] == name
            missing = stripped(await statement("voucher/none"), "voucher/none")
            for foreign in (f"voucher/{house.owned[THERE]}", "centre/sj01/receivable"):
                assert stripped(await statement(foreign), foreign) == missing

    asyncio.run(run())


VOUCHER_ROUTES = ["/v1/vouchers/{jti}", "/v1/vouchers/{jti}/state", "/v1/vouchers/{jti}/qr"]


def test_anothers_object_is_as_missing(home):
    """A company reads its voucher; of another's it learns exactly as much as of one that was never issued. Lists are its own."""

    async def run():
        async with opened(home) as house:
            own, other = house.owned[HERE], house.owned[THERE]
            for role in sorted(BENEFICIARY, key=lambda role: role.value):
                for path in VOUCHER_ROUTES:
                    assert (await house.ask(role, "GET", of(path, jti=own))).status_code == 200
                    foreign = await house.ask(role, "GET", of(path, jti=other))
                    missing = await house.ask(role, "GET", of(path))
                    assert foreign.status_code == 404
                    assert stripped(foreign, other) == stripped(missing, MISSING["jti"])
                listed = (await house.ask(role, "GET", "/v1/vouchers?limit=1000")).json()["vouchers"]
                assert {one["holder"] for one in listed} == {HERE}
            everybody = (await house.ask(Role.AUDITOR, "GET", "/v1/vouchers?limit=1000")).json()["vouchers"]
            assert {one["holder"] for one in everybody} == {HERE, THERE}

    asyncio.run(run())


def test_anothers_account_is_as_missing(home):
    """A centre sees its own accounts, a company those bound to it; any other looks like one under which nothing was reported."""

    async def run():
        async with opened(home) as house:
            path = "/v1/statements/{centre}/{account}"
            for role in (Role.CENTRE_OPERATOR, Role.BENEFICIARY_MEMBER):
                own = await house.ask(role, "GET", of(path, centre="sj01", account=house.owned["sj01"]))
                assert own.json()["account"] == house.owned["sj01"]
                foreign = await house.ask(role, "GET", of(path, centre="sj02", account=house.owned["sj02"]))
                missing = await house.ask(role, "GET", of(path, centre="sj02", account="nobody"))
                assert stripped(foreign, house.owned["sj02"]) == stripped(missing, "nobody")
                assert foreign.json()["lines"] == []
                months = [
                    await house.ask(role, "GET", of(path + "/2026-11", centre="sj02", account=name))
                    for name in (house.owned["sj02"], "nobody")
                ]
                assert stripped(months[0], house.owned["sj02"]) == stripped(months[1], "nobody")
            centres = (await house.ask(Role.CENTRE_OPERATOR, "GET", "/v1/centres")).json()
            assert [one["id"] for one in centres] == ["sj01"]
            assert (await house.ask(Role.CENTRE_OPERATOR, "GET", "/v1/quarantine?centre=sj02")).json() == []

    asyncio.run(run())


def test_anothers_decision_is_as_missing(home):
    """Files and letters of decisions on others do not exist for a company; its list holds its own."""

    async def run():
        async with opened(home) as house:
            for path in ("/v1/decisions/{decision_id}/file", "/v1/decisions/{decision_id}/letter"):
                missing = await house.ask(Role.BENEFICIARY_ADMIN, "GET", of(path))
                assert (missing.status_code, missing.json()["code"]) == (404, "decision-unknown")
            assert (await house.ask(Role.BENEFICIARY_ADMIN, "GET", "/v1/decisions")).json()["decisions"] == []

    asyncio.run(run())


def test_the_cost_of_another_is_nobodys_business(home):
    """What vouchers paid for a holder is told to the office and to the holder, and refused alike for another and for nobody."""

    async def run():
        async with opened(home) as house:
            token = {"Authorization": f"Bearer {house.tokens[Role.BENEFICIARY_ADMIN]}"}

            async def cost(holder):
                body = {"holder": holder, "facts": {}}
                return await house.client.post("/v1/subsidies/evaluations", json=body, headers=token)

            assert (await cost(HERE)).status_code == 200
            foreign, missing = await cost(THERE), await cost(sandbox_uscc(9))
            assert foreign.status_code == 403
            assert stripped(foreign, THERE) == stripped(missing, sandbox_uscc(9))

    asyncio.run(run())
