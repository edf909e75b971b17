"""Offline leases on both databases: centres that are cut off, with clocks of their own, never spend more than was set aside."""

import asyncio
import json
from random import Random

import pytest

from ledger import jws
from ledger.amount import CNY, format_units
from suanquan.use_cases.admission import spendable
from suanquan.use_cases.spend_acts import Capture, Hold, Release, Report
from suanquan.use_cases.till import Till
from tests.contracts.test_holds import ISSUER, YUAN, asked, give, shown, state
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import CATALOG, KEYS, NOW_S
from voucher.errors import VoucherError
from voucher.lease import LEASE_TYPE, WINDOW_S, read_lease, spend

HOUR = 3600


@pytest.fixture
async def desk(new_database):
    async with Desk(new_database(new_ledger)) as desk:
        desk.now_ns = NOW_S * 10**9
        yield desk


def lease_of(known, yuan, centre, life_s=HOUR):
    return Hold(known, shown(yuan, centre), "proof", life_s, is_lease=True)


def told(spends):
    return tuple((one.number, format_units(one.units, CNY), one.at_s, one.reference) for one in spends)


async def take(till, known, yuan, centre, life_s=HOUR):
    answer = json.loads(await till.ask_alone(asked(centre), lease_of(known, yuan, centre, life_s)))
    return read_lease(answer["token"], KEYS.verifying_keys(), issuer=ISSUER.name, centre=centre, revoked={})


async def report(till, centre, lease, spends, *, final=False):
    return json.loads(await till.ask_alone(asked(centre), Report(lease.lease, told(spends), final)))


async def parts(desk, jti):
    found = await state(desk, jti)
    return [found[name].partition(".")[0] for name in ("available", "held", "redeemed")]


async def test_what_was_spent_offline_is_captured_later(desk):
    """Of 40 leased yuan 15 are spent while cut off; reported twice they count once; the rest comes back with the last report."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    lease = await take(till, spendable(voucher, CATALOG.series), 40, "sj01")
    assert await parts(desk, voucher.jti) == ["60", "40", "0"]
    spends = []
    for yuan in (10, 5):
        spends.append(spend(lease, spends, yuan * YUAN, "job:7", now_s=NOW_S + 60))
    desk.now_ns += 2 * HOUR * 10**9  # it was cut off until after the lease's end
    first = await report(till, "sj01", lease, spends[:1])
    assert (first["captured"], first["accepted"], first["duplicate"]) == ("10.000000", [1], [])
    again = await report(till, "sj01", lease, spends)
    assert (again["captured"], again["accepted"], again["duplicate"]) == ("5.000000", [2], [1])
    nothing = await report(till, "sj01", lease, spends)
    assert (nothing["captured"], nothing["remaining"]) == ("0.000000", "25.000000")
    assert (await report(till, "sj01", lease, [], final=True))["remaining"] == "0.000000"
    assert await parts(desk, voucher.jti) == ["85", "0", "15"]
    assert (await audit(desk.path))["ok"]


async def test_nobody_else_spends_a_lease(desk):
    """Another centre's reports and releases meet nothing; its own is neither raised nor captured as holds are."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    known = spendable(voucher, CATALOG.series)
    lease = await take(till, known, 40, "sj01")
    one = spend(lease, [], YUAN, "job:1", now_s=NOW_S)
    attempts = [
        till.ask_alone(asked("sj02"), Report(lease.lease, told([one]), final=True)),
        till.ask(asked("sj02"), Release(lease.lease)),
        till.ask(asked("sj01"), Capture(lease.lease, "1", final=False)),
        till.ask(asked("sj01"), Hold(known, shown(1, "sj01", lease.lease), "proof", 60, lease.lease)),
    ]
    assert codes(await gathered(*attempts)) == ["hold-unknown", "hold-unknown", "lease-captured", "lease-not-raised"]
    hold = json.loads(await till.ask(asked("sj01"), Hold(known, shown(1, "sj01"), "proof", 60)))["hold"]
    assert codes(await gathered(till.ask_alone(asked("sj01"), Report(hold, told([one]), final=False)))) == [
        "lease-unknown"
    ]
    assert await parts(desk, voucher.jti) == ["59", "41", "0"]


