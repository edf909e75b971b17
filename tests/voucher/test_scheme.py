"""A scheme is data, read strictly: every fault is named with its file, line and key, all of them at once."""

import hashlib
import re
from datetime import UTC, date, datetime

import pytest

from ledger.amount import CNY, COMPUTE, parse_units
from tests.shared_data import ROOT
from tests.voucher.samples import SANDBOX, SANDBOX_FILE, codes
from voucher.errors import VoucherError
from voucher.scheme import INVENTED, SchemeStatus
from voucher.scheme_reader import load_series, parse_scheme

TEXT = SANDBOX_FILE.read_text("utf-8")
FROM_US = int(datetime(2014, 12, 31, 16, tzinfo=UTC).timestamp()) * 1_000_000
UNTIL_US = int(datetime(2034, 12, 31, 16, tzinfo=UTC).timestamp()) * 1_000_000
SHIPPED = load_series(SANDBOX_FILE.parent)


def refused(text, file="bad.toml"):
    with pytest.raises(VoucherError) as caught:
        parse_scheme(text.encode(), file)
    assert caught.value.code == "scheme-invalid"
    return caught.value


def changed(old, new):
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


def line_of(text, start):
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(start))


def test_the_sandbox_says_what_its_file_says():
    """Days of Shanghai become instants of UTC, both ends included; fen and decimals become units."""
    assert SANDBOX.status is SchemeStatus.SANDBOX
    assert "sandbox" in SANDBOX.id
    assert (SANDBOX.valid_from_us, SANDBOX.valid_until_us) == (FROM_US, UNTIL_US)
    assert (SANDBOX.issue_from_us, SANDBOX.issue_until_us) == (FROM_US, UNTIL_US)
    money, compute = SANDBOX.terms_in("CNY"), SANDBOX.terms_in("PFLOPS.h")
    assert money.budget_year_units == parse_units("10000000000", CNY)
    assert money.cap_holder_year_units == parse_units("1000000000", CNY)
    assert money.min_units == parse_units("0.01", CNY)
    assert compute.max_units == parse_units("1000000", COMPUTE)
    assert compute.cap_holder_year_units == parse_units("10000000", COMPUTE)
    assert SANDBOX.centres is SANDBOX.accelerators is SANDBOX.late_days is SANDBOX.terms_in("card.h") is None
    assert SANDBOX.digest == hashlib.sha256(SANDBOX_FILE.read_bytes()).hexdigest()
    assert SANDBOX.lacks == ()


def test_every_number_of_the_sandbox_is_labelled_invented():
    """Each table of the sandbox stands on one source, and that says that it is invented."""
    assert set(SANDBOX.notes.values()) == {INVENTED}
    assert "虚构" in TEXT.splitlines()[0]


def test_the_shipped_folder_loads():
    """Six cities and the sandbox; drafts are those whose texts hide what their claim mode needs."""
    status = {name: series.latest.status.value for name, series in SHIPPED.items()}
    assert status == {
        "cn-bj-ai-compute-2023": "usable",
        "cn-gs-qingyang-2024": "usable",
        "cn-gx-nanning-2025": "usable",
        "cn-ha-2023-2024": "draft",
        "cn-zj-hangzhou-2025": "draft",
        "cn-sh-songjiang-2024": "draft",
        SANDBOX.id: "sandbox",
    }


def test_no_city_scheme_is_issued_under_before_an_operator_completed_it():
    """Priority, centres, price list and window are no city's text: until they are added, nothing can be issued."""
    for name, series in SHIPPED.items():
        if name != SANDBOX.id:
            assert series.latest.lacks
            assert series.latest.terms == ()


def test_a_scheme_may_charge_interrupted_time_or_not():
    """Both rules are kept by metering, so that vouchers are issued under either."""
    text = SANDBOX_FILE.read_text("utf-8")
    for rule, charged in (("charged", True), ("not_charged", False)):
        scheme = parse_scheme(text.replace('time = "charged"', f'time = "{rule}"').encode(), "a.toml")
        assert (scheme.lacks, scheme.spending.charges(interrupted=True)) == ((), charged)


