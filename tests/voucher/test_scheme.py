"""A scheme is data, read strictly: every fault is named with its file and key, all of them at once."""

import hashlib
from datetime import UTC, datetime

import pytest

from ledger.amount import CNY, COMPUTE, parse_units
from tests.voucher.samples import SANDBOX, SANDBOX_FILE, codes
from voucher.errors import VoucherError
from voucher.scheme import INVENTED, SchemeStatus, load_schemes, parse_scheme, policy_year

TEXT = SANDBOX_FILE.read_text("utf-8")
FROM_US = int(datetime(2014, 12, 31, 16, tzinfo=UTC).timestamp()) * 1_000_000
UNTIL_US = int(datetime(2034, 12, 31, 16, tzinfo=UTC).timestamp()) * 1_000_000


def refused(text, file="bad.toml"):
    with pytest.raises(VoucherError) as caught:
        parse_scheme(text.encode(), file)
    assert caught.value.code == "scheme-invalid"
    return caught.value


def changed(old, new):
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


def test_the_sandbox_says_what_its_file_says():
    """Days of Shanghai become instants of UTC, both ends included; fen and decimals become units."""
    assert SANDBOX.status is SchemeStatus.SANDBOX
    assert "sandbox" in SANDBOX.id
    assert (SANDBOX.valid_from_us, SANDBOX.valid_until_us) == (FROM_US, UNTIL_US)
    assert (SANDBOX.issue_from_us, SANDBOX.issue_until_us) == (FROM_US, UNTIL_US)
    money, compute = SANDBOX.terms_in("CNY"), SANDBOX.terms_in("PFLOPS.h")
    assert money.budget_year_units == parse_units("10000000000", CNY)
    assert money.min_units == parse_units("0.01", CNY)
    assert compute.max_units == parse_units("1000000", COMPUTE)
    assert SANDBOX.centres is SANDBOX.accelerators is SANDBOX.late_days is SANDBOX.terms_in("card.h") is None
    assert SANDBOX.digest == hashlib.sha256(SANDBOX_FILE.read_bytes()).hexdigest()


def test_every_number_of_the_sandbox_is_labelled_invented():
    """No key of the sandbox has a source that begins otherwise."""
    body, _, source = TEXT.partition("[source]")
    notes = [line.partition(" = ")[2] for line in source.strip().splitlines()]
    assert notes
    assert all(note.startswith(f'"{INVENTED}') for note in notes)
    assert "虚构" in body.splitlines()[0]


def test_the_shipped_folder_loads():
    """Every scheme of config/schemes is sound and has its own id."""
    assert SANDBOX.id in load_schemes(SANDBOX_FILE.parent)


def test_one_id_in_two_files_is_refused(tmp_path):
    """Which of two files is in force must not depend on their names."""
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(TEXT, "utf-8")
    with pytest.raises(VoucherError, match=r"b\.toml") as caught:
        load_schemes(tmp_path)
    assert caught.value.code == "scheme-duplicate"