async def test_a_lease_ends_and_what_comes_too_late_is_refused(desk):
    """A spend that says it was made after the end, or before the begin, is refused, and the whole report with it; after the
    window the rest has gone back by itself."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    lease = await take(till, spendable(voucher, CATALOG.series), 40, "sj01")
    good = spend(lease, [], YUAN, "job:1", now_s=NOW_S)
    for at_s in (NOW_S - 1, lease.ends_at_s):
        late = good._replace(number=2, at_s=at_s)
        assert codes(await gathered(report(till, "sj01", lease, [good, late]))) == ["lease-spend-late"]
    changed = good._replace(units=2 * YUAN)
    assert codes(await gathered(report(till, "sj01", lease, [good, changed]))) == ["lease-number-repeated"]
    await report(till, "sj01", lease, [good])
    assert codes(await gathered(report(till, "sj01", lease, [changed]))) == ["lease-spend-conflict"]
    desk.now_ns = (lease.ends_at_s + WINDOW_S) * 10**9
    assert codes(await gathered(report(till, "sj01", lease, [good._replace(number=2)]))) == ["hold-closed"]
    assert await parts(desk, voucher.jti) == ["99", "0", "1"]
    assert (await audit(desk.path))["ok"]


async def test_a_scheme_says_how_much_may_be_out(desk):
    """Half a voucher at once, a day at most; what was given back may be leased again; without the scheme's word nothing."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    known = spendable(voucher, CATALOG.series)
    lease = await take(till, known, 30, "sj01")
    attempts = [
        till.ask_alone(asked("sj02"), lease_of(known, 21, "sj02")),
        till.ask_alone(asked("sj02"), lease_of(known, 1, "sj02", 25 * HOUR)),
        till.ask_alone(asked("sj02"), lease_of(known, 1, "sj02", 59)),
        till.ask_alone(asked("sj02"), lease_of(known._replace(offline=None), 1, "sj02")),
    ]
    assert codes(await gathered(*attempts)) == ["lease-limit", "lease-too-long", "lease-too-long", "lease-not-allowed"]
    await till.ask(asked("sj01"), Release(lease.lease))
    await take(till, known, 50, "sj02")
    assert await parts(desk, voucher.jti) == ["50", "50", "0"]


async def test_one_request_is_one_lease(desk):
    """The same key gets the same lease, and a proof is good for one."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    act = lease_of(spendable(voucher, CATALOG.series), 10, "sj01")
    first, again = await asyncio.gather(*(till.ask_alone(asked("sj01", "same"), act) for _ in range(2)))
    assert first == again
    assert jws.verify(json.loads(first)["token"], KEYS.verifying_keys(), LEASE_TYPE)["amt"] == "10.000000"
    assert codes(await gathered(till.ask_alone(asked("sj01"), act))) == ["pop-replayed"]
    assert await parts(desk, voucher.jti) == ["90", "10", "0"]


async def test_centres_that_are_cut_off_never_overspend(desk, seed):
    """Three centres in two processes lease and hold at random, spend offline under clocks that differ, lie about numbers and
    amounts, and report in any order, some never: the voucher pays what was leased at most, and every unit is accounted for."""
    random = Random(seed)
    voucher = await give(desk)
    known = spendable(voucher, CATALOG.series)
    async with Desk(desk.path) as other:
        other.now_ns = desk.now_ns
        other.journal.entropy = Random(random.random()).randbytes
        tills = [Till(one.journal, lambda: ISSUER) for one in (desk, other)]
        centres = [f"sj{at:02d}" for at in range(3)]
        wanted = [(random.choice(centres), random.randint(1, 20)) for _ in range(8)]
        outcomes = await gathered(
            *(
                tills[at % 2].ask_alone(asked(centre), lease_of(known, yuan, centre))
                for at, (centre, yuan) in enumerate(wanted)
            ),
            *(
                tills[at % 2].ask(asked("sj09"), Hold(known, shown(9, "sj09"), "proof", 60 * 60 * 24 * 7))
                for at in range(6)
            ),
        )
        assert set(codes(outcomes)) <= {"", "lease-limit", "insufficient"}
        leases = [
            read_lease(
                json.loads(answer)["token"], KEYS.verifying_keys(), issuer=ISSUER.name, centre=centre, revoked={}
            )
            for (centre, _), answer in zip(wanted, outcomes[:8], strict=True)
            if isinstance(answer, bytes)
        ]
        reports = []
        for lease in leases:
            spends, skew = [], random.randint(-50, 50)
            for _ in range(random.randint(0, 6)):
                try:
                    units = random.randint(1, 8) * YUAN
                    spends.append(
                        spend(lease, spends, units, "job:1", now_s=NOW_S + random.randint(0, HOUR + 50) + skew)
                    )
                except VoucherError:
                    continue
            if random.random() < 0.3:  # a centre that reports more than it has
                spends.append(spend(lease, [], lease.units, "job:2", now_s=NOW_S)._replace(number=len(spends) + 1))
            rounds = [spends[: random.randint(0, len(spends))], spends, spends[::-1]]
            reports += [(lease, part) for part in rounds if part and random.random() < 0.8]
        random.shuffle(reports)
        done = await gathered(
            *(
                tills[at % 2].ask_alone(asked(lease.centre), Report(lease.lease, told(part), random.random() < 0.2))
                for at, (lease, part) in enumerate(reports)
            )
        )
        assert set(codes(done)) <= {"", "hold-exceeded", "hold-closed"}
    found = await state(desk, voucher.jti)
    sums = [int(found[name].replace(".", "")) for name in ("available", "held", "redeemed")]
    assert sum(sums) == 100 * YUAN
    assert min(sums) >= 0
    assert sums[2] <= sum(lease.units for lease in leases) <= 50 * YUAN
    assert (await audit(desk.path))["ok"]