def test_songjiang_fixes_no_number():
    """Its file admits each parameter of money to be unknown."""
    scheme = SHIPPED["cn-sh-songjiang-2024"].latest
    assert {"ratio", "caps", "base", "budget", "validity", "payee", "publication_days"} <= set(scheme.unknown)
    assert not scheme.simulates
    assert scheme.in_force.holds(date(2027, 9, 30))
    assert not scheme.in_force.holds(date(2027, 10, 1))


def test_the_code_holds_no_number_of_a_scheme():
    """Caps, budgets, thresholds, shares and days of the shipped schemes stand in their files alone; so do their names."""
    files = "".join(path.read_text("utf-8") for path in SANDBOX_FILE.parent.glob("*.toml"))
    fen = {number.replace("_", "") for number in re.findall(r"fen = ([0-9_]+)", files)} - {"1", "100"}
    numbers = {number for number in fen | {str(int(number) // 100) for number in fen} if number.rstrip("0") != "1"}
    days = set(re.findall(r"= ([0-9]{4}-[0-9]{2}-[0-9]{2})", files))
    names = {name for name in SHIPPED if name != SANDBOX.id} | {"北京", "庆阳", "南宁", "河南", "杭州", "松江"}
    assert len(numbers) > 8
    assert len(days) > 9
    rooms = [
        *(ROOT / "voucher").glob("*.py"),
        ROOT / "suanquan/cli/scheme.py",
        ROOT / "suanquan/use_cases/catalogue.py",
    ]
    for path in rooms:
        text = path.read_text("utf-8")
        assert not {number.replace("_", "") for number in re.findall(r"[0-9][0-9_]{3,}", text)} & numbers, path
        dates = {
            "-".join(part.strip().zfill(2) for part in found.split(","))
            for found in re.findall(r"date\(([^)]*)\)", text)
        }
        assert not (dates | set(re.findall(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text))) & days, path
        assert not [name for name in names if name in text], path


def test_one_id_in_two_files_is_refused(tmp_path):
    """Which of two files is in force must not depend on their names."""
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(TEXT, "utf-8")
    with pytest.raises(VoucherError, match=r"b\.toml") as caught:
        load_series(tmp_path)
    assert caught.value.code == "scheme-duplicate"


@pytest.mark.parametrize(
    ("old", "new", "key", "code"),
    [
        ('currency = "CNY"', 'currency = "USD"', "version[0].currency", "scheme-value"),
        ('status = "sandbox"', 'status = "live"', "version[0].status", "scheme-value"),
        ('id = "cn-sh-songjiang-sandbox"', 'id = "Songjiang Sandbox"', "id", "scheme-value"),
        ('"issue_then_offset"', '"barter"', "version[0].claim_mode", "scheme-value"),
        ('"issue_then_offset"', '"unset"', "version[0].claim_mode", "scheme-incomplete"),
        ("unknown = []", "", "version[0].unknown", "scheme-key-missing"),
        ("unknown = []", 'unknown = "none"', "version[0].unknown", "scheme-value"),
        ('["CNY_FACE", "PFLOPS.h"]', '["CNY_FACE", "card.h"]', "version[0].denomination", "scheme-value"),
        ('["CNY_FACE", "PFLOPS.h"]', '["PFLOPS.h"]', "version[0].thresholds.min_voucher_fen", "scheme-key-unknown"),
        ("1_000_000_000_000 ", '"1000000000000" ', "version[0].budget.per_year_fen", "scheme-value"),
        ("1_000_000_000_000 ", "0 ", "version[0].budget.per_year_fen", "scheme-value"),
        ("1_000_000_000_000 ", "true ", "version[0].budget.per_year_fen", "scheme-value"),
        ("1_000_000_000_000 ", "10_000_000_000_000_000 ", "version[0].budget.per_year_fen", "scheme-value"),
        ('"0.001"', '"-1"', "version[0].thresholds.min_voucher_pflops_h", "scheme-value"),
        ('"0.001"', '"0"', "version[0].thresholds.min_voucher_pflops_h", "scheme-value"),
        ('"0.001"', '"1e3"', "version[0].thresholds.min_voucher_pflops_h", "scheme-value"),
        ("priority = 100", "priority = 1000", "version[0].voucher.priority", "scheme-value"),
        ('centres = "*"', "centres = []", "version[0].voucher.centres", "scheme-value"),
        ('centres = "*"', 'centres = ["sj01", "sj01"]', "version[0].voucher.centres", "scheme-value"),
        ('["train", "tune", "infer"]', '["mine"]', "version[0].voucher.actions", "scheme-value"),
        ('late_days = "open"', "late_days = 0", "version[0].reporting.late_days", "scheme-value"),
        ('price_list = "sandbox"', 'price_list = ""', "version[0].voucher.price_list", "scheme-value"),
        (
            'price_list = "sandbox"',
            'price_list = "sandbox"\nratio = 1',
            "version[0].voucher.ratio",
            "scheme-key-unknown",
        ),
        (
            "[version.reporting]",
            "[version.clawback]\nyears = 3\n[version.reporting]",
            "version[0].clawback",
            "scheme-key-unknown",
        ),
        ('max_percent = "50"', "max_percent = 50", "version[0].ratio[1].max_percent", "scheme-value"),
        ('max_percent = "50"', 'max_percent = "101"', "version[0].ratio[1].max_percent", "scheme-value"),
        ('max_percent = "50"', 'source = "invented"', "version[0].ratio[1].max_percent", "scheme-key-missing"),
        ("quantum_fen = 1\n", "", "version[0].rounding.quantum_fen", "scheme-key-missing"),
        ('tax = "exclusive"', 'tax = "both"', "version[0].base.tax", "scheme-value"),
        ('share = "1/3"', 'share = "0.5"', "version[0].funding[0].share", "scheme-value"),
        ("from = 2015-01-01\nto", "from = 2015-01-01T00:00:00\nto", "version[0].window.from", "scheme-value"),
    ],
)
def test_a_faulty_value_is_named_by_file_line_and_key(old, new, key, code):
    """The finding says where the value stands and what must stand there instead."""
    text = changed(old, new)
    error = refused(text, "nanning.toml")
    finding = next(finding for finding in error.findings if finding.where.endswith(f":{key}"))
    assert re.fullmatch(r"nanning\.toml:[0-9]+:.*", finding.where)
    assert finding.code == code
    assert "nanning.toml" in error.zh
    assert "nanning.toml" in error.en
    assert "docs/schemes.md" in error.en


def test_the_line_is_that_of_the_value():
    """A key of a table, of an item of an array, and a float each give their own line."""
    text = changed("priority = 100", "priority = -1").replace('max_percent = "50"', 'max_percent = "x"')
    lines = {finding.where.split(":")[2]: int(finding.where.split(":")[1]) for finding in refused(text).findings}
    assert lines["version[0].voucher.priority"] == line_of(text, "priority")
    assert lines["version[0].ratio[1].max_percent"] == line_of(text, 'max_percent = "x"')


@pytest.mark.parametrize("number", ["1e12", "10_000_000_000.00", "inf", "nan"])
def test_a_float_is_refused_wherever_it_stands(number):
    """Money in floats loses fen: the line and the spelling are told, before anything else is looked at."""
    text = changed("1_000_000_000_000 ", f"{number} ")
    (finding,) = refused(text).findings
    assert finding.code == "scheme-float"
    assert finding.where == f"bad.toml:{line_of(text, 'per_year_fen')}"
    assert number in finding.en


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        (
            'source = "invented"\n\n[version.window]',
            "\n[version.window]",
            "version[0].claim_mode",
            "scheme-source-missing",
        ),
        (
            'source = "invented"\n\n[version.window]',
            'source = "law"\n\n[version.window]',
            "version[0].source",
            "scheme-source",
        ),
        ('invented = "虚构 invented"', 'invented = "虚构 invented"\nlaw = "x"', "sources.law", "scheme-source-unused"),
        ('invented = "虚构 invented"', 'invented = "323-2024 (三)"', "version[0].source", "scheme-source"),
        ('invented = "虚构 invented"', "invented = 3", "sources.invented", "scheme-source"),
        ("[sources]", "[source]", "sources", "scheme-source"),
        ("from = 2015-01-01\nto", "from = 2035-01-01\nto", "version[0].window.to", "scheme-range"),
        (
            "min_voucher_fen = 1\n",
            "min_voucher_fen = 10_000_000_001\n",
            "version[0].thresholds.min_voucher_fen",
            "scheme-range",
        ),
        ("fen = 100_000_000_000 ", "fen = 9_000_000_000 ", "version[0].thresholds.max_voucher_fen", "scheme-range"),
        ("fen = 100_000_000_000 ", "fen = 2_000_000_000_000 ", "version[0].cap[0].fen", "scheme-range"),
        ("unknown = []", 'unknown = ["window"]', "version[0].unknown", "scheme-unknown"),
        ("unknown = []", 'unknown = ["colour"]', "version[0].unknown", "scheme-unknown"),
        ('none = ["application", "min_spend"]', 'none = ["application"]', "version[0].unknown", "scheme-incomplete"),
        ('"cn-sh-songjiang-sandbox"', '"cn-sh-songjiang"', "version[0].status", "scheme-sandbox"),
        (
            'decisive_date = "application.received_on"',
            'decisive_date = "purpose"',
            "version[0].decisive_date",
            "scheme-value",
        ),
        ('share = "1/3"', 'share = "1/2"', "version[0].funding[0].share", "scheme-range"),
        ("fen = 100_000_000_000 ", 'pflops_h = "1"\nfen = 100_000_000_000 ', "version[0].cap[0].fen", "scheme-value"),
        (
            'included = ["compute"]',
            'included = ["compute"]\nexcluded = ["compute"]',
            "version[0].base.excluded",
            "scheme-range",
        ),
        (
            'included = ["compute"]',
            'included = ["compute"]\nprorate = "days_inclusive"',
            "version[0].base.prorate",
            "scheme-range",
        ),
        ("valid_to = 2034-12-31", "validity_months = 12", "version[0].voucher.valid_to", "scheme-range"),
        ('{ used_up_to_percent = "40"', '{ used_up_to_percent = "20"', "version[0].reclaim.row", "scheme-range"),
        ('tax = "exclusive"\n', "", "version[0].unknown", "scheme-incomplete"),
        ('combine = "max"', 'combine = "first"', None, None),
    ],
)
def test_sources_and_contradictions_are_checked_too(old, new, where, code):
    """A value without a source, a source without a value, an end before its beginning; a sound change stays sound."""
    if where is None:
        assert parse_scheme(changed(old, new).encode(), "a.toml")
        return
    error = refused(changed(old, new))
    found = {(finding.where.split(":", 2)[2], finding.code) for finding in error.findings}
    assert (where, code) in found


def test_a_contradiction_names_the_source_of_the_value():
    """Whoever mends it must know which text to look at."""
    (finding,) = refused(changed("from = 2015-01-01\nto", "from = 2035-01-01\nto")).findings
    assert INVENTED in finding.zh
    assert INVENTED in finding.en


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ('{ fact = "beneficiary.starter", is = true }', "beneficiary.startup"),
        ('{ fact = "beneficiary.startup", ge = 1 }', "is"),
        ('{ fact = "beneficiary.startup" }', "exactly one"),
        ('{ fact = "beneficiary.startup", is = true, then = 1 }', "then"),
        ('{ fact = "beneficiary.startup", is = "yes" }', "true or false"),
        ("3", "must be a condition"),
    ],
)
def test_a_condition_is_read_by_the_operators_of_the_policy_files(when, words):
    """Names, types and comparisons are checked against the dictionary of facts; the line is told."""
    error = refused(changed('when = { fact = "beneficiary.startup", is = true }', f"when = {when}"))
    assert "scheme-condition" in codes(error)
    assert any(words in finding.en for finding in error.findings)
    assert all(re.match(r"bad\.toml:[0-9]+", finding.where) for finding in error.findings)


