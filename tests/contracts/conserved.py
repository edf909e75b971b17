"""What must hold of a log in which whole lives were lived: of every prefix, of each voucher, and of what was settled."""

from collections import Counter, defaultdict

from ledger.entry import EntryKind
from suanquan.use_cases.settlement_lines import due_lines
from suanquan.use_cases.settlement_reading import load_batches
from suanquan.use_cases.settlements import unsettled
from tests.contracts.settling import SCHEME
from tests.contracts.test_caps import Folded
from voucher.settlement import store as settlement_store

CENTRES = ("sj01", "sj02")


def check_voucher(found, used):
    """Its parts make the whole, and what it redeemed is what the log says that use and claims took, less what came back."""
    parts = ("available", "held", "redeemed", "returned", "expired", "split")
    units = {name: int(found[name].replace(".", "")) for name in (*parts, "issued")}
    assert all(units[name] >= 0 for name in parts), found
    assert sum(units[name] for name in parts) == units["issued"], found
    assert units["redeemed"] == used.get(f"voucher/{found['jti']}", 0), found


async def check_settled(life, used):
    """Each centre: the lines of its batches and what is still due are what vouchers paid there, to the unit."""
    async with life.desk.database.read() as conn:
        batches = {
            one: [batch for batch in await load_batches(conn, SCHEME.id, f"centre:{one}") if batch.is_live]
            for one in CENTRES
        }
        lines = {one.id: await settlement_store.lines_of(conn, one.id) for some in batches.values() for one in some}
    for centre, found in batches.items():
        due = await life.desk.journal.transact(lambda tx, centre=centre: unsettled(tx, SCHEME.id, f"centre:{centre}"))
        refunded = sum(line.units for one in found for line in lines[one.id] if line.kind == "refunded")
        paid = sum(one.units for one in found)
        assert paid + due - refunded - await refunds_due(life, found) == used.get(f"centre/{centre}/receivable", 0), (
            centre
        )
        assert sum(line.units for one in found for line in lines[one.id]) == paid + (found[-1].carried if found else 0)


async def refunds_due(life, batches):
    """Refunds behind the last batch: they are due as well, and were not used."""
    after, centre = (
        max((one.upto for one in batches), default=-1),
        batches[0].payee.partition(":")[2] if batches else "sj01",
    )
    async with life.desk.database.read() as conn:
        due = await due_lines(conn, centre, SCHEME.id, after, life.desk.now_ns // 1000 + 1, {})
    return sum(line.units for line in due.lines if line.kind == "refunded")


def check_every_prefix(place):
    """After each entry: no voucher and no stage of a claim below zero, each voucher has what came in less what went out, and
    what a programme gave out is what its vouchers have, what broke, what centres are due beyond what users owe them, and what
    was claimed, is payable, was paid or was recovered. The answer: what use took of each voucher, and at each centre."""
    came, went, used = defaultdict(int), defaultdict(int), defaultdict(int)
    seen = set()
    for entry, accounts in Folded(place):
        seen.add(EntryKind(entry.kind))
        names = {account.public_id: name for name, account in accounts.items()}
        touched = {names[leg.public_id] for leg in entry.legs if leg.layer == 0}
        spent_at = [name for name in touched if name.endswith("/receivable") or name.startswith("settlement/")]
        for leg in entry.legs:
            name = names[leg.public_id]
            if leg.layer or not name.startswith("voucher/"):
                continue
            (went, came)[leg.side][name] += leg.amount
            units = leg.amount if leg.side == 0 else -leg.amount
            for whom in (name, *spent_at) if spent_at else ():
                used[whom] += units
            assert accounts[name].balance == came[name] - went[name], (entry, name)
            assert accounts[name].available >= 0, (entry, name)
            assert accounts[name].debits_held >= 0, (entry, name)
            assert used[name] >= 0, (entry, name)
        total = Counter()
        for name, account in accounts.items():
            total[_room(name)] += account.balance
            assert account.balance >= 0 or not name.startswith("settlement/"), (entry, name)
        given = -total["treasury"] - total["self-pay"]
        assert given == sum(units for room, units in total.items() if room not in {"treasury", "self-pay", "caps"}), (
            entry
        )
    assert {EntryKind.HOLD, EntryKind.POST} <= seen
    return used


def _room(name):
    """What an account is to its programme."""
    if name.startswith("self-pay/"):
        return "self-pay"
    if name.startswith(("budget/", "cap/")):
        return "caps"
    for part in ("treasury", "budget", "breakage"):
        if name.startswith("scheme/") and f"/{part}/" in name:
            return part
    return name.partition("/")[0]
