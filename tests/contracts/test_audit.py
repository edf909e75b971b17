"""`ledger verify` reads either database: the same ledger is found sound, with the same head, and a changed value is found."""

import asyncio

from tests.back_ends import rows
from tests.ledger.desk import audit
from tests.ledger.full_ledger import make_full


def test_a_ledger_with_everything_in_it_is_found_sound(new_database):
    """Every query of the audit runs on both kinds, and finds nothing where there is nothing."""
    found = asyncio.run(audit(place := new_database(make_full)))
    assert found["ok"], found
    assert rows(place, "SELECT count(*) FROM entry") == [(found["entries"],)]


def test_a_changed_balance_is_found(new_database):
    """What the database keeps beside the log is compared with it, whatever the database."""
    place = new_database(make_full)
    rows(place, "UPDATE balance SET credits_posted = credits_posted + 1 WHERE account = 2")
    assert asyncio.run(audit(place))["fault"]["where"].startswith("balance of account")