@pytest.mark.parametrize(
    ("mode", "missing"),
    [
        ("issue_then_offset", 'payee = "provider"\n'),
        ("issue_then_offset", 'invoice_rule = "provider_invoices_full_amount"\n'),
        ("issue_then_offset", 'cycle = "quarter"\n'),
        ("auto_enjoy", 'payee = "provider"\n'),
        ("post_use_direct", None),
        ("target_responsibility", None),
        ("issue_then_reimburse", "max_duration_months = 36\nclaims_per_contract = 1\n"),
    ],
)
def test_what_is_incomplete_for_its_claim_mode_is_a_draft_or_nothing(mode, missing):
    """A payee, a cycle, a window of application, a target: without them the mode cannot run; as a draft it may be simulated."""
    text = changed('"issue_then_offset"', f'"{mode}"')
    names = {
        "payee": "payee",
        "invoice_rule": "invoice_rule",
        "cycle": "settlement_cycle",
        "max_duration_months": "contract",
    }
    if missing is not None:
        assert text.count(missing) == 1
        name = names[missing.split()[0]]
        text = text.replace(missing, "").replace("unknown = []", f'unknown = ["{name}"]')
    assert "scheme-incomplete" in codes(refused(text))
    draft = text.replace('status = "sandbox"', 'status = "draft"').replace("songjiang-sandbox", "songjiang")
    draft = draft.replace(INVENTED, "草案")
    assert parse_scheme(draft.encode(), "a.toml").status is SchemeStatus.DRAFT


