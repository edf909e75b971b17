"""Malformed documents, calendars and facts: the error names file and line and says what to write instead."""

import pytest

from subsidy.calendar import read_year
from subsidy.cases import read_cases
from subsidy.errors import SubsidyError
from subsidy.policies import assemble, load_policies, read_policies
from subsidy.yaml_text import DEPTH_MAX, TEXT_CHARACTERS_MAX, read_yaml

DOCUMENT = """\
document:
  id: "7"
  revision: 1
  number: 试〔2026〕7号
  title_zh: 试行办法
  title_en: Trial rules
  issuers: [区数据局]
  level: district
  precedence: 20
  issued_on: 2026-01-01
  published_on: 2026-01-01
  in_force_from: 2026-01-02
  in_force_to: 2026-12-31
  validity: {quote: 自发布之日起施行, line: 9}
  source_sha256: "0000000000000000000000000000000000000000000000000000000000000000"
facts:
  pue: {type: decimal, low: "1", zh: PUE 是多少？, en: What is the PUE?}
  racks: {type: integer, zh: 多少机架？, en: How many racks?}
  titles: {type: set, values: [gold, silver], zh: 哪些称号？, en: Which titles?}
quantities:
  half_of_racks: {zh: 一半, en: half, is: {times: ["1/2", racks]}}
groups:
  common:
    requires:
      - {id: titled, fact: titles, count: {of: [gold, silver], ge: 1}, quote: 有称号的, line: 3}
clauses:
  - id: 7:一
    title_zh: 支持机架
    title_en: Racks
    departments: [区数据局]
    review: department
    include: [common]
    requires:
      - id: efficient
        fact: pue
        lt: "1.25"
        quote: PUE 低于 1.25
        line: 4
    benefit: {kind: ceiling, rate: "1/2", of: half_of_racks, cap: 1000, quote: 最高 1000 元, line: 5}
"""

FAULTS = [
    ("id: efficient", "id: efficient\n        id: again", 35, "repeated, first on line 34; keep one"),
    ("line: 4\n", "line: 16:30\n", 38, 'write "16:30" in quotes'),
    ('lt: "1.25"', "lt: 1.25", 36, 'write "1.25" in quotes'),
    ('lt: "1.25"', 'lt: "125%"', 36, "must be a decimal in quotes"),
    ('lt: "1.25"', 'lt: "0.25"', 36, "must be at least 1"),
    ('lt: "1.25"', 'lt: "1.25"\n        ge: "1"', 35, "takes exactly one of: lt, le, gt, ge"),
    ('lt: "1.25"', 'is: "1.25"', 35, "takes exactly one of: lt, le, gt, ge"),
    ('lt: "1.25"', 'less: "1.25"', 35, "takes exactly one of"),
    ("fact: pue", "fact: peu", 35, "did you mean `pue`?"),
    ("fact: pue", "fcat: pue", 35, "there is no field `fcat`; did you mean `fact`?"),
    ("review: department", "review: yearly", 31, "must be one of: irregular, department"),
    ("include: [common]", "include: [commons]", 32, "there is no group `commons`"),
    ("include: [common]", "include: [common, common]", 32, "a list of different texts"),
    ("include: [common]\n", "\n", 24, "no clause includes the group `common`"),
    ("ge: 1}", "ge: 0}", 25, "comes out the same for every set"),
    ("of: [gold, silver]", "of: [gold, bronze]", 25, "must be one of gold, silver, not 'bronze'"),
    ("departments: [区数据局]", "departments: 区数据局", 30, "must be a list of different texts"),
    ("kind: ceiling", "kind: promise", 39, "must be one of: exact, ceiling"),
    ("kind: ceiling", "kind: range", 39, "the others do not"),
    ('rate: "1/2"', "rate: 50%", 39, 'must be a fraction in quotes such as "1/2"'),
    ("cap: 1000,", 'cap: "1000",', 39, "there is no fact `1000`"),
    ("of: half_of_racks", "of: pue", 39, "not an integer fact"),
    ("of: half_of_racks", "of: {sqrt: [racks]}", 39, "`sqrt` is no operator"),
    ("of: half_of_racks", "of: {minus: [racks]}", 39, "wrong number of parts"),
    (", quote: 最高 1000 元, line: 5", "", 39, "a benefit must quote the text"),
    ("line: 5}", "line: five}", 39, "must be line numbers of the source text"),
    ("        quote: PUE 低于 1.25\n", "", 34, "`quote` must be text"),
    ("type: integer", "type: number", 18, "must be one of: flag, integer"),
    ("values: [gold, silver]", "values: []", 19, "a list of different texts"),
    ('["1/2", racks]', '["0.5", racks]', 21, "must be a fraction"),
    ("half_of_racks: {zh", "racks: {zh", 21, "`racks` is taken"),
    ("in_force_to: 2026-12-31", "in_force_to: 2026-12-32", 13, "must be a day such as 2025-05-26"),
    ("in_force_to: 2026-12-31", "in_force_to: 2025-12-31", 13, "days must run issued_on"),
    ("level: district", "level: distict", 8, "must be one of: district"),
    ('sha256: "0000', 'sha256: "zzzz', 15, "64 lower-case hexadecimal digits"),
    ("precedence: 20", "precedence: twenty", 9, "non-negative integer"),
    ("precedence: 20", "precedence: 020", 9, "not a plain decimal integer"),
    ("revision: 1", "revision: no", 3, "reads as true or false"),
    ("line: 9}", "line: 9, lines: 10}", 14, "there is no field `lines`; did you mean `line`?"),
]


