"""A statement proves that it is complete: every honest one holds, and nothing can be left out, added, moved or recounted."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import public_id_of
from ledger.errors import LedgerError
from ledger.policy import Policy
from ledger.statement import ProvenLeaf, Statement, check, sums_of
from tests.ledger.notes import LOG, ORIGIN, Pair, note_of
from tests.ledger.proofs import NAMES, MemoryLog

POLICY = Policy.of_logs(LOG.key)
LAST_NS = 60_000


def history(seed: int, steps: int = 40) -> MemoryLog:
    log = MemoryLog()
    log.grow(Random(seed), steps)
    return log


def refusal(statement: Statement, policy: Policy = POLICY) -> str:
    with pytest.raises(LedgerError) as caught:
        check(Statement.parse(statement.to_bytes()), policy)
    assert caught.value.kind.value == "proof"
    return caught.value.en if caught.value.code == "statement-invalid" else caught.value.code


@given(st.integers(0, 2**32), st.sampled_from(NAMES), st.integers(0, LAST_NS), st.integers(6_000, LAST_NS))
def test_every_honest_statement_holds(seed, name, from_ns, length_ns):
    """Of any history, account and period: it holds, and its sums are those of all entries of the account in the period."""
    log = history(seed)
    statement = log.statement(name, from_ns, from_ns + length_ns)
    checked = check(Statement.parse(statement.to_bytes()), POLICY)
    public = public_id_of(name, b"key")
    deltas = [
        (leg.amount if leg.side else -leg.amount, entry.recorded_ns)
        for entry in log.entries
        for leg in entry.legs
        if leg.public_id == public and leg.layer == 0
    ]
    within = [delta for delta, at in deltas if from_ns <= at < from_ns + length_ns]
    assert checked.sums.before == sum(delta for delta, at in deltas if at < from_ns)
    assert (checked.sums.credits, checked.sums.debits) == (
        sum(delta for delta in within if delta > 0),
        -sum(delta for delta in within if delta < 0),
    )
    assert checked.sums.after == checked.sums.before + sum(within)
    assert checked.checkpoint == log.head


def full(seed: int = 1) -> tuple[MemoryLog, Statement]:
    """A statement with lines before, within and after its period."""
    log = history(seed, 80)
    statement = log.statement("v1", 20_000, LAST_NS)
    assert len(statement.lines) > 5
    return log, statement


def recounted(log: MemoryLog, statement: Statement) -> Statement:
    """The same with sums that fit its lines, as a careful forger would write them."""
    by_leaf = {entry.leaf: entry for entry in log.entries}
    try:
        entries = [by_leaf[line.leaf] for line in statement.lines]
        sums = sums_of(by_leaf[statement.first.leaf], entries, public_id_of("v1", b"key"))
    except LedgerError:
        return statement
    return replace(statement, sums=sums)


@given(st.data())
def test_no_line_can_be_left_out(data):
    """Whatever lines are removed, also the first and the last of them, the chain has a hole and the place is named."""
    log, statement = full(data.draw(st.integers(0, 20)))
    kept = data.draw(st.lists(st.booleans(), min_size=len(statement.lines), max_size=len(statement.lines)))
    lines = tuple(line for line, keep in zip(statement.lines, kept, strict=True) if keep)
    if len(lines) == len(statement.lines):
        check(statement, POLICY)
    else:
        assert "one is missing" in refusal(recounted(log, replace(statement, lines=lines)))


def test_a_cut_tail_is_refused():
    """The end must be an entry from after the period, and it must follow the last line."""
    log, statement = full()
    *lines, tail = statement.lines
    assert "last: is not from after" in refusal(recounted(log, replace(statement, lines=tuple(lines), last=tail)))
    assert "last: does not follow" in refusal(recounted(log, replace(statement, lines=tuple(lines))))


def test_a_cut_beginning_is_refused():
    """The beginning must be from before the period, or the opening itself."""
    log, statement = full()
    head, *lines = statement.lines
    cut = recounted(log, replace(statement, first=head, lines=tuple(lines)))
    assert "first: is not from before" in refusal(cut)
    assert "lines[0]" in refusal(replace(statement, first=statement.opening))


@pytest.mark.parametrize("name", ["before", "debits", "credits", "after", "held"])
def test_a_wrong_sum_is_named(name):
    """Each sum is recomputed from the lines."""
    _, statement = full()
    wrong = statement.sums._replace(**{name: getattr(statement.sums, name) + 1})
    assert f"sums.{name}" in refusal(replace(statement, sums=wrong))


def test_entries_of_another_account_are_refused():
    """Neither a line, nor an end, nor the account's own opening may be another's."""
    log, statement = full()
    other = log.statement("v2", 20_000, LAST_NS)
    public = public_id_of("v1", b"key")
    foreign = next(
        line
        for line in other.lines
        if not any(own.leaf == line.leaf for own in statement.lines) and public not in line.leaf
    )
    statement = replace(statement, note=other.note)  # the log has grown by a MARK for the other
    log_now = {entry.leaf: log.proven(entry) for entry in log.entries}

    def renew(proven: ProvenLeaf) -> ProvenLeaf:
        return log_now[proven.leaf]

    statement = replace(
        statement,
        opening=renew(statement.opening),
        first=renew(statement.first),
        lines=tuple(map(renew, statement.lines)),
        last=renew(statement.last),
    )
    check(statement, POLICY)
    assert "lines[0]" in refusal(replace(statement, lines=(foreign, *statement.lines)))
    assert "another account" in refusal(replace(statement, first=other.opening))
    renamed = replace(statement, opening=other.opening, payload=other.payload)
    assert "opening: does not open this account" in refusal(renamed)
    assert "first: is an entry of another account" in refusal(replace(renamed, account="v2"))
    assert "opening: does not open this account" in refusal(replace(statement, account="v2"))
    assert "opening: is not the entry that opens" in refusal(replace(statement, opening=statement.first))


def test_the_period_is_proved_too():
    """A statement cannot claim a longer period than its ends bound; lines outside are refused."""
    log, statement = full()
    assert "first: is not from before" in refusal(replace(statement, from_ns=1))
    assert "last: is not from after" in refusal(replace(statement, until_ns=10**9))
    third = log.entries[next(e.seq for e in log.entries if e.leaf == statement.lines[2].leaf)].recorded_ns
    assert "lines[0], entry" in refusal(replace(statement, from_ns=third))
    assert "outside the period" in refusal(replace(statement, until_ns=third))


@given(st.data())
def test_no_bit_can_be_changed(data):
    """Any bit of any leaf or path that is flipped is refused, and so are reordered or doubled lines."""
    _, statement = full()
    at = data.draw(st.integers(0, len(statement.lines) - 1))
    line = statement.lines[at]
    if data.draw(st.booleans()):
        path = list(line.path)
        where = data.draw(st.integers(0, len(path) - 1))
        path[where] = flipped(path[where], data.draw(st.integers(0, 255)))
        changed = line._replace(path=tuple(path))
    else:
        changed = line._replace(leaf=flipped(line.leaf, data.draw(st.integers(0, 8 * len(line.leaf) - 1))))
    lines = list(statement.lines)
    assert f"lines[{at}]" in refusal(replace(statement, lines=(*lines[:at], changed, *lines[at + 1 :])))
    assert "lines[1]" in refusal(replace(statement, lines=(lines[0], lines[0], *lines[1:])))
    assert "lines[0]" in refusal(replace(statement, lines=tuple(reversed(lines))))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_another_head_proves_nothing():
    """The head must be signed by the log's key and be the one that the paths lead to."""
    log, statement = full()
    other = Pair(ORIGIN, seed=9)
    assert refusal(replace(statement, note=note_of(log.head, other))) == "note-unsigned"
    assert "opening" in refusal(replace(statement, note=note_of(history(7).head)))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"format":"suanquan-statement@v1"}', b"[" * 100_000, b'{"format":"other"}']
)
def test_what_is_no_statement_is_refused(data):
    """A file of another form is refused as such, never a crash."""
    with pytest.raises(LedgerError, match="suanquan-statement@v1"):
        Statement.parse(data)
