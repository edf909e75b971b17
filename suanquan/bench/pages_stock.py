"""What stands beside usage in the home of `bench pages`: applications of a round, a settlement batch, a dispute, holds, a month of energy."""

from __future__ import annotations

import json
import secrets
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.amount import CNY
from ledger.ed25519 import PublicKey
from ledger.scope import EVERYTHING
from metering.centre import Energy
from metering.notice_store import urns_of
from metering.signature import sign
from suanquan.bench.pages_asking import Asking, post
from suanquan.bench.pages_home import account, centre, scheme_of
from suanquan.http.settlements import desk_of
from suanquan.service import Service
from suanquan.use_cases import payees
from suanquan.use_cases.centres import Said, register_energy
from suanquan.use_cases.line_disputes import Line, Person, open_dispute
from suanquan.use_cases.settlement_facts import By
from suanquan.use_cases.statement import statement
from subsidy.procedure import Role
from subsidy.steps import Actor
from voucher.document import make_jti
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.presentation import Request, present
from voucher.settlement.accounts import centre_payee

PROCEDURE = "voucher-sandbox"
HOLDS = 60
OFFICE = Actor("bench-office", Role.DEPARTMENT)
CONTRACT = "ab" * 32


async def stock(service: Service, asking: Asking, key: Ed25519PrivateKey, holders: int) -> None:
    """Everything but usage, as of the clock's day; `key` is that of the first centre's agent."""
    await _cases(service, holders - 1)
    await _batch(service)
    await _dispute(service)
    for month in _months(service, 6):
        said = Said("bench", service.now_us, "ab" * 32)
        await register_energy(service.journal, centre(0), Energy(month, 1_240_000, 1_000_000, 186_000), said)
    await _holds(service, asking, key)


def _today(service: Service) -> date:
    return service.proceedings.today


def _months(service: Service, count: int) -> list[str]:
    """The last whole months, newest first."""
    found, first = [], _today(service).replace(day=1)
    for _ in range(count):
        first = (first - timedelta(days=1)).replace(day=1)
        found.append(first.isoformat()[:7])
    return found


async def _cases(service: Service, count: int) -> None:
    """A round, and an application of each of the first holders but one."""
    today, scheme = _today(service), scheme_of(service)
    call = {
        "procedure": PROCEDURE,
        "title": "bench",
        "budgets": {scheme: "100000000.00"},
        "opens": today.isoformat(),
        "closes": (today + timedelta(days=14)).isoformat(),
    }
    round_ = await service.proceedings.call(OFFICE, call)
    for number in range(1, count + 1):
        holder = sandbox_uscc(number)
        await service.proceedings.submit(Actor(holder, Role.APPLICANT), _application(round_, scheme, number, today))


def _application(round_: str, scheme: str, number: int, today: date) -> dict[str, Any]:
    holder = sandbox_uscc(number)
    dates = {"signed_on": today - timedelta(days=12), "starts_on": today, "ends_on": today + timedelta(days=364)}
    fields: dict[str, dict[str, Any]] = {
        "application_form": {},
        "business_licence_copy": {"registration_number": holder},
        "service_contract": {"sha256": CONTRACT},
        "credit_report": {"bad_record": False},
    }
    return {
        "round": round_,
        "scheme": scheme,
        "applicant": holder,
        "applicant_name": f"单位 {number}",
        "project": f"项目 {number}",
        "facts": {"beneficiary": {"kind": "enterprise", "startup": False, "related_to_provider": False}},
        "contract": {
            "number": f"HT-{number:05d}",
            "provider": sandbox_uscc(99_999),
            "sha256": CONTRACT,
            **{name: day.isoformat() for name, day in dates.items()},
            "items": [{"kind": "compute", "amount_yuan": "200000"}],
        },
        "materials": [
            {"id": name, "sha256": f"{at:064x}", "sealed": True, "matches_original": True, **values}
            for at, (name, values) in enumerate(fields.items())
        ],
    }


async def _batch(service: Service) -> None:
    """A batch of the last whole quarter of the first centre, and who it is paid to."""
    by = By(OFFICE.person, OFFICE.role.value)
    quarter, year = (_today(service).month - 1) // 3, _today(service).year
    period = f"{year}Q{quarter}" if quarter else f"{year - 1}Q4"
    await desk_of(service).prepare(by, scheme_of(service), centre_payee(centre(0)), period)
    details = {
        "name": "中心",
        "uscc": sandbox_uscc(99_999),
        "account": "62220001",
        "bank": "银行",
        "bank_code": "102290000001",
    }
    await payees.set_payee(service.journal, by, centre_payee(centre(0)), details)


async def _dispute(service: Service) -> None:
    """A dispute on the newest line of the first account."""
    async with service.database.read() as conn:
        line = (await statement(conn, service.catalog, EVERYTHING, centre(0), account(0), 2**62))["lines"][-1]
        source = (await urns_of(conn, [line["batch"]]))[line["batch"]]
    disputed = Line(centre(0), account(0), source, line["id"])
    await open_dispute(service.journal, disputed, Person("bench", "beneficiary_admin"), "bench", EVERYTHING)


async def _holds(service: Service, asking: Asking, key: Ed25519PrivateKey) -> None:
    """Holds on a voucher that is bound to a key, presented by the first centre."""
    holder = Ed25519PrivateKey.generate()
    wish = IssueRequest(sandbox_uscc(0), "CNY", "100000", dict(PublicKey.of(holder).jwk()))
    voucher = (await service.issue(scheme_of(service), wish, "bench/bound")).token or ""
    nonces = json.loads(await _signed(service, asking, key, "/v1/nonces", {"count": HOLDS}))["nonces"]
    for at, nonce in enumerate(nonces):
        now_s = service.now_us // 1_000_000
        proof = present(
            voucher, PublicKey.of(holder), holder.sign, Request("POST", f"{asking.url}/v1/holds", centre(0)),
            jti=make_jti(service.now_us, secrets.token_bytes(10)), nonce=nonce, asset=CNY, units=10**CNY.scale,
            reference=f"job:{at}", now_s=now_s,
        )  # fmt: skip
        await _signed(service, asking, key, "/v1/holds", {"voucher": voucher, "proof": proof})


async def _signed(
    service: Service, asking: Asking, key: Ed25519PrivateKey, path: str, content: dict[str, Any]
) -> bytes:
    body = json.dumps(content).encode()
    headers = sign(
        key, PublicKey.of(key).kid, method="POST", target_uri=f"{asking.url}{path}", content_type="application/json",
        body_sha256=sha256(body).digest(), idempotency_key=secrets.token_hex(16),
        created_s=service.now_us // 1_000_000, nonce=secrets.token_urlsafe(24),
    )  # fmt: skip
    return await post(asking, path, body, headers)