@pytest.mark.parametrize(
    ("old", "new", "key", "code"),
    [
        ('currency = "CNY"', 'currency = "USD"', "currency", "scheme-value"),
        ('status = "sandbox"', 'status = "live"', "status", "scheme-value"),
        ('id = "cn-sh-songjiang-sandbox"', 'id = "Songjiang Sandbox"', "id", "scheme-value"),
        ('"issue_then_offset"', '"unset"', "claim_mode", "scheme-value"),
        ("unknown = []", "", "unknown", "scheme-key-missing"),
        ("unknown = []", 'unknown = "none"', "unknown", "scheme-value"),
        ('["CNY_FACE", "PFLOPS.h"]', '["CNY_FACE", "card.h"]', "denomination", "scheme-value"),
        ('["CNY_FACE", "PFLOPS.h"]', '["PFLOPS.h"]', "budget.per_year_fen", "scheme-key-unknown"),
        ("1_000_000_000_000 ", "1e12 ", "budget.per_year_fen", "scheme-float"),
        ("1_000_000_000_000 ", "10_000_000_000.00 ", "budget.per_year_fen", "scheme-float"),
        ("1_000_000_000_000 ", "inf ", "budget.per_year_fen", "scheme-float"),
        ("1_000_000_000_000 ", '"1000000000000" ', "budget.per_year_fen", "scheme-value"),
        ("1_000_000_000_000 ", "0 ", "budget.per_year_fen", "scheme-value"),
        ("1_000_000_000_000 ", "true ", "budget.per_year_fen", "scheme-value"),
        ("1_000_000_000_000 ", "10_000_000_000_000_000 ", "budget.per_year_fen", "scheme-value"),
        ("min_voucher_fen = 1\n", "", "thresholds.min_voucher_fen", "scheme-key-missing"),
        ('"0.001"', "0.001", "thresholds.min_voucher_pflops_h", "scheme-float"),
        ('"0.001"', '"-1"', "thresholds.min_voucher_pflops_h", "scheme-value"),
        ('"0.001"', '"0"', "thresholds.min_voucher_pflops_h", "scheme-value"),
        ('"0.001"', '"1e3"', "thresholds.min_voucher_pflops_h", "scheme-value"),
        ("priority = 100", "priority = 1000", "voucher.priority", "scheme-value"),
        ('centres = "*"', "centres = []", "voucher.centres", "scheme-value"),
        ('centres = "*"', 'centres = ["sj01", "sj01"]', "voucher.centres", "scheme-value"),
        ('["train", "tune", "infer"]', '["mine"]', "voucher.actions", "scheme-value"),
        ('late_days = "open"', "late_days = 0", "reporting.late_days", "scheme-value"),
        ('price_list = "sandbox"', 'price_list = ""', "voucher.price_list", "scheme-value"),
        ('price_list = "sandbox"', 'price_list = "sandbox"\nratio = 1', "voucher.ratio", "scheme-key-unknown"),
        ("[reporting]", "[clawback]\nyears = 3\n[reporting]", "clawback.years", "scheme-key-unknown"),
    ],
)
def test_a_faulty_value_is_named_by_file_and_key(old, new, key, code):
    """The finding says where the value stands and what must stand there instead."""
    error = refused(changed(old, new), "nanning.toml")
    finding = next(finding for finding in error.findings if finding.where == f"nanning.toml:{key}")
    assert finding.code == code
    assert "nanning.toml" in error.zh
    assert "nanning.toml" in error.en


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ('"window.from" = "虚构 invented"\n', "", "window.from", "scheme-source-missing"),
        ('"window.from" =', '"window.start" =', 'source."window.start"', "scheme-source-unused"),
        ('"window.from" = "虚构 invented"', '"window.from" = "323-2024 (三)"', 'source."window.from"', "scheme-source"),
        ('"window.from" = "虚构 invented"', '"window.from" = 3', 'source."window.from"', "scheme-source"),
        ("[source]", "[sources]", "window.from", "scheme-source-missing"),
        ("from = 2015-01-01\nto", "from = 2015-01-01T00:00:00\nto", "window.from", "scheme-value"),
        ("from = 2015-01-01\nto", "from = 2035-01-01\nto", "window.to", "scheme-range"),
        ("min_voucher_fen = 1\n", "min_voucher_fen = 10_000_000_001\n", "thresholds.min_voucher_fen", "scheme-range"),
        ("= 100_000_000_000 ", "= 9_000_000_000 ", "thresholds.max_voucher_fen", "scheme-range"),
        ("unknown = []", 'unknown = ["window.to"]', "unknown", "scheme-unknown"),
        ('"cn-sh-songjiang-sandbox"', '"cn-sh-songjiang"', "id", "scheme-sandbox"),
    ],
)
def test_sources_and_contradictions_are_checked_too(old, new, where, code):
    """A value without a source, a source without a value, an end before its beginning."""
    found = {(finding.where, finding.code) for finding in refused(changed(old, new)).findings}
    assert (f"bad.toml:{where}", code) in found


def test_no_scheme_but_a_sandbox_may_invent():
    """The sandbox's file under a usable status is refused at every source, and for its id."""
    found = codes(refused(changed('status = "sandbox"', 'status = "usable"')))
    assert set(found) == {"scheme-source"}
    assert len(found) == TEXT.count(INVENTED + '"')


def test_a_sourced_scheme_is_usable():
    """With real notes the same file is a scheme like any other."""
    text = TEXT.replace(INVENTED, "323-2024 (三)").replace('"sandbox"\nunknown', '"usable"\nunknown')
    scheme = parse_scheme(text.replace("songjiang-sandbox", "songjiang").encode(), "a.toml")
    assert scheme.status is SchemeStatus.USABLE


def test_all_faults_are_told_at_once():
    """Three faults, three findings: nobody wants to find them one by one."""
    text = TEXT.replace("priority = 100", "priority = -1").replace('currency = "CNY"', "").replace("unknown = []", "")
    where = {finding.where.partition(":")[2] for finding in refused(text).findings}
    assert where == {"voucher.priority", "currency", "unknown", 'source."currency"'}


@pytest.mark.parametrize(
    "data", [b"\xff", b"id = ", b"a = 1\na = 2", b"x = " + b"[" * 5000, b"a." * 5000 + b"b = 1", b"[a]\n[a]"]
)
def test_what_is_not_toml_is_refused_with_its_file(data):
    """Syntax, encoding and absurd depth end in the same error, naming the file."""
    with pytest.raises(VoucherError, match=r"bad\.toml") as caught:
        parse_scheme(data, "bad.toml")
    assert codes(caught.value) == ["scheme-syntax"]


@pytest.mark.parametrize("data", [b"", b"source = 1", b"denomination = 5", b"[[id]]\n[voucher]", b'"a.b" = 1'])
def test_a_file_of_another_shape_is_refused_by_findings(data):
    """Nothing but findings comes of tables where text belongs."""
    with pytest.raises(VoucherError) as caught:
        parse_scheme(data, "bad.toml")
    assert len(caught.value.findings) > 5


@pytest.mark.parametrize(
    ("instant", "year"),
    [("2025-12-31T15:59:59.999999", 2025), ("2025-12-31T16:00:00", 2026), ("2026-01-01T00:00:00", 2026)],
)
def test_the_year_turns_at_midnight_in_shanghai(instant, year):
    """Local midnight is 16:00 UTC."""
    moment = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert policy_year(int(moment.timestamp() * 1_000_000)) == year
