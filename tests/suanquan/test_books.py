"""What officers ask of the books and do to them, through the command line on a real home."""

import pytest

from tests.suanquan.command import HOLDER, SCHEME, suanquan

BY = ("--officer", "张三", "--reason", "沪发改〔2026〕1号")


class Books:
    """A home with one voucher of 100 yuan, as an officer at a shell sees it."""

    def __init__(self, installation, cwd):
        self.home = ("--home", installation.home.path)
        self.cwd = cwd
        options = ("--scheme", SCHEME, "--holder", HOLDER, "--amount", "100", "--json")
        keys = ("--passphrase-file", installation.passphrase_file)
        self.issued = suanquan("voucher", "issue", *options, *self.home, *keys, cwd=cwd).json
        self.account = f"voucher/{self.issued['jti']}"

    def ask(self, *words):
        """The answer of `suanquan ledger …`, which must be one."""
        done = suanquan("ledger", *words, "--json", *self.home, cwd=self.cwd)
        assert done.status == 0, done.err
        return done.json

    def refused(self, *words):
        """The exit status and the code of a refusal."""
        done = suanquan("ledger", *words, "--json", *self.home, cwd=self.cwd)
        assert done.out == ""
        return done.status, done.err.split()[1].rstrip("：").split("：")[0]


@pytest.fixture
def books(installation, tmp_path):
    return Books(installation, tmp_path)


def test_an_account_can_be_asked_for_any_moment(books):
    """Now, as recorded until a moment, by what is dated until then, and line by line."""
    assert books.ask("balance", books.account)["available"] == "100.000000"
    assert books.ask("balance", books.account, "--at", "2020-01-01T00:00:00Z")["balance"] == "0.000000"
    assert books.ask("balance", books.account, "--effective", "2100-01-01T00:00:00Z")["balance"] == "100.000000"
    page = books.ask("lines", books.account, "--limit", "1")
    assert [line["kind"] for line in page["lines"]] == ["POST"]
    assert [line["kind"] for line in books.ask("lines", books.account, "--before", page["next"])["lines"]] == ["OPEN"]
    assert books.refused("balance", "voucher/none") == (3, "account-unknown")
    assert books.refused("balance", books.account, "--at", "yesterday") == (2, "instant-invalid")


def test_the_fate_of_a_request_can_be_asked(books):
    """Recorded, refused for good, or unknown."""
    assert books.ask("event", books.issued["event_id"])["status"] == "recorded"
    assert books.refused("event", "00" * 16) == (3, "event-unknown")
    assert books.refused("event", "zz") == (2, "event-id-invalid")


def test_a_posting_is_taken_back_no_further_than_it_went(books):
    """An issue is reversed in part, then as a whole, then no more; a key makes the request repeatable."""
    event = books.issued["event_id"]
    first = books.ask("reverse", event, "--amount", "30", "--key", "k1", *BY)
    assert not first["repeated"]
    assert books.ask("reverse", event, "--amount", "30", "--key", "k1", *BY) == first | {"repeated": True}
    assert books.ask("balance", books.account)["balance"] == "70.000000"
    assert books.refused("reverse", event, "--amount", "71", *BY) == (4, "reversal-exceeded")
    books.ask("reverse", event, *BY)
    assert books.ask("balance", books.account)["balance"] == "0.000000"
    assert books.refused("reverse", event, *BY) == (4, "reversal-exceeded")
    assert books.refused("reverse", event, "--amount", "31", "--key", "k1", *BY) == (4, "event-conflict")


def test_an_account_is_limited_frozen_and_closed(books):
    """Limits and restrictions show with the balance; only an empty account can be closed, and stays so."""
    books.ask("limit", books.account, "--floor", "10", "--ceiling", "200", *BY)
    books.ask("freeze", books.account, *BY)
    found = books.ask("balance", books.account)
    assert (found["floor"], found["ceiling"], found["restrictions"]) == ("10.000000", "200.000000", ["freeze"])
    assert books.refused("limit", books.account, "--floor", "101", *BY) == (6, "insufficient")
    books.ask("legal-hold", books.account, *BY)
    assert books.refused("close", books.account, *BY) == (4, "account-not-empty")
    assert books.refused("reverse", books.issued["event_id"], *BY) == (5, "account-legal-hold")
    books.ask("free", books.account, *BY)
    books.ask("limit", books.account, *BY)
    books.ask("reverse", books.issued["event_id"], *BY)
    books.ask("close", books.account, *BY)
    assert books.refused("free", books.account, *BY) == (4, "account-closed")


def test_a_month_is_closed_once_it_is_over(books):
    """A month that is not over stays open; a closed one is not closed again."""
    books.ask("close-period", "2026-01", *BY)
    assert books.refused("close-period", "2026-01", *BY) == (4, "period-closed")
    assert books.refused("close-period", "2199-01", *BY) == (4, "period-not-over")
    assert books.refused("close-period", "January", *BY) == (2, "month-invalid")


def test_content_is_erased_and_the_ledger_still_verifies(books):
    """The payload of an issue goes, its commitment stays; what is gone cannot go twice; rules of the log never go."""
    seq = books.ask("event", books.issued["event_id"])["seq"]
    books.ask("erase", str(seq), *BY)
    assert books.refused("erase", str(seq), *BY) == (3, "payload-missing")
    assert books.refused("erase", "0", *BY) == (3, "payload-missing")
    assert books.ask("verify")["ok"]


def test_an_act_has_a_name_and_a_reason(books):
    """Nobody corrects the books without saying who and why."""
    assert books.refused("freeze", books.account, "--officer", "", "--reason", "x") == (2, "reason-missing")
    assert books.refused("freeze", books.account, "--officer", "张三", "--reason", "x" * 501) == (2, "reason-missing")