@pytest.mark.parametrize(("good", "bad", "line", "advice"), FAULTS)
def test_a_fault_is_named_with_its_line_and_what_to_write(good, bad, line, advice):
    """One wrong place in a document gives a finding at that line with advice, and the document is refused."""
    assert DOCUMENT.count(good) >= 1
    with pytest.raises(SubsidyError) as error:
        read_policies({"x.yaml": DOCUMENT.replace(good, bad)})
    assert any(f.where == f"x.yaml:{line}" and advice in f.en for f in error.value.findings), error.value.findings


def test_the_document_itself_is_well_formed():
    """The document that the faults are made in is accepted."""
    assert list(read_policies({"x.yaml": DOCUMENT}).clauses) == ["7:一"]


def test_every_fault_is_reported_at_once():
    """A document with three faults gives three findings, each once."""
    text = (
        DOCUMENT.replace("fact: pue", "fact: peu")
        .replace("level: district", "level: x")
        .replace("racks: {type", "racks: {typ")
    )
    with pytest.raises(SubsidyError) as error:
        read_policies({"x.yaml": text})
    places = [finding.where for finding in error.value.findings]
    assert {"x.yaml:8", "x.yaml:18", "x.yaml:35"} <= set(places)
    assert len(set(error.value.findings)) == len(places)


IMPLEMENTING = """\
document: {id: "8", revision: 1, number: 8号, title_zh: 细则, title_en: Rules, issuers: [区数据局], level: district, precedence: 30,
  implements: "7", issued_on: 2026-01-01, published_on: 2026-01-01, in_force_from: 2026-01-02, in_force_to: 2026-12-31,
  validity: {quote: 施行, line: 1}, source_sha256: "0000000000000000000000000000000000000000000000000000000000000000"}
facts:
  extra: {type: flag, zh: 另加？, en: Extra?}
clauses:
  - id: 8:一
    implements: 7:一
    title_zh: 支持机架
    title_en: Racks
    departments: [区数据局]
    review: annual_round
    requires:
      - {id: extra, fact: extra, is: true, quote: 另加, line: 2}
    benefit: {kind: ceiling, rate: "1/2", of: half_of_racks, cap: 1000, quote: 最高 1000 元, line: 3}
"""


@pytest.mark.parametrize(
    ("good", "bad", "advice"),
    [
        ('rate: "1/2"', 'rate: "2/3"', "`rate` widens 7:一; it may be at most 1/2"),
        ("cap: 1000", "cap: 1001", "`cap` widens 7:一; it may be at most 1000"),
        ("precedence: 30", "precedence: 20", "`precedence` must be larger"),
        ("implements: 7:一", "implements: 7:二", "must name a clause of the document"),
        ("id: 8:一", "id: 7:一", "is the name of another clause"),
        ('implements: "7"', 'implements: "9"', "names no document that is present"),
        ('id: "8"', 'id: "7"', "there is another document 7"),
        ("extra: {type", "pue: {type", "is taken"),
    ],
)
def test_implementing_rules_may_narrow_but_not_widen_or_contradict(good, bad, advice):
    """Implementing rules that widen rate or cap, or do not fit the document above them, are refused."""
    read_policies({"x.yaml": DOCUMENT, "y.yaml": IMPLEMENTING})
    with pytest.raises(SubsidyError) as error:
        read_policies({"x.yaml": DOCUMENT, "y.yaml": IMPLEMENTING.replace(good, bad)})
    assert any(advice in finding.en for finding in error.value.findings), error.value.findings


