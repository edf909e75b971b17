"""Usage that names no hold, of a holder for whom the centre has one: it waits, so that no job is paid twice. On both databases."""

import asyncio
import json
from hashlib import sha256
from itertools import count

import pytest

from ledger.amount import CNY
from metering import segment
from metering.batch import decode_cloudevents, read_cloudevents
from metering.corrections import Correction
from metering.quarantine import Verdict
from metering.zones import rfc3339
from suanquan.use_cases import corrections
from suanquan.use_cases.admission import spendable
from suanquan.use_cases.desk import Amendment, amend, decide_waiting
from suanquan.use_cases.ingest import Issuer, Request
from suanquan.use_cases.intake import Intake
from suanquan.use_cases.quarantine import Decision, parse_place
from suanquan.use_cases.settle import Said
from suanquan.use_cases.setup import bind_account, register_centre
from suanquan.use_cases.shares import Terms
from suanquan.use_cases.spend_acts import Capture, Hold, Release
from suanquan.use_cases.till import Till
from tests.contracts.test_holds import ISSUER, asked, give, shown, state
from tests.ledger.desk import Desk, audit, new_ledger
from tests.ledger.full_ledger import CATALOG, NOW_S, RULES, body
from tests.voucher.samples import KEY, PRIVATE
from voucher.holder import sandbox_uscc

YUAN = 10**CNY.scale
HOUR_S = 3600
SOURCE = "urn:centre:sj01:agent:a"
NUMBERS = count(1)


@pytest.fixture
async def centre(new_database):
    """Usage of `lab-0` belongs to the first holder, whose voucher of 1,000 yuan has his key: both ways to spend it are open."""
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        await register_centre(desk.journal, CATALOG, "sj01", "松江", {"H800": 640})
        await bind_account(desk.journal, "sj01", "lab-0", sandbox_uscc(1))
        yield Centre(desk, await give(desk, "1000"))
    report = await audit(place)
    assert report["ok"], report


