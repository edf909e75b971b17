"""Taking usage in: however records are ordered, batched, repeated and raced, the books say the same, to the last unit."""

import asyncio
import contextlib
import itertools
import json
import shutil
import threading
from collections import Counter
from dataclasses import replace

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.amount import CNY, COMPUTE
from ledger.jws import verify as verify_jws
from metering.agent.client import UsageClient
from metering.agent.daemon import Sender
from metering.agent.events import batch_body, encode_event, number_event
from metering.agent.spool import Spool
from metering.model import Accelerator
from suanquan.home import Home
from suanquan.http.app import create_app
from suanquan.service import open_service
from suanquan.use_cases.ingest import RECEIPT_TYPE
from tests.conftest import ALL
from tests.suanquan.harness import (
    A100_HOUR,
    HOUR_MS,
    NOON_US,
    PASSPHRASE,
    SCHEME,
    Agent,
    ThreadedService,
    figures,
    give,
    usage,
)
from voucher.holder import sandbox_uscc

CARDS = {"A100": (312_000, 12_000_000), "H100-SXM": (989_000, 24_000_000)}
"""Dense GFLOPS and millionths of a yuan per hour in the sandbox."""
EXAMPLES = 200 if ALL else 15


@pytest.fixture(scope="module")
def stocked(template, tmp_path_factory):
    """Vouchers that run out in the middle of a record: one account has its own, two share a holder, one has none."""
    installation = template.copy_to(tmp_path_factory.mktemp("stocked") / "home")

    async def issue(service):
        await give(service, sandbox_uscc(1), "1000.123457", accounts=["covered"])
        await give(service, sandbox_uscc(2), "500", accounts=["left", "right"])
        await give(service, sandbox_uscc(2), "77.777777")

    with ThreadedService(installation.home) as running:
        running.call(issue(running.service))
    return installation.home


class Desk:
    """A service without sockets: the application itself, asked as over HTTP."""

    def __init__(self, service, client):
        self.service, self._client = service, client
        self.agent = Agent(service.settings.url)

    async def report(self, records, **changes):
        """Statuses that the service gives a batch of records."""
        source = self.agent.source
        body = batch_body(number_event(encode_event(record, source), n) for n, record in enumerate(records, 1))
        answer = await self._client.post("/v1/usage", content=body, headers=self.agent.sign(body, **changes))
        assert answer.status_code == 200, answer.text
        return [result["status"] for result in answer.json()["results"]]

    async def figures(self):
        found = await figures(self.service.database, self.service.catalog)
        found.assert_conserved()
        return found


def at_desk(home, work):
    """Do some work at the desk of a copy of a home."""

    async def run(copy):
        async with open_service(copy, PASSPHRASE) as service:
            transport = httpx2.ASGITransport(create_app(service))
            async with httpx2.AsyncClient(transport=transport, base_url=service.settings.url) as client:
                return await work(Desk(service, client))

    copy = copied(home, home.path.with_name("copy"))
    try:
        return asyncio.run(run(copy))
    finally:
        shutil.rmtree(copy.path)


@st.composite
def drawn_records(draw):
    """Records of four accounts over three months; a few name a card that nobody knows."""
    hours = draw(st.integers(-60 * 24, 0))
    seconds = draw(st.integers(0, 15 * 86_400) | st.sampled_from([0, 1, 3600]))
    start = NOON_US + hours * HOUR_MS * 1000
    cards = draw(
        st.lists(
            st.builds(Accelerator, st.sampled_from([*CARDS] * 5 + ["unheard-of"]), st.integers(1, 8000)),
            min_size=1,
            max_size=draw(st.sampled_from([1, 1, 3])),
        )
    )
    return usage(
        0,
        account=draw(st.sampled_from(["covered", "left", "right", "alone"])),
        start_us=start,
        end_us=start + seconds * 1_000_000,
        active_ms=draw(st.integers(0, seconds * 1000)),
        accelerators=tuple(cards),
    )


