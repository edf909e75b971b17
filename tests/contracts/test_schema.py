"""One migration history makes the same schema on both databases, and its triggers keep facts."""

import asyncio
import re
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from ledger.tables import ERASABLE as LEDGER_ERASABLE
from ledger.tables import metadata
from suanquan.db.roles import grants
from suanquan.db.schema import HEAD, connected, require_head, revision, upgrade
from suanquan.db.tables import APPEND_ONLY, ERASABLE
from suanquan.errors import ServiceError, cause_of
from tests.back_ends import rows

TRIGGERS = {
    "sqlite": "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal",
}


def test_an_empty_database_becomes_what_the_code_describes(new_database):
    """After the migrations alembic finds nothing to change: tables, columns, types, indexes, unique columns."""
    place = new_database(upgrade)

    def compare(connection):
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    assert connected(place, compare) == []
    assert set(connected(place, lambda connection: inspect(connection).get_table_names())) == {
        *metadata.tables,
        "alembic_version",
    }


def test_every_table_of_facts_has_its_triggers(new_database, back_end):
    """UPDATE and DELETE, and TRUNCATE where there is one; no other table has a trigger."""
    verbs = ("update", "delete", "truncate") if back_end.name == "postgresql" else ("update", "delete")
    expected = {(table, f"{table}_no_{verb}") for table in (*APPEND_ONLY, *ERASABLE) for verb in verbs}
    assert set(rows(new_database(upgrade), TRIGGERS[back_end.name])) == expected


def filled(place):
    """A database with a row in every table."""
    upgrade(place)
    values = {"TEXT": "'x'", "BLOB": "x''", "BYTEA": "'x'::bytea"}
    for table in metadata.sorted_tables:
        dialect = connected(place, lambda connection: connection.dialect)
        kinds = [values.get(column.type.compile(dialect).split()[0], "1") for column in table.columns]
        rows(place, f"INSERT INTO {table.name} VALUES ({', '.join(kinds)})")


def test_facts_cannot_be_changed(new_database, back_end):
    """Whoever opens the database with any tool is refused, whatever the table; the row is still there."""
    place = new_database(filled)
    for table in (*APPEND_ONLY, *ERASABLE):
        column = metadata.tables[table].columns.keys()[0]
        statements = [f"UPDATE {table} SET {column} = {column}"]
        statements += [] if table in ERASABLE else [f"DELETE FROM {table}"]
        statements += [f"TRUNCATE {table}"] if back_end.name == "postgresql" else []
        for statement in statements:
            with pytest.raises(ServiceError) as caught:
                rows(place, statement)
            assert "append-only" in str(caught.value.__cause__), statement
        assert rows(place, f"SELECT count(*) FROM {table}") == [(1,)], table


@pytest.mark.parametrize("table", LEDGER_ERASABLE)
def test_what_may_be_erased_goes_only_after_it_was_logged(new_database, table):
    """A payload and a name stay until `erased` names them."""
    place = new_database(upgrade)
    row = {"payload": "0, 7, 'salt', 'body'", "account_name": "7, 'name'"}[table]
    binary = row if table == "account_name" else "0, 7, CAST('s' AS {0}), CAST('b' AS {0})"
    kind = connected(place, lambda connection: "BYTEA" if connection.dialect.name == "postgresql" else "BLOB")
    rows(place, f"INSERT INTO {table} VALUES ({binary.format(kind)})")
    with pytest.raises(ServiceError):
        rows(place, f"DELETE FROM {table}")
    rows(place, "INSERT INTO erased VALUES (7, 7, 9)")
    rows(place, f"DELETE FROM {table}")
    assert rows(place, f"SELECT * FROM {table}") == []


def test_many_upgrade_at_once(new_database):
    """One process migrates, the others wait and find nothing to do."""
    place = new_database()
    assert revision(place) is None
    faults = []

    def run():
        try:
            upgrade(place)
        except Exception as fault:  # noqa: BLE001
            faults.append(fault)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert require_head(place) == HEAD


def test_an_upgrade_that_fails_leaves_nothing(new_database):
    """All of it or none: a table in the way stops the upgrade and nothing else was made."""
    place = new_database()
    rows(place, "CREATE TABLE voucher (mine TEXT)")
    with pytest.raises(ServiceError):
        upgrade(place)
    assert connected(place, lambda connection: inspect(connection).get_table_names()) == ["voucher"]


def test_a_database_of_another_version_is_refused(new_database):
    """One without a schema is missing, one that is newer is neither used nor touched."""
    empty, newer = new_database(), new_database(upgrade)
    rows(newer, "UPDATE alembic_version SET version_num = '9999'")
    for place, call, code in (
        (empty, require_head, "database-missing"),
        (newer, require_head, "schema-outdated"),
        (newer, upgrade, "schema-newer"),
    ):
        with pytest.raises(ServiceError) as caught:
            call(place)
        assert caught.value.code == code
    assert revision(newer) == "9999"


async def test_a_schema_can_be_looked_at_inside_a_loop(new_database):
    """Opening a service asks for the revision while its loop runs."""
    assert asyncio.get_running_loop().is_running()
    assert require_head(new_database(upgrade)) == HEAD


def test_a_role_may_append_facts_and_no_more(databases):
    """With the printed grants a role writes facts and projections, reads all, and changes, drops or truncates no fact."""
    owner = databases.create("roles", None)
    upgrade(owner)
    role = "suanquan_app"
    rows(owner, f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    for statement in grants(role):
        rows(owner, statement)
    app = type(owner)(databases.url(owner.url.partition("?")[0].rpartition("/")[2], role))
    rows(app, "INSERT INTO released VALUES ('j', 't', 'c')")
    rows(app, "INSERT INTO lease VALUES ('writer', 'me', 1, 1)")
    rows(app, "UPDATE lease SET epoch = 2")
    assert rows(app, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    for statement in (
        "UPDATE released SET token = 'x'",
        "DELETE FROM released",
        "TRUNCATE released",
        "ALTER TABLE released DISABLE TRIGGER ALL",
        "DROP TRIGGER released_no_update ON released",
        "DROP TABLE released",
        "UPDATE alembic_version SET version_num = '1'",
    ):
        with pytest.raises(ServiceError) as caught:
            rows(app, statement)
        assert re.search("permission denied|must be owner", cause_of(caught.value)), statement
    databases.drop(owner)
