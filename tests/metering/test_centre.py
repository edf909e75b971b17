"""What is registered of a centre: dated facts, capacity from cards, exact ratios, and files that say what is wrong with them."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from ledger.amount import INT64_MAX
from metering.accelerators import load_accelerators
from metering.capacity import Card
from metering.centre import (
    CentreFact,
    CentreRecord,
    Energy,
    canonical,
    capacity_steps,
    check_energy,
    green_share,
    load_inventory,
    pue,
    read_inventory,
    write_inventory,
)
from metering.centre_store import count_at
from metering.errors import MeteringError
from tests.shared_data import ROOT

DAY_US = 86_400_000_000
REGISTER = load_accelerators((ROOT / "config/accelerators/accelerators.toml").read_bytes(), "accelerators.toml")
T0 = 1_767_196_800_000_000  # 2026-01-01 in Shanghai


def fact(number, kind, content, from_us=0, period=""):
    return CentreFact(number, "sj01", kind, period, from_us, canonical(content), "", "甲", number)


def test_a_later_fact_counts_from_its_own_day():
    """What was registered last for a day counts; what begins later does not reach back."""
    record = CentreRecord(
        [
            fact(1, "statement", 1, 100, "investment"),
            fact(2, "statement", 2, 200, "investment"),
            fact(3, "statement", 3, 100, "investment"),
        ]
    )
    seen = [record.statements(at).get("investment") for at in (99, 100, 199, 200)]
    assert seen == [None, 3, 3, 2]


def switch(number, from_us, *, suspended):
    return fact(number, "suspension", {"suspended": suspended, "reason": f"r{number}"}, from_us)


def test_suspensions_are_spans_between_switches():
    """On, off, on for good: two spans, the last without an end, whatever order they were registered in."""
    switches = [switch(1, 100, suspended=True), switch(2, 300, suspended=True), switch(3, 200, suspended=False)]
    assert CentreRecord(switches).suspensions() == [(100, 200, "r1"), (300, INT64_MAX, "r2")]
    assert CentreRecord([switch(1, 5, suspended=True), switch(2, 5, suspended=False)]).suspensions() == []
    assert CentreRecord([switch(1, 5, suspended=False)]).suspensions() == []


def test_a_year_of_energy_is_weighed_by_kilowatt_hours():
    """Twelve months' sums, not a mean of ratios; a corrected month counts once; 1.25 is exactly 1.25."""
    months = [f"2025-{number:02d}" for number in range(1, 13)]
    facts = [
        fact(n, "energy", {"total_kwh": 125, "it_kwh": 100, "green_kwh": 10}, period=month)
        for n, month in enumerate(months, 1)
    ]
    facts.append(fact(99, "energy", {"total_kwh": 2000, "it_kwh": 1000, "green_kwh": 2000}, period="2025-06"))
    record = CentreRecord(facts)
    year = record.year_before("2025-12")
    assert (pue(year), green_share(year)) == (
        Fraction(11 * 125 + 2000, 11 * 100 + 1000),
        Fraction(11 * 10 + 2000, 11 * 125 + 2000),
    )
    assert pue(record.year_before("2025-05")[-1:]) == Fraction(5, 4)
    assert [one.month for one in record.year_before("2026-03")] == months[3:]
    assert pue([]) is green_share([]) is None


@pytest.mark.parametrize("bad", [(100, 0, 0), (100, 101, 0), (100, 50, 101), (100, 50, -1)])
def test_readings_that_cannot_be_are_refused(bad):
    """Equipment takes something and no more than all; green is a part of all."""
    with pytest.raises(MeteringError, match="2026-01"):
        check_energy(Energy("2026-01", *bad))
    check_energy(Energy("2026-01", 100, 100, 100))


def test_capacity_steps_say_what_the_inventory_says_at_any_instant(seed):
    """At every edge of a random inventory the steps have what counting its cards gives; unknown words count in no sum."""
    random = Random(f"steps {seed}")
    cards = []
    for number in range(60):
        begin = T0 + random.randrange(30) * DAY_US
        model = random.choice(["A100", "a100", "H100-SXM", "Weird9"])
        cards.append(
            Card(f"S{number}", model, begin, random.choice([INT64_MAX, begin + DAY_US * random.randint(1, 9)]))
        )
    steps, unknown = capacity_steps(cards, REGISTER, T0)
    assert unknown.get("Weird9", 0) == sum(card.model == "Weird9" for card in cards)
    for at_us in sorted({T0 - 1, *(edge for card in cards for edge in (card.from_us, card.to_us - 1))}):
        counted = {model: some for model in steps if (some := count_at(steps[model], at_us))}
        there = [REGISTER.resolve(card.model, at_us) for card in cards if card.from_us <= at_us < card.to_us]
        assert counted == {name: 1000 * n for name, n in Counter(one.model for one in there if one is not None).items()}


def test_an_inventory_is_kept_as_it_was_read():
    """Words with commas, days left open, a mark of a spreadsheet: the register gives back the same cards."""
    text = '\ufeffserial,model,from,to\nS2,"A100, 80GB",2026-03-01,2026-04-01\nS1,A100,,\n'
    cards = read_inventory(text.encode(), "inv.csv", T0)
    assert [(card.serial, card.from_us, card.to_us == INT64_MAX) for card in cards] == [
        ("S2", T0 + 59 * DAY_US, False),
        ("S1", T0, True),
    ]
    assert load_inventory(write_inventory(cards)) == sorted(cards, key=lambda card: card.serial)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("serial\nS1\n", r"inv\.csv"),
        ("serial,model,colour\nS1,A100,red\n", r"inv\.csv"),
        ("serial,model\n", r"inv\.csv"),
        ("serial,model\nS1,A100\nS1,A100\n", "S1"),
        ("serial,model\nS1,\n", r"inv\.csv:2"),
        ("serial,model\nS1,A100,2026-01-01\n", r"inv\.csv:2"),
        ("serial,model,from\nS1,A100,01/02/2026\n", r"inv\.csv:2"),
        ("serial,model,from,to\nS1,A100,2026-02-01,2026-01-01\n", "S1"),
        ('serial,model\n"S1,A100\n', r"inv\.csv"),
        ("serial,model\nS\x07,A100\n", r"inv\.csv"),
        ("\udcff", r"inv\.csv"),
    ],
)
def test_a_bad_inventory_says_where_it_is_bad(text, where):
    """Header, line or serial number is named, and nothing is guessed."""
    with pytest.raises(MeteringError, match=where) as caught:
        read_inventory(text.encode("utf-8", "surrogateescape"), "inv.csv", T0)
    assert caught.value.code == "inventory-invalid"
