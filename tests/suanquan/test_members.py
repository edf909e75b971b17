"""What a body may set and what an answer may show: read-only members are refused, and who is shown what is a table.

API Security Top 10 2023, API3 (broken object property level authorisation): generated from the OpenAPI document.
"""

import asyncio
from random import Random

import pytest

from suanquan.access.policy import BENEFICIARY, Reach, Role, reach
from suanquan.http.auth import actions_of
from tests.conftest import ALL
from tests.suanquan.test_tenants import HERE, ROLES, of, opened

READ_ONLY = {
    "id": "x", "jti": "x", "state": "paid", "status": "active", "verdict": "genuine", "role": "administrator",
    "officer": "李四", "person": "李四", "by": "李四", "as": "李四", "actor": "李四", "recorded_at": "2026-01-01T00:00:00Z",
    "available": "1.00", "issued": "1.00", "balance": "1.00", "paid_yuan": "1.00", "tenant": HERE, "everything": True,
    "is_admin": True, "event_id": "0" * 32, "token": "x", "cwt": "x", "seq": 1, "confirmed": True, "__class__": "x",
}  # fmt: skip
"""Members of answers, and those that would say who acts: no body sets them, but where it says so itself."""
FOREIGN = {
    "/v1/admission/kubernetes/{centre}": "a document of Kubernetes, of which three members are read and none is kept",
    "/v1/sessions/passkey": "a document of W3C Web Authentication, with members that browsers add",
    "/v1/me/passkeys": "a document of W3C Web Authentication, with members that browsers add",
}
WHOLE = {
    "/v1/agreements": dict.fromkeys(("amount_yuan", "basis", "holder", "provider", "scheme"), "1"),
    "/v1/settlements/{batch}/evidence": {"kind": "contract", "name": "a.pdf", "sha256": "0" * 64},
    "/v1/receipts/countersign": {"event": "0" * 32, "receipt": "x", "signature": ""},
    "/v1/receipts/dispute": {"event": "0" * 32, "receipt": "x", "signature": "", "reason": "x"},
}
"""Bodies that lack nothing, of routes that look at what is missing first."""


@pytest.fixture(scope="module")
def home(template, tmp_path_factory):
    return template.copy_to(tmp_path_factory.mktemp("members") / "home").home


def bodies(document):
    """Path and schema of every body that the document has, with its parts put in."""
    parts = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                yield path, parts.get(schema.get("$ref", "").rpartition("/")[2], schema)


def loose(schema, parts, where):
    """Objects within a schema that take members which they do not name."""
    if "$ref" in schema:
        return loose(parts[schema["$ref"].rpartition("/")[2]], parts, where)
    found = [where] if "properties" in schema and schema.get("additionalProperties") is not False else []
    inner = dict(schema.get("properties", {}))
    inner |= {str(at): one for key in ("anyOf", "oneOf", "allOf") for at, one in enumerate(schema.get(key, []))}
    inner |= {key: schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)}
    return found + [fault for name, one in inner.items() for fault in loose(one, parts, f"{where}/{name}")]


def test_no_body_takes_what_it_does_not_name(home):
    """Every object of every body, however deep, names its members and is closed."""

    async def run():
        async with opened(home) as house:
            document = (await house.client.get("/openapi.json")).json()
        found = list(bodies(document))
        assert len(found) > 60
        faults = [fault for path, schema in found for fault in loose(schema, document["components"]["schemas"], path)]
        assert not faults, faults

    asyncio.run(run())


STEPS = {
    **dict.fromkeys(("/v1/applications", "/v1/subsidies/applications"), "test_who_may_do_and_see_what"),
    **dict.fromkeys(
        (f"/v1/{way}applications/{{application}}/steps/{{step}}" for way in ("", "subsidies/")),
        "test_who_may_do_and_see_what",
    ),
}
"""Routes that read a body once there is a case, and the test that has one."""
ACTING = (Role.DEPARTMENT, Role.FINANCE, Role.ADMINISTRATOR, Role.BENEFICIARY_ADMIN)