def test_two_implementing_documents_must_not_overlap():
    """Only one set of implementing rules can carry out a clause on any one day."""
    other = IMPLEMENTING.replace('"8"', '"9"').replace("id: 8:一", "id: 9:一").replace("extra", "more")
    with pytest.raises(SubsidyError) as error:
        read_policies({"x.yaml": DOCUMENT, "y.yaml": IMPLEMENTING, "z.yaml": other})
    assert "carries out 7:一 in the same time as 8" in error.value.findings[0].en
    later = other.replace("2026-12-31", "2027-12-31").replace("in_force_from: 2026-01-02", "in_force_from: 2027-01-01")
    assert len(read_policies({"x.yaml": DOCUMENT, "y.yaml": IMPLEMENTING, "z.yaml": later}).documents) == 3


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("a: [1", "YAML syntax"),
        ("- 1", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: 1\n---\nb: 2", "YAML syntax"),
        ("a: &x [1]\nb: *x", "anchors and aliases"),
        ("<<: {a: 1}", "a key must be text"),
        ("on: 1", 'write "on" in quotes'),
        ("323: 1", 'write "323" in quotes'),
        ("a: !!python/none x", "the tag python/none is refused"),
        ("a: 0x1F", "not a plain decimal integer"),
        ("a: 190:20:30", "reads as a base-60 number"),
        ("a: .inf", "floats are refused"),
        ("a: \x00", "unreadable YAML"),
        ("[" * (DEPTH_MAX + 1), "nested deeper"),
        (" " * (TEXT_CHARACTERS_MAX + 1), "too large"),
    ],
)
def test_yaml_that_would_be_misread_is_refused(text, advice):
    """Whatever YAML guesses, repeats or nests without end is refused with what to write."""
    with pytest.raises(SubsidyError) as error:
        read_yaml(text, "x.yaml")
    assert advice in error.value.findings[0].en


def test_plain_yaml_is_read_with_its_lines():
    """Days stay text, grouped integers are integers, null is None, and each key knows its line."""
    table = read_yaml("a: 2025-05-26\nb: 3_000_000_000\nc: ~\nd: [x, true]\n", "x.yaml")
    assert table == {"a": "2025-05-26", "b": 3_000_000_000, "c": None, "d": ["x", True]}
    assert table.lines == {"a": 1, "b": 2, "c": 3, "d": 4}


CASE = """\
cases:
  - id: one
    clause: 323:(一)1
    date: '2025-09-01'
    facts:
      pue: '1.2499'
  - id: two
    clause: 323:(七)
    date: '2025-09-01'
    facts: {company_size: small}
"""


@pytest.mark.parametrize(
    ("good", "bad", "line", "advice"),
    [
        ("pue: '1.2499'", "peu: '1.2499'", 6, "there is no fact `peu`; did you mean `pue`?"),
        ("pue: '1.2499'", "pue: 1.2499%", 6, "must be a decimal in quotes"),
        ("pue: '1.2499'", "pue: '0.9'", 6, "must be at least 1"),
        ("pue: '1.2499'", "green_power_share: '10'", 6, "10 % is written 0.10"),
        ("pue: '1.2499'", "centre_built_in_songjiang: 'yes'", 6, "must be true or false"),
        ("pue: '1.2499'", "parameter_count: 1000亿", 6, "must be a whole number"),
        ("pue: '1.2499'", "compute_equipment_investment_yuan: '30.5'", 6, "must be a whole number of yuan"),
        ("pue: '1.2499'", "rd_cost_hardware_yuan: -1", 6, "must be at least 0"),
        ("pue: '1.2499'", "levels_already_rewarded: national", 6, "must be a list"),
        ("pue: '1.2499'", "levels_already_rewarded: [nationl]", 6, "did you mean `national`?"),
        ("clause: 323:(一)1", "clause: 323:(一)9", 3, "there is no clause 323:(一)9; did you mean `323:(一)"),
    ],
)
def test_a_case_with_wrong_facts_is_named_and_the_others_are_answered(policies, good, bad, line, advice):
    """A wrong fact is found at its line with advice; it does not stop the next case."""
    first, second = read_cases(policies, CASE.replace(good, bad), "c.yaml")
    (finding,) = first.findings
    assert finding.where == f"c.yaml:{line}"
    assert advice in finding.en
    assert not second.findings


