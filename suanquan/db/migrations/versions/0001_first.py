"""The first schema: journal, metering, vouchers and tokens, with facts that triggers keep from being changed.

Frozen: later changes are migrations of their own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TYPES: dict[str, Any] = {
    "int": sa.BigInteger().with_variant(sa.INTEGER(), "sqlite"),
    "small": sa.SmallInteger().with_variant(sa.INTEGER(), "sqlite"),
    "bytes": sa.LargeBinary().with_variant(sa.BLOB(), "sqlite"),
    "text": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}


class Spec(NamedTuple):
    """A table: its columns as `name type` (`?` may be empty), its key, unique sets; `clustered` rows lie in key order."""

    name: str
    columns: str
    key: str
    unique: tuple[tuple[str, str], ...] = ()
    clustered: bool = False


TABLES = (
    Spec(
        "account",
        "number int, name text, public_id bytes, asset int, floor int?",
        "number",
        unique=(
            ("", "name"),
            ("", "public_id"),
        ),
    ),
    Spec("agent_key", "kid text, public bytes, centre text, revoked_us int?", "kid"),
    Spec("api_token", "digest bytes, role text, label text, created_us int, revoked_us int?", "digest"),
    Spec(
        "balance",
        "account int, debits_posted int, credits_posted int, debits_held int, credits_held int, last_seq int",
        "account",
    ),
    Spec("batch_account", "centre text, account text, batch int", "centre account batch", clustered=True),
    Spec("binding", "centre text, account text, holder text", "centre account", clustered=True),
    Spec("capacity", "centre text, model text, count_milli int", "centre model"),
    Spec("centre", "id text, name text", "id"),
    Spec(
        "entry",
        "shard int, seq int, event_id bytes, kind small, recorded_ns int, leaf bytes",
        "shard seq",
        unique=(("entry_event_id", "event_id"),),
    ),
    Spec("hold", "seq int, debit int, credit int, amount int, remaining int, expires_ns int?, status small", "seq"),
    Spec(
        "id_range", "source int, first_id text, last_id text, batch int, indexed int", "source first_id", clustered=True
    ),
    Spec(
        "log_state",
        "shard int, origin text, size int, root bytes, frontier bytes, last_ns int, next_account int, pseudonym_key bytes",
        "shard",
    ),
    Spec("nonce", "kid text, nonce text, until_us int", "kid nonce", clustered=True),
    Spec("payload", "shard int, seq int, salt bytes, body bytes", "shard seq"),
    Spec(
        "quarantine",
        "batch int, position int, centre text, id text, status text, code text, record bytes",
        "batch position",
    ),
    Spec("redeemed", "scheme text, centre text, units int", "scheme centre"),
    Spec("released", "jti text, token text, cwt text", "jti"),
    Spec(
        "source",
        "number int, urn text, centre text, last_sequence int, last_id text, first_us int, last_us int, received_us int",
        "number",
        unique=(("", "urn"),),
    ),
    Spec("status_count", "centre text, status text, records int", "centre status"),
    Spec("touched", "account int, shard int, seq int", "account shard seq", clustered=True),
    Spec(
        "usage_batch",
        "number int, source int, key text, body_digest bytes, received_us int, records int, root bytes, log_first int, log_size int, segment bytes, answer bytes",
        "number",
        unique=(("usage_batch_key", "source key"),),
    ),
    Spec("usage_id", "source int, id text, place int, digest bytes", "source id", clustered=True),
    Spec(
        "usage_month",
        "centre text, account text, model text, month int, records int, gpu_ms int, compute_units int, rated_units int",
        "centre account model month",
    ),
    Spec(
        "voucher",
        "jti text, scheme text, scheme_digest text, holder text, asset int, units int, account int, year int, issued_us int, from_us int, until_us int, priority int, kid text, jwt_input bytes, cwt_input bytes, event_id bytes, request_digest bytes",
        "jti",
        unique=(("", "event_id"),),
    ),
)

APPEND_ONLY = ("account", "entry", "touched", "usage_batch", "usage_id", "batch_account", "voucher", "released")


def upgrade() -> None:
    """Create every table and index, then the triggers."""
    for spec in TABLES:
        _create(spec)
    op.create_index(
        "hold_due",
        "hold",
        ["expires_ns", "seq"],
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.create_index("voucher_holder", "voucher", ["holder", "scheme", "year"])
    for table in APPEND_ONLY:
        protect(op, table)


def _create(spec: Spec) -> None:
    columns = [column.split(" ") for column in spec.columns.split(", ")]
    op.create_table(
        spec.name,
        *(
            sa.Column(name, TYPES[kind.rstrip("?")], nullable=kind.endswith("?"), autoincrement=False)
            for name, kind in columns
        ),
        sa.PrimaryKeyConstraint(*spec.key.split(" ")),
        *(sa.UniqueConstraint(*names.split(" "), name=name or None) for name, names in spec.unique),
        sqlite_strict=True,
        sqlite_with_rowid=not spec.clustered,
    )
