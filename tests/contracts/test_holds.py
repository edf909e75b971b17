"""Holds on both databases, from two processes at once."""

import asyncio
import json
from collections import Counter
from itertools import count
from random import Random

import pytest

from ledger.amount import CNY
from ledger.scope import EVERYTHING
from suanquan.use_cases.admission import spendable
from suanquan.use_cases.ingest import Issuer, Request
from suanquan.use_cases.issue import Order, issue, load, voucher_object
from suanquan.use_cases.spend_acts import Capture, Hold, Release
from suanquan.use_cases.till import Till
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import CATALOG, KEYS, NOW_S
from tests.voucher.samples import HOLDER_KEY, KEY, PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.presentation import Presentation

YUAN = 10**CNY.scale
SCHEME = CATALOG.schemes["cn-sh-songjiang-sandbox"]
ISSUER = Issuer("https://quan.example", KEY.kid, PRIVATE.sign)
NUMBERS = count(1)


@pytest.fixture
async def desk(new_database):
    async with Desk(new_database(new_ledger)) as desk:
        desk.now_ns = NOW_S * 10**9
        yield desk


def asked(centre, key=None, digest=b"d" * 32):
    number = next(NUMBERS)
    return Request(centre, f"agent-{centre}", f"nonce{number}", (NOW_S + 600) * 10**6, key or f"key{number}", digest)


def shown(yuan, centre, reference="job:1"):
    number = next(NUMBERS)
    return Presentation(
        f"proof{number}", HOLDER_KEY, centre, CNY, int(yuan * YUAN), reference, f"holder{number}", NOW_S + 120
    )


async def give(desk, amount="100", key="a"):
    request = IssueRequest(sandbox_uscc(1), "CNY", amount, dict(HOLDER_KEY.jwk()))
    return await issue(desk.journal, Order(request, SCHEME, key), KEYS, PRIVATE.sign)


async def state(desk, jti):
    async with desk.database.read() as connection:
        return voucher_object(await load(connection, jti, EVERYTHING))


async def test_centres_in_two_processes_never_overspend(desk):
    """Four centres, two processes, eighty tasks at 3 yuan of 100: 33 holds; half captured, half released, nothing is lost."""
    voucher = await give(desk)
    known = spendable(voucher, CATALOG.series)
    async with Desk(desk.path) as other:
        other.now_ns = desk.now_ns
        other.journal.entropy = Random(1).randbytes  # two processes draw no id twice
        tills = [Till(one.journal, lambda: ISSUER) for one in (desk, other)]
        centres = [f"sj{at % 4:02d}" for at in range(80)]
        outcomes = await gathered(
            *(
                tills[at % 2].ask(asked(centre), Hold(known, shown(3, centre), "proof", 3600))
                for at, centre in enumerate(centres)
            )
        )
        assert Counter(codes(outcomes)) == {"": 33, "insufficient": 47}
        held = [
            (centre, json.loads(answer)["hold"])
            for centre, answer in zip(centres, outcomes, strict=True)
            if isinstance(answer, bytes)
        ]
        acts = [Capture(hold, "2", final=True) if at % 2 else Release(hold) for at, (_, hold) in enumerate(held)]
        done = await gathered(
            *(
                tills[at % 2].ask(asked(centre), act)
                for at, ((centre, _), act) in enumerate(zip(held, acts, strict=True))
            )
        )
        assert codes(done) == [""] * 33
    found = await state(desk, voucher.jti)
    assert [found[name] for name in ("available", "held", "redeemed")] == ["68.000000", "0.000000", "32.000000"]
    report = await audit(desk.path)
    assert report["ok"], json.dumps(report, default=str)


async def test_a_proof_is_used_once_in_two_processes(desk):
    """The same proof fifty times under keys of their own, through two processes: one hold."""
    known = spendable(await give(desk), CATALOG.series)
    async with Desk(desk.path) as other:
        other.now_ns, proof = desk.now_ns, shown(1, "sj01")
        tills = [Till(one.journal, lambda: ISSUER) for one in (desk, other)]
        outcomes = await gathered(
            *(tills[at % 2].ask(asked("sj01"), Hold(known, proof, "proof", 60)) for at in range(50))
        )
    assert Counter(codes(outcomes)) == {"": 1, "pop-replayed": 49}


async def test_a_hold_expires_and_gives_its_funds_back(desk):
    """At its nanosecond: the release that comes later finds it closed, and what was captured stays."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    known = spendable(voucher, CATALOG.series)
    hold = json.loads(await till.ask(asked("sj01"), Hold(known, shown(60, "sj01"), "proof", 60)))["hold"]
    await till.ask(asked("sj01"), Capture(hold, "10", final=False))
    desk.now_ns += 60 * 10**9
    assert codes(await gathered(till.ask(asked("sj01"), Capture(hold, "1", final=False)))) == ["hold-closed"]
    found = await state(desk, voucher.jti)
    assert [found[name] for name in ("available", "held", "redeemed")] == ["90.000000", "0.000000", "10.000000"]


async def test_one_key_asked_at_once_is_one_hold(desk):
    """Twenty retries of one request, together and later: one answer, byte for byte, and one hold."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    known, proof = spendable(voucher, CATALOG.series), shown(5, "sj01")
    again = [till.ask(asked("sj01", "same"), Hold(known, proof, "proof", 60)) for _ in range(20)]
    answers = {*await asyncio.gather(*again), await till.ask(asked("sj01", "same"), Hold(known, proof, "proof", 60))}
    assert len(answers) == 1
    assert codes(await gathered(till.ask(asked("sj01", "same", b"e" * 32), Release("0" * 32)))) == [
        "idempotency-key-reused"
    ]
    assert (await state(desk, voucher.jti))["held"] == "5.000000"


@pytest.mark.parametrize(("runs_on", "code"), [(True, ""), (False, "hold-closed")])
async def test_a_hold_outlives_its_voucher_where_the_scheme_says_so(desk, runs_on, code):
    """Taken a minute before the voucher ends, for an hour: with `run_to_end` the job is paid, with `stop` the hold ends with it."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    desk.now_ns = voucher.until_us * 1000 - 60 * 10**9
    known = spendable(voucher, CATALOG.series)._replace(runs_on=runs_on)
    hold = json.loads(await till.ask(asked("sj01"), Hold(known, shown(30, "sj01"), "proof", 3600)))["hold"]
    desk.now_ns += 120 * 10**9
    assert codes(await gathered(till.ask(asked("sj01"), Capture(hold, "10", final=True)))) == [code]
    assert (await state(desk, voucher.jti))["redeemed"] == ("10.000000" if runs_on else "0.000000")
