"""What waits and what was decided, done at random and counted anew: by SQL over the rows themselves and the leaves of the log."""

import csv
import html
import io
import re
import secrets
from collections import Counter

import cbor2

from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from ledger.sql import execute_all
from metering.completeness import Declaration
from metering.dispute import Act
from metering.instants import parse_instant
from metering.quarantine import Verdict as Fate
from suanquan.portal.office_text import TEXTS
from suanquan.use_cases.completeness import declare
from suanquan.use_cases.desk import decide_waiting
from suanquan.use_cases.findings import Examination, review
from suanquan.use_cases.findings import record as keep_findings
from suanquan.use_cases.line_disputes import Line, Person, open_dispute, take_step
from suanquan.use_cases.quarantine import Decision, list_waiting, parse_place
from tests.suanquan.harness import usage
from tests.suanquan.test_truth import SOURCE
from tests.subsidy import procedure_samples as clauses
from tests.voucher import application_samples as vouchers
from voucher.finding import Evidence, Suspicion
from voucher.findings import State, Verdict
from voucher.holder import sandbox_uscc

ZH = TEXTS["zh"]
MONTH = 202503
KINDS = ("declare", "unknown", "drop", "find", "review", *("open",) * 3, "step")


async def act(service, desk, random, number):
    """Something that changes what waits, or is refused."""
    kind, journal = random.choice(KINDS), service.journal
    try:
        if kind == "declare":
            months = [
                Declaration(
                    MONTH, f"acct{random.randrange(6)}", 1, random.randrange(4), random.randrange(3) * 3_600_000
                )
            ]
            nonce, until_us = secrets.token_hex(8), service.now_us + 10_000_000
            await journal.transact(
                lambda tx: declare(tx, random.choice(["sj01", "sj02"]), "kid", nonce, until_us, months)
            )
        elif kind == "unknown":
            await desk.report(usage(900_000 + number, account=f"acct{random.randrange(4)}", model="unheard-of"))
        elif kind == "find":
            evidence = (Evidence("价", str(random.randrange(9)), "claim:1"),)
            said = Suspicion(
                random.choice(["A1", "A9"]), f"subject{random.randrange(4)}", "中文", "English", "为何", evidence
            )
            await keep_findings(journal, Examination([said], [], 0, service.now_us))
        elif kind == "open":
            line = Line("sj01", f"acct{random.randrange(4)}", SOURCE, f"sj01:{random.randrange(number + 1):09d}")
            await open_dispute(journal, line, Person("holder", "beneficiary_admin"), "不是我们的", EVERYTHING)
        elif kind == "step":
            step = random.choice([Act.ANSWER, Act.UPHOLD, Act.REFUSE])
            await take_step(
                journal, random.randrange(1, 4), step, Person(random.choice("甲乙丙"), "department"), "已核对"
            )
        else:
            await decide_one(service, random, kind)
    except DomainError:
        return


async def decide_one(service, random, kind):
    """A record that waits is dropped, or a finding is reviewed."""
    async with service.database.read() as conn:
        waiting = await list_waiting(conn, EVERYTHING)
        [found] = await execute_all(conn, [("SELECT id FROM finding ORDER BY id", ())])
    if kind == "drop" and waiting:
        place = parse_place(random.choice(waiting)["place"])
        await decide_waiting(service.journal, service.rules, Decision(place, Fate.REJECT, "甲", "重复"))
    elif kind == "review" and found:
        verdict = Verdict(random.choice(list(State)), random.choice("甲乙"), "已核实")
        await review(service.journal, random.choice(found)[0], verdict)


