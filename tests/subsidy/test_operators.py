"""The operators, on their own: three-valued, exact, and sure as soon as nothing unknown can matter."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsidy.errors import SubsidyError
from subsidy.facts import Fact, FactType
from subsidy.fields import Faults, Fields
from subsidy.operators import Junction, Not, names_read
from subsidy.operators_reader import Scope, read_condition, read_quantity

DICTIONARY = {
    "open": Fact("open", FactType.FLAG, "", ""),
    "kind": Fact("kind", FactType.CHOICE, "", "", values=("a", "b", "c")),
    "racks": Fact("racks", FactType.INTEGER, "", ""),
    "cost": Fact("cost", FactType.INTEGER, "", ""),
    "share": Fact("share", FactType.DECIMAL, "", ""),
    "signed": Fact("signed", FactType.DAY, "", ""),
    "titles": Fact("titles", FactType.SET, "", "", values=("x", "y", "z")),
}


def scope():
    """The names of these tests, with one named quantity."""
    names = Scope(DICTIONARY)
    names.derived["half"] = quantity({"times": ["1/2", "cost"]}, names)
    return names


def condition(written, names=None):
    """A condition as it stands in a TOML file: a plain mapping without lines."""
    faults = Faults("scheme.toml")
    read = read_condition(Fields(faults, written, "rule"), names or scope())
    faults.raise_any()
    return read


def quantity(written, names=None):
    """A quantity as it stands in a file."""
    faults = Faults("scheme.toml")
    read = read_quantity(Fields(faults, {"of": written}, "rule"), "of", written, names or scope())
    faults.raise_any()
    return read


TRUTHS = [True, False, None]


class Fixed:
    """A condition with a known truth."""

    def __init__(self, truth):
        self.test = lambda _facts: truth


@pytest.mark.parametrize("left", TRUTHS)
@pytest.mark.parametrize("right", TRUTHS)
def test_all_any_and_not_follow_kleene(left, right):
    """A definite false decides `all`, a definite true `any`; otherwise unknown wins."""
    both, either = (Junction([Fixed(left), Fixed(right)], decisive=decisive).test({}) for decisive in (False, True))
    assert both is (False if False in {left, right} else None if None in {left, right} else True)
    assert either is (True if True in {left, right} else None if None in {left, right} else False)
    assert Not(Fixed(left)).test({}) is (None if left is None else not left)


@pytest.mark.parametrize(
    ("written", "name", "passes", "fails"),
    [
        ({"fact": "open", "is": True}, "open", True, False),
        ({"fact": "kind", "in": ["a", "b"]}, "kind", "b", "c"),
        ({"fact": "racks", "ge": 1000}, "racks", 1000, 999),
        ({"fact": "racks", "gt": 1000}, "racks", 1001, 1000),
        ({"fact": "racks", "le": 1000}, "racks", 1000, 1001),
        ({"fact": "racks", "lt": 1000}, "racks", 999, 1000),
        ({"fact": "titles", "count": {"of": ["x", "y"], "ge": 1}}, "titles", frozenset("yz"), frozenset("z")),
        ({"fact": "titles", "count": {"of": ["x"], "lt": 1}}, "titles", frozenset(), frozenset("x")),
    ],
)
def test_each_comparison_has_its_boundary(written, name, passes, fails):
    """不低于 includes the number and 超过 does not; an unknown fact leaves the verdict open and is the one to ask."""
    test = condition(written)
    assert test.test({name: passes}) is True
    assert test.test({name: fails}) is False
    assert test.test({}) is None
    assert list(test.unknown({})) == [name]
    assert not list(test.unknown({name: passes}))


def test_one_yuan_short_of_three_billion_fails():
    """Thresholds are exact where a 32-bit float would round up: 2,999,999,999 is below 3,000,000,000."""
    test = condition({"fact": "cost", "ge": 3_000_000_000})
    assert test.test({"cost": 2_999_999_999}) is False
    assert test.test({"cost": 3_000_000_000}) is True


def test_quantities_are_exact_fractions():
    """Three sevenths of ten is no decimal and is not rounded."""
    assert quantity({"times": ["3/7", "racks"]}).value({"racks": 10}) == Fraction(30, 7)
    assert quantity({"sum": ["racks", {"times": ["1/3", "cost"]}]}).value({"racks": 1, "cost": 1}) == Fraction(4, 3)
    assert quantity({"minus": ["racks", "cost"]}).value({"racks": 1, "cost": 5}) == 0
    assert quantity({"min": ["racks", 7]}).value({"racks": 9}) == 7


@pytest.mark.parametrize(
    ("written", "facts", "value"),
    [
        ({"minus": ["racks", "cost"]}, {"racks": 0}, 0),
        ({"min": ["racks", "cost"]}, {"racks": 0}, 0),
        ({"min": ["racks", "cost"]}, {"racks": 1}, None),
        ({"sum": ["racks", "cost"]}, {"racks": 1}, None),
        ("half", {"cost": 5}, Fraction(5, 2)),
        ("half", {}, None),
    ],
)
def test_a_quantity_is_known_as_soon_as_no_unknown_fact_can_change_it(written, facts, value):
    """Nothing remains of zero whatever is taken away, and nothing is smaller than zero."""
    assert quantity(written).value(facts) == value


TIERS = {
    "tiers": [
        {"when": {"all": [{"fact": "open", "is": True}, {"fact": "racks", "ge": 5}]}, "yuan": 100},
        {"when": {"fact": "racks", "ge": 1}, "yuan": 20},
    ]
}


@pytest.mark.parametrize(
    ("facts", "value", "unknown"),
    [
        ({"open": True, "racks": 5}, 100, []),
        ({"open": False, "racks": 5}, 20, []),
        ({"racks": 4}, 20, []),
        ({"racks": 0}, 0, []),
        ({"racks": 5}, None, ["open"]),
        ({"open": False}, None, ["racks"]),
        ({}, None, ["open", "racks", "racks"]),
    ],
)
def test_tiers_take_the_first_row_that_holds(facts, value, unknown):
    """A row above that may still hold leaves the tier open; a row that cannot hold is passed over."""
    tiers = quantity(TIERS)
    assert tiers.value(facts) == value
    assert list(tiers.unknown(facts)) == unknown


def test_bounds_decide_comparisons_of_quantities():
    """Fifty is more than half of at most sixty, so the comparison is sure before the cost is known exactly."""
    test = condition({"fact": "racks", "gt": {"times": ["1/2", {"min": ["cost", 60]}]}})
    assert test.test({"racks": 50}) is True
    assert test.test({"racks": 20}) is None
    assert test.test({"racks": 20, "cost": 60}) is False
    assert set(names_read(test)) == {"racks", "cost"}
    assert condition({"fact": "half", "gt": 0}).test({}) is None
    assert condition({"fact": "racks", "lt": "half"}).test({"racks": 3, "cost": 5}) is False


def test_days_are_compared_as_days():
    """A contract signed on the first day counts."""
    test = condition({"fact": "signed", "ge": "2023-09-01"})
    faults = Faults("x")
    assert test.test({}) is None
    assert not faults.findings
    assert test.operand.isoformat() == "2023-09-01"
    assert test.test({"signed": test.operand}) is True


@pytest.mark.parametrize(
    "written",
    [
        {"fact": "titles", "is": "x"},
        {"fact": "titles", "count": {"of": ["x"]}},
        {"fact": "open", "ge": 1},
        {"fact": "share", "ge": 0.5},
        {"fact": "share", "is": "0.5"},
        {"fact": "racks"},
        {"fact": "racks", "ge": 1, "lt": 5},
        {"fact": "racks", "ge": "share"},
        {"not": []},
        {"all": [{"fact": "racks", "ge": 1, "quote": "x"}]},
        {"fact": "signed", "ge": "yesterday"},
    ],
)
def test_comparisons_that_make_no_sense_are_refused_with_their_place(written):
    """Without lines, as in TOML, the place is the path of the mapping."""
    with pytest.raises(SubsidyError) as error:
        condition(written)
    assert error.value.findings[0].where.startswith("scheme.toml: rule")


@given(st.dictionaries(st.sampled_from(["open", "racks", "cost"]), st.integers(0, 9)))
def test_naming_what_is_unknown_never_names_what_is_known(facts):
    """Only absent facts are asked for, and only while the value is open."""
    known = {name: (value > 4 if name == "open" else value) for name, value in facts.items()}
    for node in (quantity(TIERS), quantity({"minus": ["racks", {"times": ["2/3", "cost"]}]})):
        asked = list(node.unknown(known))
        assert not set(asked) & known.keys()
        assert bool(asked) is (node.value(known) is None)
