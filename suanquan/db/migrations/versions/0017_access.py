"""Accounts, sessions, second factors, invitations; what a token may do and until when; the audit log.

Whoever had a token becomes an account without a password, so that its name goes on meaning the same person.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def _need(name: str, kind: Any, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, primary_key=key, autoincrement=False)


def upgrade() -> None:
    """Make the tables and the accounts of those who had tokens."""
    _accounts()
    _factors()
    _audit()
    op.add_column("api_token", sa.Column("tenant", TEXT, nullable=False, server_default=""))
    op.add_column("api_token", sa.Column("actions", TEXT, nullable=False, server_default=""))
    op.add_column("api_token", sa.Column("expires_us", INT))
    op.execute("UPDATE api_token SET tenant = label WHERE role = 'applicant'")
    op.execute(
        "INSERT INTO person (name, password, totp_step, state, created_us) "
        "SELECT label, '', 0, 'active', MIN(created_us) FROM api_token GROUP BY label"
    )
    op.execute(
        "INSERT INTO person_role (person, role, tenant, granted_by, granted_us) "
        "SELECT label, role, MAX(tenant), '', MIN(created_us) FROM api_token WHERE revoked_us IS NULL GROUP BY label, role"
    )


def _accounts() -> None:
    op.create_table(
        "person",
        _need("name", TEXT, key=True),
        _need("password", TEXT),
        sa.Column("totp", BYTES),
        _need("totp_step", INT),
        _need("state", TEXT),
        _need("created_us", INT),
        sqlite_strict=True,
    )
    op.create_table(
        "person_role",
        _need("person", TEXT, key=True),
        _need("role", TEXT, key=True),
        _need("tenant", TEXT, key=True),
        _need("granted_by", TEXT),
        _need("granted_us", INT),
        sqlite_strict=True,
    )
    op.create_table(
        "session",
        _need("digest", BYTES, key=True),
        _need("person", TEXT),
        _need("role", TEXT),
        _need("tenant", TEXT),
        _need("factor", TEXT),
        _need("created_us", INT),
        _need("seen_us", INT),
        _need("expires_us", INT),
        sa.Column("ended_us", INT),
        sqlite_strict=True,
    )
    op.create_index("ix_session_person", "session", ["person"])
    op.create_table(
        "login_failure",
        _need("name", BYTES, key=True),
        _need("failures", INT),
        _need("last_us", INT),
        sqlite_strict=True,
    )


def _factors() -> None:
    op.create_table(
        "passkey",
        _need("id", BYTES, key=True),
        _need("person", TEXT),
        _need("public_key", BYTES),
        _need("sign_count", INT),
        _need("label", TEXT),
        _need("created_us", INT),
        sqlite_strict=True,
    )
    op.create_index("ix_passkey_person", "passkey", ["person"])
    op.create_table(
        "challenge",
        _need("digest", BYTES, key=True),
        _need("person", TEXT),
        _need("purpose", TEXT),
        sa.Column("secret", BYTES),
        _need("expires_us", INT),
        sqlite_strict=True,
    )
    op.create_table(
        "invitation",
        _need("number", INT, key=True),
        sa.Column("digest", BYTES, unique=True),
        _need("purpose", TEXT),
        _need("person", TEXT),
        _need("role", TEXT),
        _need("tenant", TEXT),
        _need("made_by", TEXT),
        _need("approved_by", TEXT),
        _need("expires_us", INT),
        sa.Column("used_us", INT),
        sqlite_strict=True,
    )
    op.create_index("ix_invitation_person", "invitation", ["person"])


def _audit() -> None:
    op.create_table(
        "audit_row",
        _need("seq", INT, key=True),
        _need("at_us", INT),
        _need("action", TEXT),
        _need("person", BYTES),
        _need("commitment", BYTES),
        sqlite_strict=True,
    )
    op.create_index("audit_row_person", "audit_row", ["person", "seq"])
    op.create_index("audit_row_action", "audit_row", ["action", "seq"])
    op.create_table(
        "audit_detail",
        _need("seq", INT, key=True),
        _need("salt", BYTES),
        _need("body", TEXT),
        sqlite_strict=True,
    )
    op.create_table("audit_erased", _need("seq", INT, key=True), _need("by_seq", INT), sqlite_strict=True)
    op.create_table(
        "audit_state",
        _need("id", INT, key=True),
        _need("size", INT),
        _need("nodes", BYTES),
        _need("key", BYTES),
        sqlite_strict=True,
    )
    protect(op, "audit_row")
    protect(op, "audit_erased")
    protect(op, "audit_detail", "EXISTS (SELECT 1 FROM audit_erased WHERE seq = OLD.seq)")