class Centre:
    """A centre that takes holds, reports usage and forgets to say which hold a job was for."""

    def __init__(self, desk, voucher):
        self.desk, self.voucher = desk, voucher
        self.known = spendable(voucher, CATALOG.series)
        self.till, self.rules = Till(desk.journal, lambda: ISSUER), RULES
        self.intake = Intake(
            desk.journal, lambda: self.rules, lambda: Issuer("https://quan.example", KEY.kid, PRIVATE.sign)
        )

    async def hold(self, yuan=100, life_s=HOUR_S, centre="sj01"):
        answer = await self.till.ask(asked(centre), Hold(self.known, shown(yuan, centre), "proof", life_s))
        return json.loads(answer)["hold"]

    async def capture(self, hold, yuan, *, final=True):
        await self.till.ask(asked("sj01"), Capture(hold, str(yuan), final=final))

    def job(self, number, *, ago_s=0, voucher=None, account="lab-0", lasts_s=60, final=True):
        """A record that ended `ago_s` before now, as an event."""
        [event] = json.loads(body("sj01", number, 1, final=final))
        end_us = (self.desk.now_ns // 10**9 - ago_s) * 10**6
        event["subject"] = account
        event["data"] |= {
            "start": rfc3339(end_us - lasts_s * 10**6), "end": rfc3339(end_us), "active_s": lasts_s, "voucher": voucher,
        }  # fmt: skip
        return event

    async def report(self, *events, compact=True):
        """Statuses with codes: as volume comes in, or the way that looks at each record."""
        content, number = json.dumps(events).encode(), next(NUMBERS)
        about = Request("sj01", "kid", f"n{number}", 0, f"key {number}", sha256(content).digest())
        read = read_cloudevents if compact else decode_cloudevents
        answer = json.loads(await self.intake.take(about, read(content, self.desk.now_ns // 1000)))
        return [(one["status"], one.get("code", "")) for one in answer["results"]]

    async def money(self):
        found = await state(self.desk, self.voucher.jti)
        return {name: float(found[name]) for name in ("available", "held", "redeemed")}

    def waiting(self):
        return self.desk.rows("SELECT batch, position FROM quarantine ORDER BY batch, position")

    async def decide(self, verdict):
        [(batch, position)] = self.waiting()
        decision = Decision(parse_place(f"{batch}-{position}"), verdict, "甲", "已核对作业")
        return await decide_waiting(self.desk.journal, RULES, decision)

    async def correct(self, event, **said):
        """A correction by the centre's own agent."""
        [record] = _records(json.dumps([event]).encode(), self.desk.now_ns)
        terms = Terms("sj01", self.rules.tariffs("sj01"), self.rules.schemes)

        async def work(tx):
            source = await corrections.open_corrected(tx, SOURCE, "sj01")
            one = Correction(record.id, 1, record, **said)
            return await corrections.correct(tx, Said(b"d" * 32, b"a" * 8, RULES.ruleset), source, terms, [one])

        [result] = await self.desk.journal.transact(work)
        return result.status, result.code


def _records(content, now_ns):
    return [segment.decode(leaf) for leaf in decode_cloudevents(content, now_ns // 1000).leaf]


WAITS = [("held", "hold-unnamed")]
TAKEN = [("accepted", "")]


@pytest.mark.parametrize("compact", [True, False])
async def test_a_centre_that_names_no_hold_is_paid_once(centre, compact):
    """The wrong answer would be the price from the hold and the price again from the voucher; it is the hold's alone."""
    hold = await centre.hold(100)
    centre.desk.now_ns += 600 * 10**9
    before_capture = await centre.report(centre.job(1), compact=compact)
    await centre.capture(hold, 40)
    after_capture = await centre.report(centre.job(2), compact=compact)
    assert before_capture == after_capture == WAITS
    assert await centre.money() == {"available": 960.0, "held": 0.0, "redeemed": 40.0}


async def test_usage_beside_a_hold_is_no_reason_to_wait(centre):
    """Usage that ended before the hold, or began after it could be drawn on; of others; that names the hold; all are posted."""
    await bind_account(centre.desk.journal, "sj01", "lab-1", sandbox_uscc(2))
    hold = await centre.hold(100, life_s=60)
    before, other = centre.job(1, ago_s=30), centre.job(2, account="lab-1")
    assert await centre.report(before, other) == TAKEN * 2
    centre.desk.now_ns += 30 * 10**9
    assert await centre.report(centre.job(3, voucher=hold, lasts_s=20)) == TAKEN
    centre.desk.now_ns += HOUR_S * 10**9
    assert await centre.report(centre.job(4, lasts_s=20)) == TAKEN
    assert centre.waiting() == []


@pytest.mark.parametrize("end", ["released", "expired", "metered", "elsewhere"])
async def test_a_hold_that_pays_nothing_by_hand_makes_nothing_wait(centre, end):
    """Given back, run out, settled by metering, or another centre's: nobody is paid twice by posting usage of its time."""
    hold = await centre.hold(100, life_s=60, centre="sj02" if end == "elsewhere" else "sj01")
    centre.desk.now_ns += 30 * 10**9
    if end == "released":
        await centre.till.ask(asked("sj01"), Release(hold))
    elif end == "metered":
        assert await centre.report(centre.job(1, voucher=hold, lasts_s=20, final=False)) == TAKEN
    elif end == "expired":
        centre.desk.now_ns += 60 * 10**9
    assert await centre.report(centre.job(2, ago_s=30 * (end == "expired"), lasts_s=20)) == TAKEN


async def test_a_part_captured_and_the_rest_run_out_still_waits(centre):
    """What a centre captured of a hold that has expired since was paid for usage of its time."""
    hold = await centre.hold(100, life_s=60)
    await centre.capture(hold, 10, final=False)
    centre.desk.now_ns += 120 * 10**9
    assert await centre.report(centre.job(1, ago_s=80, lasts_s=20)) == WAITS
    assert await centre.money() == {"available": 990.0, "held": 0.0, "redeemed": 10.0}


async def test_a_hold_in_the_same_moment_counts(centre):
    """Hold and usage that wait for the writer together: the hold is not on disk when the usage is judged, and counts."""
    assert await centre.report(centre.job(1)) == TAKEN  # the account is remembered as one without holds
    async with centre.desk.held_up():
        held = asyncio.create_task(centre.hold(100))
        await asyncio.sleep(0)
        told = asyncio.create_task(centre.report(centre.job(2, ago_s=-60), compact=False))
        await asyncio.sleep(0)
    await held
    assert await told == WAITS


async def test_checkpoints_and_the_last_report_wait_alike(centre):
    """A running job that names no hold may be the hold's as well; none of it is posted until somebody looked."""
    await centre.hold(100)
    centre.desk.now_ns += 600 * 10**9
    assert await centre.report(centre.job(1, final=False)) == WAITS
    assert await centre.report(centre.job(1)) == WAITS
    assert (await centre.money())["redeemed"] == 0


async def test_a_person_lets_it_through_or_leaves_it(centre):
    """Released, the record is posted as if it had come now; dropped, it counts nothing: the centre was paid by hand."""
    hold = await centre.hold(100)
    centre.desk.now_ns += 600 * 10**9
    assert await centre.report(centre.job(1)) == WAITS
    await centre.capture(hold, 40)
    await centre.decide(Verdict.RELEASE)
    assert (await centre.money())["redeemed"] > 40


async def test_a_centre_names_the_hold_afterwards(centre):
    """A correction that names the hold is paid by it; one that does not is refused, unless two persons of the office make it."""
    hold = await centre.hold(100)
    centre.desk.now_ns += 600 * 10**9
    late = centre.job(1)
    assert await centre.report(late) == WAITS
    assert await centre.correct(late) == ("rejected", "hold-unnamed")
    named = late | {"data": late["data"] | {"voucher": hold}}
    assert await centre.correct(named) == ("accepted", "")
    paid = await centre.money()
    assert paid["held"] == 0
    assert 0 < paid["redeemed"] <= 100
    await centre.hold(50)
    centre.desk.now_ns += 600 * 10**9
    other = centre.job(2)
    assert await centre.report(other) == WAITS
    two = Amendment(SOURCE, other["id"], "甲", "另一作业", "乙", None, {"active_ms": 60_000})
    assert (await amend(centre.desk.journal, RULES, two)).status == "accepted"
    told = centre.desk.rows("SELECT audience, subject FROM notice WHERE kind = 'usage.amended' ORDER BY number")
    assert told == [("centre:sj01", other["id"]), (f"holder:{sandbox_uscc(1)}", other["id"])], (
        "whose record it was, and nobody else"
    )
    assert (await centre.money())["redeemed"] > paid["redeemed"]