def test_no_scheme_but_a_sandbox_may_invent():
    """The sandbox's file under a usable status is refused, at every table that cites the invention."""
    found = codes(refused(changed('status = "sandbox"', 'status = "usable"')))
    assert set(found) == {"scheme-source"}
    assert len(found) > 20


def test_a_sourced_scheme_is_usable():
    """With real notes the same file is a scheme like any other."""
    text = TEXT.replace(INVENTED, "323-2024 (三)").replace('status = "sandbox"', 'status = "usable"')
    scheme = parse_scheme(text.replace("songjiang-sandbox", "songjiang").encode(), "a.toml")
    assert scheme.status is SchemeStatus.USABLE


def test_all_faults_are_told_at_once():
    """Three faults, three findings: nobody wants to find them one by one."""
    text = TEXT.replace("priority = 100", "priority = -1").replace('currency = "CNY"', "").replace("unknown = []", "")
    where = {finding.where.split(":")[2] for finding in refused(text).findings}
    assert where == {"version[0].voucher.priority", "version[0].currency", "version[0].unknown"}


@pytest.mark.parametrize(
    "data",
    [
        *(b"\xff", b"id = ", b"a = 1\na = 2", b"x = " + b"[" * 5000, b"a." * 5000 + b"b = 1", b"[a]\n[a]"),
        *(b"a." * 60 + b"b = 1", b"a = " + b"[" * 60 + b"]" * 60, b"# " + b"x" * 1_000_001),
    ],
)
def test_what_is_not_toml_is_refused_with_its_file(data):
    """Syntax, encoding and absurd depth end in the same error, naming the file."""
    with pytest.raises(VoucherError, match=r"bad\.toml") as caught:
        parse_scheme(data, "bad.toml")
    assert codes(caught.value) == ["scheme-syntax"]


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"source = 1",
            b"version = 5",
            b"[[id]]\n[voucher]",
            b'"a.b" = 1',
            b"version = [1]",
            b"[version]\nx = 1",
        ),
        *(b"facts = 1\nsources = 2", b"[[version]]\nratio = 1\nbase = 2\nunknown = [[1]]", b"[sources]\na = 1"),
        b"[[version]]\n[[version.condition]]\n[[version.ratio]]\nwhen = 1\n[version.reclaim]\nrow = 1",
    ],
)
def test_a_file_of_another_shape_is_refused_by_findings(data):
    """Nothing but findings comes of tables where text belongs."""
    with pytest.raises(VoucherError) as caught:
        parse_scheme(data, "bad.toml")
    assert len(caught.value.findings) > 4
