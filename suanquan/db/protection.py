"""Triggers that keep facts from being changed, on both databases; migrations call them, so what they do stays as it is."""

from __future__ import annotations

from typing import Any

_VERBS = ("update", "delete", "truncate")
_FUNCTION = """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF {allowed} THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def protect(op: Any, table: str, unless: str = "") -> None:
    """Refuse to change rows, and to delete them `unless` a condition on OLD holds: an IntegrityError on both databases.

    PostgreSQL's TRUNCATE is refused, too.
    """
    if op.get_bind().dialect.name == "postgresql":
        _protect_on_server(op, table, unless)
        return
    for verb in ("update", "delete"):
        when = f"WHEN NOT {unless}" if unless and verb == "delete" else ""
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _protect_on_server(op: Any, table: str, unless: str) -> None:
    op.execute(_FUNCTION.format(name="append_only", allowed="FALSE"))
    if unless:
        op.execute(_FUNCTION.format(name=f"{table}_append_only", allowed=unless))
    for verb in _VERBS:
        function = f"{table}_append_only" if unless and verb == "delete" else "append_only"
        each = "STATEMENT" if verb == "truncate" else "ROW"
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} FOR EACH {each} EXECUTE FUNCTION {function}()"
        )


def unprotect(op: Any, table: str) -> None:
    """Take back what `protect` without a condition made, before a migration makes the table anew."""
    on_server = op.get_bind().dialect.name == "postgresql"
    for verb in _VERBS if on_server else _VERBS[:2]:
        op.execute(f"DROP TRIGGER {table}_no_{verb}" + (f" ON {table}" if on_server else ""))