def test_read_only_members_are_refused(home, seed):
    """Whatever a body does not name is refused by its name, on every route that takes a body, by one who may act there.

    Routes that name one fault at a time are asked with one member by the seed, with all of them with --all.
    """
    random = Random(seed)

    async def run():
        async with opened(home) as house:
            before = (await house.client.get("/readyz")).json()["log_size"]
            document = (await house.client.get("/openapi.json")).json()
            [procedure, *_] = (await house.client.get("/v1/subsidies/procedures")).json()
            for path, schema in bodies(document):
                if path in FOREIGN or path in STEPS:
                    continue
                whole = {"procedure": procedure["id"]} if path.endswith("/rounds") else WHOLE.get(path, {})
                own = schema.get("properties", {}).keys() | whole.keys()
                extra = {name: value for name, value in READ_ONLY.items() if name not in own}
                one_by_one = list(extra) if ALL else [random.choice(list(extra))]
                for names in [list(extra)] if "properties" in schema else [[name] for name in one_by_one]:
                    answer = await post(house, path, whole | {name: extra[name] for name in names})
                    assert answer.status_code == 422, (path, answer.text)
                    missed = [name for name in names if f"/{name}" not in answer.text]
                    assert not missed, (path, missed, answer.text)
            assert (await house.client.get("/readyz")).json()["log_size"] == before, "nothing was done"

    asyncio.run(run())


async def post(house, path, body):
    (action,) = {
        action
        for route in house.routes
        if route.path == path and "POST" in route.methods
        for action in actions_of(route)
    }
    role = next(role for role in (*ACTING, *ROLES) if reach(role, action) is not Reach.NOTHING)
    headers = {"Authorization": f"Bearer {house.tokens[role]}", "Idempotency-Key": path}
    return await house.client.post(of(path), json=body, headers=headers)


VOUCHER = {
    *("jti", "holder", "scheme", "unit", "event_id", "valid_from", "valid_until", "issued", "available"),
    *("held", "redeemed", "expired", "returned", "split"),
}
READERS = frozenset({"auditor", "programme_officer", "administrator", "department", "finance"})
HOLDERS = frozenset(role.value for role in BENEFICIARY)
SHOWN = [
    ("/v1/vouchers", READERS | HOLDERS, {"vouchers", "next", *(f"vouchers.{name}" for name in VOUCHER)}),
    ("/v1/vouchers/{jti}", READERS | HOLDERS, VOUCHER | {"token", "cwt"}),
    ("/v1/vouchers/{jti}/state", READERS | HOLDERS, VOUCHER),
    ("/v1/centres", READERS | {"operator", "centre_operator"}, {"id", "name", "gpu_ms", "statuses"}),
    (
        "/v1/statements/{centre}/{account}",
        READERS | HOLDERS | {"centre_operator"},
        {"centre", "account", "lines", "months", "settled", "completeness", "next"},
    ),
    ("/v1/holds", READERS | HOLDERS | {"centre_operator"}, {"holds", "next"}),
    ("/v1/me", None, {"name", "role", "tenant"}),
    ("/v1/me/tokens", None, {"id", "role", "actions", "since", "expires", "revoked"}),
    ("/v1/accounts", {"administrator", "auditor"}, {"name", "state", "second_factor", "roles", "roles.role", "roles.tenant"}),
    (
        "/v1/audit",
        {"administrator", "auditor"},
        {
            *("head", "head.size", "head.root", "head.signed", "next", "rows", "rows.seq", "rows.at", "rows.at_us"),
            *("rows.action", "rows.person", "rows.commitment", "rows.salt", "rows.detail", "rows.detail.person"),
            *("rows.detail.role", "rows.detail.tenant", "rows.detail.about", "rows.detail.request", "rows.detail.via"),
        },
    ),
]  # fmt: skip
"""Of each answer about persons and companies: who may have it at all (None: every person), and the members that it may have."""


def members(value, before=""):
    """Names of all members within an answer, with those of what they are in."""
    if isinstance(value, list):
        return {name for one in value for name in members(one, before)}
    if not isinstance(value, dict):
        return set()
    return {name for key, one in value.items() for name in ({before + key} | members(one, f"{before}{key}."))}


def test_an_answer_shows_what_the_table_names(home):
    """Whoever is answered gets the members of the table and no other; a new member, or a new reader, fails here until it is entered."""

    async def run():
        async with opened(home) as house:
            for path, readers, names in SHOWN:
                for role in ROLES:
                    address = of(path, jti=house.owned[HERE], centre="sj01", account="acct-sj01")
                    answer = await house.ask(role, "GET", address)
                    if readers is not None and role.value not in readers:
                        own = path == "/v1/accounts" and role in {Role.BENEFICIARY_ADMIN, Role.CENTRE_OPERATOR}
                        assert (answer.status_code == 403) or (own and answer.json() == []), (path, role)
                    elif role is Role.SCHEDULER and path.startswith("/v1/me"):
                        assert answer.status_code == 403
                    else:
                        assert answer.status_code == 200, (path, role, answer.text)
                        assert members(answer.json()) <= names, (path, role, members(answer.json()) - names)
                        assert "next" not in names or "next" in answer.json()

    asyncio.run(run())