async def cases(service, clock, random):
    """A round of a clause and one of vouchers, with applications that go as far as chance has it; one is paid."""
    proceedings = service.proceedings
    for sample in (clauses, vouchers):
        clock.now_ns = max(clock.now_ns, parse_instant(clauses.CALLED) * 1000)
        round_ = await proceedings.call(clauses.FANG, sample.CALL)
        for number in range(4):
            holder = sandbox_uscc(700 + number)
            content = sample.application(
                round_, applicant=holder, applicant_name=f"第{number}家", project=f"项目 {number}"
            )
            if sample is clauses:
                licence = {"business_licence_copy": {"registration_number": holder}}
                cost = {"issuer": "国家检测中心", "document": f"发票 {number}", "yuan": "300000"}
                content |= {"costs": [cost], "materials": clauses.materials(**licence)}
            else:
                content |= {"contract": vouchers.contract(f"HT-{number}"), "materials": vouchers.materials(holder)}
            found = await proceedings.submit(clauses.FANG, content)
            whole = sample is clauses and not number
            steps = sample.REVIEW if whole else sample.REVIEW[: random.randrange(len(sample.REVIEW) + 1)]
            await play(proceedings, clock, found, steps)
            if whole:
                later = found
            elif random.random() < 0.3:
                await play(proceedings, clock, found, [(clauses.ZHOU, "withdraw", {"reason": "不再申报"})])
    await play(proceedings, clock, later, [clauses.POST, clauses.APPROVE, *random.choice([[], [clauses.PAY]])])


async def play(proceedings, clock, found, steps):
    """Steps in order until one is refused; what follows a public notice is taken once it is over."""
    for actor, step, inputs in steps:
        if step == "approve":
            clock.now_ns = max(clock.now_ns, parse_instant("2025-10-20T09:00:00+08:00") * 1000)
        try:
            await proceedings.take(actor, found, step, inputs)
        except DomainError:
            return


FILES = {
    "health": "/office/centres", "complete": "/office/centres", "clauses": "/office/clauses", "rounds": "/office/rounds",
    "queue": "/office/queue", "every": "/office/queue?stage=every", "findings": "/office/findings?state=open",
    "gaps": "/office/gaps", "quarantine": "/centre/quarantine", "open": "/disputes?state=open", "answered": "/disputes?state=answered",
    "centres": "/office", "usage": "/office/usage", "vouchers": "/office/vouchers",
}  # fmt: skip
"""Tables and lists that are counted, and where they are; the name of a table where a page has several."""
IN_PARTS, PART_MAX = {"quarantine", "open", "answered"}, 1_000
"""Lists that hold so many rows at a time and lead on to the others."""
OF_SEVERAL = {"health", "complete", "centres"}


async def read(ask):
    """The first page as it is, and the rows of each table by heading, of the cell whose heading begins so."""
    found = {"overview": (await ask("/office")).text}
    for name, path in FILES.items():
        more = f"{'&' if '?' in path else '?'}format=csv" + (f"&table={name}" if name in OF_SEVERAL else "")
        text = (await ask(path + more)).content.decode("utf-8-sig")
        found[name] = list(csv.DictReader(io.StringIO(text)))
    return found


def terms(page, section):
    """A section's terms with their figures."""
    part = page[page.index(f'id="{section}"') :].partition("</section>")[0]
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", part, re.DOTALL)
    return {html.unescape(term): html.unescape(re.sub(r"<[^>]+>", "", said)).strip() for term, said in pairs}


async def rows(conn, text):
    [found] = await execute_all(conn, [(text, ())])
    return [tuple(row) for row in found]