@pytest.mark.parametrize(
    ("good", "bad", "advice"),
    [
        ("pue: '1.2499'", "pue: 1.2499", 'write "1.2499" in quotes'),
        ("pue: '1.2499'", "pue: '1.2'\n      pue: '1.3'", "is repeated"),
        ("date: '2025-09-01'", "date: '2025-9-1'", "must be a day such as"),
        ("    facts: {company_size: small}\n", "", "`facts` must be a mapping"),
        ("cases:", "case:", "must be a list of mappings"),
    ],
)
def test_a_file_of_cases_that_cannot_be_read_is_refused(policies, good, bad, advice):
    """Floats, repeated facts and malformed days refuse the file."""
    with pytest.raises(SubsidyError) as error:
        read_cases(policies, CASE.replace(good, bad), "c.yaml")
    assert advice in error.value.findings[0].en


YEAR = """\
year: 2025
notice: {number: 国办发明电〔2024〕12号, title: 通知, issued_on: 2024-11-12}
holidays:
  - {name: 国庆节, from: 2025-10-01, to: 2025-10-08}
working_weekends:
  - 2025-09-28
"""


@pytest.mark.parametrize(
    ("good", "bad", "line", "advice"),
    [
        ("year: 2025", "year: 2024", 1, "must be named cn-2024.yaml"),
        ("to: 2025-10-08", "to: 2025-09-30", 4, "must lie in 2025, in order"),
        (
            "to: 2025-10-08}",
            "to: 2025-10-08}\n  - {name: 中秋节, from: 2025-10-06, to: 2025-10-06}",
            5,
            "without overlap",
        ),
        ("- 2025-09-28", "- 2025-09-29", 6, "must be a Saturday or Sunday"),
        ("- 2025-09-28", "- 2025-10-04", 6, "that is no holiday"),
        ("- 2025-09-28", "- 2026-09-27", 6, "of 2025"),
        ("number: 国办发明电〔2024〕12号, ", "", 2, "`number` must be text"),
    ],
)
def test_a_wrong_calendar_is_refused(good, bad, line, advice):
    """A holiday outside its year, a working weekend on a weekday, or a missing notice is found at its line."""
    read_year(YEAR, "cn-2025.yaml")
    with pytest.raises(SubsidyError) as error:
        read_year(YEAR.replace(good, bad), "cn-2025.yaml")
    assert any(f.where == f"cn-2025.yaml:{line}" and advice in f.en for f in error.value.findings), error.value.findings


def test_a_folder_without_documents_is_refused(tmp_path):
    """No policy document at all is a fault of the installation, not an empty rule book."""
    with pytest.raises(SubsidyError, match="no policy documents"):
        load_policies(tmp_path)


def places(node):
    """Every place of a document, as the container and the key."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


def refuses(tables):
    """Whether documents are refused, with findings."""
    try:
        assemble(tables, dict.fromkeys(tables, ""))
    except SubsidyError as error:
        return bool(error.findings)
    return False


@pytest.mark.parametrize(
    "wrong", [None, True, 5, -1, "x", "1/2", [], {}, [[1]], [{"fact": "pue"}], {"all": []}, {"times": [1, 2]}]
)
def test_no_value_in_any_place_escapes_the_checks(wrong):
    """Whatever stands wherever in a document, it is accepted or refused with findings; nothing else happens."""
    refused = 0
    tables = {"x.yaml": read_yaml(DOCUMENT, "x.yaml"), "y.yaml": read_yaml(IMPLEMENTING, "y.yaml")}
    for table in tables.values():
        for node, key in places(table):
            good, node[key] = node[key], wrong
            refused += refuses(tables)
            node[key] = good
    assert refused > 50