@st.composite
def plans(draw):
    """The same records twice: as one batch in order of their ids, and shuffled, cut and partly repeated."""
    records = [
        replace(one, id=f"{place:03d}")
        for place, one in enumerate(draw(st.lists(drawn_records(), min_size=1, max_size=30)))
    ]
    shuffled = draw(st.permutations(records))
    cuts = sorted(draw(st.lists(st.integers(0, len(records)), max_size=5)))
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True) if a < b]
    repeated = draw(st.lists(st.lists(st.sampled_from(records), min_size=1, max_size=8), max_size=3))
    return records, draw(st.permutations(batches + repeated))


def worth(record):
    """GPU-milliseconds, units of yuan and of PFLOPS.h, by hand; nothing while a card is unknown."""
    if any(part.model not in CARDS for part in record.accelerators):
        return Counter()
    parts = [(part.count_milli * record.active_ms // 1000, *CARDS[part.model]) for part in record.accelerators]
    return Counter(
        records=1,
        gpu_ms=sum(ms for ms, _, _ in parts),
        rated_units=sum(ms * price for ms, _, price in parts) // 3_600_000,
        compute_units=sum(ms * gflops for ms, gflops, _ in parts) // 3_600,
    )


def amounts(usage_rows):
    return Counter() + sum((Counter(row) for row in usage_rows), Counter())


@settings(max_examples=EXAMPLES)
@given(plans(), st.booleans())
def test_neither_order_nor_batches_nor_repeats_change_a_sum(stocked, plan, at_once):
    """Whatever the plan, one after the other or all at once, sums per account and month, debits and self-pay are the same."""
    records, batches = plan

    async def in_order(desk):
        await desk.report(records)
        return await desk.figures()

    async def otherwise(desk):
        if at_once:
            await asyncio.gather(*(desk.report(batch) for batch in batches))
        else:
            for batch in batches:
                await desk.report(batch)
        return await desk.figures()

    one, other = at_desk(stocked, in_order), at_desk(stocked, otherwise)
    assert one.records == other.records == len(records)
    assert one.usage == other.usage
    assert amounts(one.usage.values()) == amounts(map(worth, records))
    assert one.debited == other.debited
    assert shared(one.balances) == shared(other.balances)
    counts = one.statuses["sj01"]
    assert {name: other.statuses["sj01"].get(name, 0) for name in counts} == counts


def shared(balances):
    """Balances, those of the two accounts that share a purse taken together: who comes first draws first."""
    found = Counter(balances)
    found["both"] = found.pop("self-pay/sj01/left", 0) + found.pop("self-pay/sj01/right", 0)
    return found


def test_an_id_means_what_it_meant_first(stocked, tmp_path):
    """Ids that ascend, fall, return, and return with other content get the status that a simple table of ids gives them."""
    home = copied(stocked, tmp_path / "home")
    sources = itertools.count()
    told = Counter()

    @settings(max_examples=500 if ALL else 40)
    @given(st.lists(st.lists(IDS, min_size=1, max_size=8), min_size=1, max_size=8), st.booleans())
    def play(batches, in_order):
        if in_order:  # batches that begin where the last one ended are the ordinary case
            batches = sorted(sorted(batch) for batch in batches)
        agent = Agent(running.url, name=f"source-{next(sources)}")
        known = {}
        for batch in batches:
            answer = agent.report_records(usage(number, active_ms=HOUR_MS // hours) for number, hours in batch)
            expected = []
            for number, hours in batch:
                first = known.get(number)
                expected.append("accepted" if first is None else "duplicate" if first == hours else "conflict")
                known.setdefault(number, hours)
            assert answer.statuses == expected
            told.update(expected)

    with ThreadedService(home) as running:
        play()
        found = running.figures()
    found.assert_conserved()
    assert found.statuses == {"sj01": told}
    assert found.records == told["accepted"]


IDS = st.tuples(st.integers(0, 12), st.sampled_from([1, 1, 1, 2]))
"""Number of a record, and by what its hour is divided: the same number with another divisor is other content."""


def copied(home, path):
    shutil.copytree(home.path, path)
    return Home(path)


@contextlib.contextmanager
def agent_at(running, spool_file, size):
    """A real agent's spool, with batches of a size, and its sender."""
    keys = running.service.keys.verifying_keys()
    agent = Agent(running.url)
    with (
        Spool(spool_file, agent.source, batch_records_max=size) as spool,
        UsageClient(running.url, agent.source, agent.key, lambda text: verify_jws(text, keys, RECEIPT_TYPE)) as client,
    ):
        yield spool, Sender(spool, client)


def send_all(sender):
    return sender.send_all(threading.Event(), failures_max=3)


def test_several_agents_may_send_the_same_records_at_once(stocked, tmp_path):
    """Real agents with spools and connections of their own, in batches of different sizes: every record counts once."""
    home = copied(stocked, tmp_path / "home")
    records = [usage(number, account=("covered", "alone")[number % 2]) for number in range(300)]
    with ThreadedService(home) as running:

        def send(number, size):
            with agent_at(running, tmp_path / f"{number}.db", size) as (spool, sender):
                spool.append(records[:: 1 - 2 * (number % 2)])
                sent.append(send_all(sender))

        sent = []
        clients = [threading.Thread(target=send, args=item) for item in enumerate((7, 30, 113, 300))]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert sent == [None] * 4
        found = running.figures()
    assert found.statuses == {"sj01": {"accepted": 300, "duplicate": 900}}
    assert (found.records, found.gpu_ms, found.rated) == (300, 300 * HOUR_MS, 300 * A100_HOUR)
    assert found.debited == 1_000_123_457
    found.assert_conserved()


def test_an_agent_gets_past_what_is_refused(stocked, tmp_path):
    """Batches that end with, or consist of, refused records are delivered like others: the agent knows and goes on."""
    fates = ["accepted", "rejected", "rejected", "rejected", "accepted", "held"]
    changes = {"accepted": {}, "rejected": {"end_us": 4_000_000_000_000_000}, "held": {"model": "unheard-of"}}
    home = copied(stocked, tmp_path / "home")
    with ThreadedService(home) as running, agent_at(running, tmp_path / "spool.db", 2) as (spool, sender):
        spool.append(usage(number, **changes[fate]) for number, fate in enumerate(fates))
        assert send_all(sender) is None
        assert [outcome.status for outcome in spool.outcomes()] == ["rejected"] * 3 + ["held"]
        assert spool.status().unsent == 0
        assert running.figures().statuses == {"sj01": Counter(fates)}


@pytest.fixture(scope="module")
def strict(template, tmp_path_factory):
    """Vouchers that may not pay for everything: from February on, for H100 alone, in kind."""
    home = template.copy_to(tmp_path_factory.mktemp("strict") / "home").home
    text = (home.config / "schemes/sandbox.toml").read_text(encoding="utf-8")
    for name, old, new in (
        ("february", "valid_from = 2015-01-01\nvalid_to", "valid_from = 2025-02-01\nvalid_to"),
        ("h100", 'accelerators = "*"', 'accelerators = ["H100-SXM"]'),
        ("first", "priority = 100", "priority = 1"),
    ):
        changed = text.replace(SCHEME, f"sandbox-{name}").replace(old, new)
        assert changed != text.replace(SCHEME, f"sandbox-{name}")
        (home.config / f"schemes/{name}.toml").write_text(changed, encoding="utf-8")

    async def issue(service):
        await give(service, sandbox_uscc(1), "1000", accounts=["days"], scheme="sandbox-february")
        await give(service, sandbox_uscc(2), "1000", accounts=["h100"], scheme="sandbox-h100")
        await give(service, sandbox_uscc(3), "0.5", accounts=["kind"], unit="PFLOPS.h", scheme="sandbox-first")
        await give(service, sandbox_uscc(3), "3")
        await give(service, sandbox_uscc(4), "10", accounts=["mixed"], scheme="sandbox-february")
        await give(service, sandbox_uscc(4), "0.25", unit="PFLOPS.h", scheme="sandbox-h100")
        await give(service, sandbox_uscc(4), "30")

    with ThreadedService(home) as running:
        running.call(issue(running.service))
    return home


def took(home, *records):
    """Figures after a batch."""

    async def report(desk):
        await desk.report(records)
        return await desk.figures()

    return at_desk(home, report)


def test_a_voucher_pays_for_the_days_it_is_valid(strict):
    """Days in Shanghai: an hour of January is not paid, of the hour that began a second before February all but that second is."""
    february_us = 1_738_339_200_000_000  # 2025-02-01T00:00+08:00
    begins = [february_us - HOUR_MS * 1000, february_us - 1_000_000, february_us, NOON_US]
    records = [usage(n, account="days", start_us=at, end_us=at + HOUR_MS * 1000) for n, at in enumerate(begins)]
    found = took(strict, *records)
    second = A100_HOUR // 3600
    assert (found.debited, found.self_pay) == (3 * A100_HOUR - second, {"sj01/days": A100_HOUR + second})


def test_a_voucher_pays_for_the_cards_it_admits(strict):
    """A scheme may name its cards; a record that used another one besides is not half paid."""
    both = (Accelerator("H100", 1000), Accelerator("A100", 1000))
    found = took(
        strict,
        usage(1, account="h100", model="H100"),
        usage(2, account="h100"),
        usage(3, account="h100", accelerators=both),
    )
    assert (found.debited, found.self_pay) == (2 * A100_HOUR, {"sj01/h100": 4 * A100_HOUR})


@pytest.mark.parametrize(("until", "paid"), [("2034-12-31", 1), ("2015-12-31", 0)])
def test_a_voucher_keeps_the_terms_of_its_day_of_issue(template, tmp_path, until, paid):
    """A later version that admits H100 alone does not touch vouchers issued before it; what it covers itself, it restricts."""
    home = template.copy_to(tmp_path / "home").home
    with ThreadedService(home) as running:
        running.call(give(running.service, sandbox_uscc(1), "1000", accounts=["days"]))
    file = home.config / "schemes/sandbox.toml"
    head, version = file.read_text("utf-8").split("[[version]]")
    later = version.replace('from = "open"', f"from = {int(until[:4]) + 1}-01-01").replace(
        'version = "1"', 'version = "2"'
    )
    later = later.replace('accelerators = "*"', 'accelerators = ["H100-SXM"]')
    first = version.replace('to = "open"', f"to = {until}")
    file.write_text(f"{head}[[version]]{first}[[version]]{later}", "utf-8")
    found = took(home, usage(1, account="days"))
    assert (found.debited, sum(found.self_pay.values())) == (paid * A100_HOUR, (1 - paid) * A100_HOUR)


def test_a_compute_voucher_is_spent_in_pflops_hours(strict):
    """0.5 PFLOPS.h pay for 0.5/0.624 of an hour of two A100; yuan pay for 3 of the rest, the account for what is left."""
    found = took(strict, usage(1, account="kind", cards_milli=2000))
    in_kind = 24 * 10**CNY.scale * 500 // 624
    assert found.debited == in_kind + 3 * 10**CNY.scale
    assert found.self_pay == {"sj01/kind": 2 * A100_HOUR - found.debited}
    assert found.balances["centre/sj01/compute"] == 10**COMPUTE.scale // 2


@settings(max_examples=EXAMPLES)
@given(plans())
def test_money_is_conserved_whatever_may_pay(strict, plan):
    """With vouchers of every kind at once the books still close: rated is debited plus self-pay, no voucher below zero."""

    async def play(desk):
        for batch in plan[1]:
            await desk.report([replace(record, account="mixed") for record in batch])
        return await desk.figures()

    found = at_desk(strict, play)
    assert amounts(found.usage.values()) == amounts(worth(record) for record in plan[0])
    assert all(balance >= 0 for name, balance in found.balances.items() if name.startswith("voucher/"))


def test_a_held_record_is_nobodys_debt(stocked):
    """A batch of nothing but unknown cards is in the log, and no account has moved."""
    found = took(stocked, usage(1, model="unheard-of"), usage(2, account="covered", model="unheard-of"))
    assert (found.records, found.usage, found.owed, found.debited) == (2, {}, 0, 0)
    assert [row["code"] for row in found.quarantine] == ["model-unknown"] * 2
    assert json.dumps(found.statuses) == '{"sj01": {"held": 2}}'