async def waiting_of(conn):
    """What waits, by SQL over single rows: nothing that the pages ask."""
    held = await rows(conn, "SELECT batch, position, centre FROM quarantine")
    decided = {row[:2] for row in await rows(conn, "SELECT batch, position FROM verdict")}
    reviews = dict(await rows(conn, "SELECT finding, state FROM finding_review ORDER BY finding, number"))
    steps = dict(await rows(conn, "SELECT dispute, state FROM usage_dispute ORDER BY dispute, step"))
    arrived, declared = Counter(), {}
    for centre, month, account, records, gpu_ms in await rows(
        conn, "SELECT centre, month, account, records, gpu_ms FROM usage_month"
    ):
        arrived[centre, month, account, "records"] += records
        arrived[centre, month, account, "ms"] += gpu_ms
    for *key, segments, gpu_ms in await rows(
        conn, "SELECT centre, month, account, segments, gpu_ms FROM declaration ORDER BY number"
    ):
        declared[tuple(key)] = segments > arrived[(*key, "records")] or gpu_ms > arrived[(*key, "ms")]
    return {
        "quarantined": Counter(centre for batch, position, centre in held if (batch, position) not in decided),
        "findings": sum(reviews.get(name, "open") == "open" for (name,) in await rows(conn, "SELECT id FROM finding")),
        "disputes": Counter(steps.values()),
        "declared": declared,
    }


async def cases_of(conn, office):
    """Applications by id: round, clause, and whether the state that the last step with a target led to is open."""
    found = {}
    for subject, round_, body in await rows(conn, "SELECT subject, round, body FROM procedure_step ORDER BY number"):
        told = cbor2.loads(body)
        if subject == round_:
            continue
        procedure = office.procedures[told["procedure"]]
        about = found.setdefault(
            subject, {"round": round_, "clause": told["inputs"].get("clause") or told["inputs"].get("scheme")}
        )
        if target := procedure.steps[told["step"]].target:
            about["open"] = not procedure.states[target].final
    return found


async def compare(conn, office, pages, balances, note):
    """Every count of the first page and of the lists behind it, the clauses' figures and the rounds' against the recount."""
    waits, known = await waiting_of(conn), await cases_of(conn, office)
    lacking = [key for key, lacks in waits["declared"].items() if lacks]
    is_open = [one for one, about in known.items() if about["open"]]
    wanted = {
        "open_cases": (len(is_open), "queue"), "open_findings": (waits["findings"], "findings"),
        "quarantined": (waits["quarantined"].total(), "quarantine"), "gaps": (len(lacking), "gaps"),
        "disputes_open": (waits["disputes"]["open"], "open"), "disputes_answered": (waits["disputes"]["answered"], "answered"),
    }  # fmt: skip
    shown = terms(pages["overview"], "waiting")
    for key, (count, behind) in wanted.items():
        assert int(shown.get(ZH[key], "0").replace(",", "")) == count, (note, key, count)
        assert len(pages[behind]) == min(count, PART_MAX if behind in IN_PARTS else count), (note, behind)
    assert {row[ZH["case"]] for row in pages["queue"]} == set(is_open), note
    assert {row[ZH["case"]] for row in pages["every"]} == set(known), note
    for row in pages["health"]:
        [centre] = [name for name in ("sj01", "sj02") if name in row[ZH["centre"]]]
        assert int(row[ZH["gaps"]]) == sum(key[0] == centre for key in lacking), note
        assert int(row[ZH["quarantined"]]) == waits["quarantined"][centre], note
    compare_months(pages["complete"], waits["declared"], note)
    counts = Counter(about["round"] for about in known.values())
    assert {row[ZH["round_no"]]: int(row[ZH["received_count"]]) for row in pages["rounds"]} == counts, note
    compare_clauses(pages["clauses"], known, balances, note)


def compare_months(table, declared, note):
    """Completeness by centre and month: the share of declared accounts that lack nothing, nothing where none was declared."""
    said = f"{MONTH // 100}-{MONTH % 100:02d}"
    for row in table:
        [centre] = [name for name in ("sj01", "sj02") if name.upper() in row[ZH["centre"]].upper()]
        months = [lacks for (at, _, _), lacks in declared.items() if at == centre]
        if months:
            share = f"{(2_000 * months.count(False) + len(months)) // (2 * len(months)) / 10:.1f}%"
            assert row[said].split()[0] == share, (note, row, months)
        else:
            assert row.get(said, "—") == "—", (note, row)


