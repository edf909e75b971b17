"""Tables of the service itself, and the whole schema: importing this module makes every table known to `metadata`."""

from __future__ import annotations

from sqlalchemy import Column, Index

from ledger import tables as ledger_tables
from ledger.tables import BYTES, INT, TEXT, table
from metering import tables as metering_tables
from subsidy import tables as subsidy_tables
from voucher import tables as voucher_tables
from voucher.settlement import tables as settlement_tables

api_token = table(
    "api_token",
    Column("digest", BYTES, primary_key=True),
    Column("role", TEXT, nullable=False),
    Column("label", TEXT, nullable=False),
    Column("created_us", INT, nullable=False),
    Column("revoked_us", INT),
    Column("tenant", TEXT, nullable=False, server_default=""),
    Column("actions", TEXT, nullable=False, server_default=""),
    Column("expires_us", INT),
)

person = table(
    "person",
    Column("name", TEXT, primary_key=True),
    Column("password", TEXT, nullable=False),
    Column("totp", BYTES),
    Column("totp_step", INT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("created_us", INT, nullable=False),
)
"""`password` is an argon2id hash, empty where there is none; `totp` a sealed seed, `totp_step` the last step that opened."""

person_role = table(
    "person_role",
    Column("person", TEXT, primary_key=True),
    Column("role", TEXT, primary_key=True),
    Column("tenant", TEXT, primary_key=True),
    Column("granted_by", TEXT, nullable=False),
    Column("granted_us", INT, nullable=False),
)

session = table(
    "session",
    Column("digest", BYTES, primary_key=True),
    Column("person", TEXT, nullable=False, index=True),
    Column("role", TEXT, nullable=False),
    Column("tenant", TEXT, nullable=False),
    Column("factor", TEXT, nullable=False),
    Column("created_us", INT, nullable=False),
    Column("seen_us", INT, nullable=False),
    Column("expires_us", INT, nullable=False),
    Column("ended_us", INT),
)

login_failure = table(
    "login_failure",
    Column("name", BYTES, primary_key=True),
    Column("failures", INT, nullable=False),
    Column("last_us", INT, nullable=False),
)

passkey = table(
    "passkey",
    Column("id", BYTES, primary_key=True),
    Column("person", TEXT, nullable=False, index=True),
    Column("public_key", BYTES, nullable=False),
    Column("sign_count", INT, nullable=False),
    Column("label", TEXT, nullable=False),
    Column("created_us", INT, nullable=False),
)

challenge = table(
    "challenge",
    Column("digest", BYTES, primary_key=True),
    Column("person", TEXT, nullable=False),
    Column("purpose", TEXT, nullable=False),
    Column("secret", BYTES),
    Column("expires_us", INT, nullable=False),
)

invitation = table(
    "invitation",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("digest", BYTES, unique=True),
    Column("purpose", TEXT, nullable=False),
    Column("person", TEXT, nullable=False, index=True),
    Column("role", TEXT, nullable=False),
    Column("tenant", TEXT, nullable=False),
    Column("made_by", TEXT, nullable=False),
    Column("approved_by", TEXT, nullable=False),
    Column("expires_us", INT, nullable=False),
    Column("used_us", INT),
)
"""Secrets that are used once: to take up an account, or to recover one, which has no digest before a second person agreed."""

audit_row = table(
    "audit_row",
    Column("seq", INT, primary_key=True, autoincrement=False),
    Column("at_us", INT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("person", BYTES, nullable=False),
    Column("commitment", BYTES, nullable=False),
)
"""What the audit log commits to; `person` is a pseudonym, `commitment` the digest of a salt and the detail."""

audit_detail = table(
    "audit_detail",
    Column("seq", INT, primary_key=True, autoincrement=False),
    Column("salt", BYTES, nullable=False),
    Column("body", TEXT, nullable=False),
)

audit_erased = table(
    "audit_erased",
    Column("seq", INT, primary_key=True, autoincrement=False),
    Column("by_seq", INT, nullable=False),
)

audit_state = table(
    "audit_state",
    Column("id", INT, primary_key=True, autoincrement=False),
    Column("size", INT, nullable=False),
    Column("nodes", BYTES, nullable=False),
    Column("key", BYTES, nullable=False),
)
audit_head = table(
    "audit_head",
    Column("size", INT, primary_key=True, autoincrement=False),
    Column("root", BYTES, nullable=False),
    Column("nodes", BYTES, nullable=False),
    Column("signed_us", INT, nullable=False),
    Column("note", TEXT, nullable=False),
)
"""Heads of the audit log that were signed; `nodes` are what a tree of this size is continued by."""

identity = table(
    "identity",
    Column("issuer", TEXT, primary_key=True),
    Column("subject", TEXT, primary_key=True),
    Column("person", TEXT, nullable=False),
    Column("linked_us", INT, nullable=False),
)
"""Who a provider of identities says that an account is; a person made the link himself, or its administrator did."""
Index("ix_identity_person", identity.c.person)

Index("audit_row_person", audit_row.c.person, audit_row.c.seq)
Index("audit_row_action", audit_row.c.action, audit_row.c.seq)

notice = table(
    "notice",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("kind", TEXT, nullable=False),
    Column("audience", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("zh", TEXT, nullable=False),
    Column("en", TEXT, nullable=False),
    Column("data", TEXT, nullable=False),
    Column("at_us", INT, nullable=False),
)
"""The outbox: what somebody is told, written in the transaction of what it tells of."""
Index("notice_audience", notice.c.audience, notice.c.number)
Index("notice_subject", notice.c.kind, notice.c.subject)

notice_channel = table(
    "notice_channel",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("way", TEXT, nullable=False),
    Column("audience", TEXT, nullable=False, index=True),
    Column("shown", TEXT, nullable=False),
    Column("target", BYTES, nullable=False),
    Column("secret", BYTES, nullable=False),
    Column("wanted", TEXT, nullable=False),
    Column("made_by", TEXT, nullable=False),
    Column("made_us", INT, nullable=False),
    Column("ended_us", INT),
)
"""`target` and `secret` are sealed: the address of a robot holds its key. `shown` is what may be read back."""

notice_choice = table(
    "notice_choice",
    Column("person", TEXT, primary_key=True),
    Column("email", TEXT, nullable=False),
    Column("mailed", TEXT, nullable=False),
    Column("muted", TEXT, nullable=False),
    Column("seen", INT, nullable=False),
)
"""What somebody wants by mail and not in the inbox, by kinds; and the last notice that was read."""

notice_delivery = table(
    "notice_delivery",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("notice", INT, nullable=False),
    Column("channel", INT, nullable=False),
    Column("person", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("tries", INT, nullable=False),
    Column("next_us", INT, nullable=False),
    Column("tried_us", INT, nullable=False),
    Column("fault", TEXT, nullable=False),
)
"""One notice on its way: over a channel, or (`channel` 0) by mail to a person."""
Index("notice_delivery_due", notice_delivery.c.state, notice_delivery.c.next_us)
Index("notice_delivery_channel", notice_delivery.c.channel, notice_delivery.c.tried_us)

saved_view = table(
    "saved_view",
    Column("owner", TEXT, primary_key=True),
    Column("path", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("query", TEXT, nullable=False),
    Column("saved_us", INT, nullable=False),
)
"""A name that somebody gave to the address of a list."""

form_sent = table(
    "form_sent",
    Column("digest", BYTES, primary_key=True),
    Column("place", TEXT, nullable=False),
    Column("sent_us", INT, nullable=False),
)
"""A form that was sent: who, where and what, digested; `place` is where its act is shown, empty while it is under way."""
Index("form_sent_at", form_sent.c.sent_us)

bulk_run = table(
    "bulk_run",
    Column("run", TEXT, primary_key=True),
    Column("owner", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("act", TEXT, nullable=False),
    Column("inputs", TEXT, nullable=False),
    Column("begun_us", INT, nullable=False),
)
"""Rows of a list that somebody acted on together; `inputs` is JSON, what was typed for all of them."""
Index("bulk_run_owner", bulk_run.c.owner, bulk_run.c.begun_us)

bulk_row = table(
    "bulk_row",
    Column("run", TEXT, primary_key=True),
    Column("number", INT, primary_key=True),
    Column("subject", TEXT, nullable=False),
    Column("outcome", TEXT, nullable=False),
    Column("zh", TEXT, nullable=False),
    Column("en", TEXT, nullable=False),
    Column("done_us", INT, nullable=False),
)
"""What became of one of them: `outcome` is empty until its turn came, then `done` or the code of what refused it."""

sheet_draft = table(
    "sheet_draft",
    Column("draft", TEXT, primary_key=True),
    Column("owner", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("sha256", TEXT, nullable=False),
    Column("inputs", TEXT, nullable=False),
    Column("content", BYTES, nullable=False),
    Column("sent_us", INT, nullable=False),
    Column("done", TEXT, nullable=False),
)
"""A spreadsheet that was sent and looked through: the file as it came, what was typed beside it, and, once it counts, what it did."""
Index("sheet_draft_owner", sheet_draft.c.owner, sheet_draft.c.sent_us)

lease = table(
    "lease",
    Column("name", TEXT, primary_key=True),
    Column("owner", TEXT, nullable=False),
    Column("epoch", INT, nullable=False),
    Column("until_us", INT, nullable=False),
)

ERASABLE = (*ledger_tables.ERASABLE, "audit_detail")
"""Tables whose rows may go, once their erasure is logged."""

APPEND_ONLY = (
    "audit_row",
    "audit_erased",
    "audit_head",
    *ledger_tables.APPEND_ONLY,
    *metering_tables.APPEND_ONLY,
    *subsidy_tables.APPEND_ONLY,
    *voucher_tables.APPEND_ONLY,
    *settlement_tables.APPEND_ONLY,
)