def compare_clauses(table, known, balances, note):
    """Applications of each clause, and what the log's leaves say was set aside for and paid to them."""
    for row in table:
        mine = [one for one, about in known.items() if about["clause"] in row[ZH["clause"]].split()]
        owed, paid = (
            sum(balances.get(f"subsidy/{one}/{what}", (0, 0))[0] for one in mine) for what in ("payable", "paid")
        )
        assert int(row[ZH["received_count"]]) == len(mine), (note, row)
        assert micro(row[ZH["committed"]]) == owed + paid, (note, row)
        assert micro(row[ZH["paid"]]) == paid, (note, row)
        granted = sum(
            balances.get(f"subsidy/{one}/payable", (0, 0))[0] + balances.get(f"subsidy/{one}/paid", (0, 0))[0] > 0
            for one in mine
        )
        assert int(row[ZH["decided_count"]]) == granted, (note, row)


def micro(text):
    """A decimal text as a whole number of millionths."""
    whole, _, rest = text.replace(",", "").partition(".")
    return int(whole + rest.ljust(6, "0"))


async def compare_first_page(conn, pages, balances, catalog, note):
    """The figures of vouchers and centres on the first page: numbers of vouchers and holders, and each centre's row."""
    [[vouchers_, holders]] = [
        list(row) for row in await rows(conn, "SELECT COUNT(*), COUNT(DISTINCT holder) FROM voucher")
    ]
    sums = terms(pages["overview"], "vouchers")
    assert (int(sums[ZH["count"]].replace(",", "")), int(sums[ZH["holders"]].replace(",", ""))) == (
        vouchers_,
        holders,
    ), note
    expired = sum(balance for account, (balance, _) in balances.items() if "/breakage/" in account)
    assert micro(sums[ZH["expired"]]) == expired, note
    assert len(pages["vouchers"]) == vouchers_, note
    for row in pages["centres"]:
        centre = row[ZH["centre"]].lower()
        used = await rows(conn, f"SELECT model, gpu_ms FROM usage_month WHERE centre = '{centre}'")
        gpu_ms = sum(ms for _, ms in used)
        flops = sum(ms * catalog.capacity_gflops[model] for model, ms in used)
        rated, self_paid = (
            balances.get(f"centre/{centre}/receivable", (0, 0))[0],
            -sum(balance for account, (balance, _) in balances.items() if account.startswith(f"self-pay/{centre}/")),
        )
        assert row[ZH["gpu_hours"]].replace(",", "") == f"{rounded(gpu_ms * 100, 3_600_000) / 100:.2f}", (note, row)
        assert row[ZH["compute"]].replace(",", "") == f"{rounded(flops, 3_600_000_000) / 1000:.3f}", (note, row)
        money = [micro(row[ZH[key]]) for key in ("rated", "paid_there", "self_paid")]
        assert money == [rated, rated - self_paid, self_paid], (note, row)
        await compare_share(conn, centre, row, gpu_ms, note)


def rounded(numerator, denominator):
    """A quotient, a half rounded up."""
    return (2 * numerator + denominator) // (2 * denominator)


async def compare_share(conn, centre, row, gpu_ms, note):
    """Utilisation: metered time over registered cards and the time between a centre's first and last record."""
    [[cards]] = await rows(conn, f"SELECT COALESCE(SUM(count_milli), 0) FROM capacity WHERE centre = '{centre}'")
    [[first, last]] = await rows(
        conn, f"SELECT MIN(first_us), MAX(last_us) FROM source WHERE centre = '{centre}' AND last_us > 0"
    )
    there = int(cards) * (((last or 0) - (first or 0)) // 1000) // 1000
    said = next(text for name, text in row.items() if name.startswith(ZH["utilisation"]))
    if there:
        assert said == f"{rounded(gpu_ms * 1000, there) / 10:,.1f}%", (note, row, there)
    else:
        assert "%" not in said, (note, row)
