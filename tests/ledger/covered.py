"""Which stored columns `ledger verify` answers for, and by what it names them; and why the others are left out."""

from ledger.tables import metadata

COVERED = {
    "account": dict.fromkeys(("number", "public_id", "asset"), "account"),
    "account_name": dict.fromkeys(("account", "name"), "account"),
    "asset": dict.fromkeys(("number", "code", "scale"), "asset"),
    "balance": dict.fromkeys(metadata.tables["balance"].columns.keys(), "balance"),
    "entry": {
        "shard": "entry|log_state",
        "seq": "entry|log_state",
        "event_id": "entry {seq}$",
        "kind": "entry {seq}$",
        "recorded_ns": "entry {seq}$",
        "leaf": r"(entry|payload) {seq}\b|log_state|tile|checkpoint|touched|hold {seq}",
    },
    "payload": dict.fromkeys(("shard", "seq", "salt", "body"), "payload {seq}$"),
    "erased": {"seq": "payload {seq}$", "account": "erased {seq}$", "by_seq": "erased {seq}$"},
    "hold": dict.fromkeys(metadata.tables["hold"].columns.keys(), "hold"),
    "reversal": dict.fromkeys(("seq", "account", "side", "amount"), "reversal"),
    "touched": dict.fromkeys(("account", "first_ns", "places"), "touched"),
    "dated": dict.fromkeys(("account", "axis", "at_ns", "seq", "debits", "credits"), "dated"),
    "dated_day": dict.fromkeys(("account", "axis", "day", "debits", "credits"), "dated_day"),
    "tile": dict.fromkeys(("level", "number", "hashes", "root"), "tile"),
    "checkpoint": dict.fromkeys(("size", "root"), "checkpoint"),
    "log_state": dict.fromkeys(metadata.tables["log_state"].columns.keys(), "log_state")
    | {"pseudonym_key": r"entry \d+, account"},
    "usage_batch": dict.fromkeys(("source", "body_digest", "root", "segment"), "usage_batch")
    | {"number": "usage_batch|id_range|usage_id"},
    "usage_id": dict.fromkeys(("source", "id", "place", "digest"), "usage_id"),
    "id_range": dict.fromkeys(("source", "first_id", "last_id", "batch"), "id_range|usage_id")
    | {"indexed": "usage_id"},
    "source": dict.fromkeys(("number", "urn"), "usage_batch"),
    "decision": dict.fromkeys(
        ("id", "applicant", "decided_us", "corrects", "event_id", "record", "facts"), "decision "
    ),
    "decision_document": dict.fromkeys(("sha256", "body"), "decision_document"),
    "usage_fact": dict.fromkeys(metadata.tables["usage_fact"].columns.keys(), "usage_fact"),
    "procedure_step": dict.fromkeys(metadata.tables["procedure_step"].columns.keys(), "procedure_step"),
    "support_claim": dict.fromkeys(metadata.tables["support_claim"].columns.keys(), "support_claim"),
    "settlement_fact": dict.fromkeys(metadata.tables["settlement_fact"].columns.keys(), "settlement_fact"),
    "settlement_line": dict.fromkeys(metadata.tables["settlement_line"].columns.keys(), "settlement_line"),
    "evidence_file": dict.fromkeys(("sha256", "body"), "evidence_file"),
}
"""What verification recomputes, and the place it names when a value there is changed."""

RECEIPT = "the signed receipt that the centre keeps states it"
SUMS = "a sum for pages, recomputed from batches when rated again"
REGISTER = "a register: each change stands in the log as a note, the present state is not folded from them"
MONITOR = "what monitors saw: evidence for a second look, never what is billed"
QUESTIONS = "questions to reviewers and their answers; each run and each answer stands in the log as a note"
TOKENS = "its signature proves it: the log commits to the digests of what was signed"
SIGNED = "its text is compared, its signature is for those who have the log's key"
NOTICES = "what people were told, and on which way; the facts it tells of are compared themselves"
ACCESS = "access, not accounts of money"
AUDIT = "a log of its own, which `audit verify` recomputes"
UNCOVERED = {
    "checkpoint": dict.fromkeys(("signed_us", "note", "witnessed"), SIGNED),
    "failed": "no entry speaks of what was refused; only that it was not recorded is checked",
    "lease": "who may write at the moment",
    "usage_batch": dict.fromkeys(("key", "received_us", "records", "log_first", "log_size", "answer"), RECEIPT),
    "source": dict.fromkeys(("centre", "last_sequence", "last_id", "first_us", "last_us", "received_us"), SUMS),
    "usage_month": SUMS,
    "status_count": SUMS,
    "redeemed": SUMS,
    "batch_account": SUMS,
    "quarantine": "records that wait for a person, and are not part of the ledger yet",
    "usage_state": "what counts now, folded from batches and facts",
    "declaration": "what a centre says of its months; compared with what arrived, and no part of the ledger",
    "register_edition": "files of the registers; their digest stands in every entry that was rated by them",
    "verdict": "which decision closed a record that waited; the decision is a fact, the money is in the log",
    "centre": REGISTER,
    "centre_fact": REGISTER,
    "capacity_step": "recomputed from the newest inventory when one is registered",
    **dict.fromkeys(("telemetry_hour", "device_run"), MONITOR),
    "batch_span": "the time that a batch spans, read from the batch",
    **dict.fromkeys(("finding", "finding_evidence", "finding_review", "finding_run"), QUESTIONS),
    **dict.fromkeys(("sanction", "tip"), REGISTER),
    "party_trait": "what ties parties together, blinded; it may be deleted",
    "capacity": REGISTER,
    "agent_key": REGISTER,
    "binding": REGISTER,
    "decision": {"signature": "it is for those who have the keys; the log commits to the digest of what was signed"},
    "voucher": TOKENS,
    "released": TOKENS,
    "status_list": TOKENS,
    "status_place": TOKENS,
    "revoked": "what status lists show; the entries that froze and emptied the account are in the log",
    "nonce": "forgotten after minutes",
    "offline_lease": "which holds are leases; each is signed, and what it holds is in the log",
    "offline_spend": "what a centre says it spent: the log has the sums, and a digest of each report",
    "hold_part": "which holds are of which voucher; what they hold and pay is in the log, and sums of vouchers are compared",
    "reclaim": "when idle vouchers were looked at and what came of it; notices and entries are in the log, and sums of vouchers are compared",
    "outflow": "what left a voucher other than by use; the entries are in the log, and sums of vouchers are compared",
    "spend_request": "what a centre was answered, for its retries; what it did is in the log",
    "stream_message": "which message of a stream brought what; the batch it brought is compared",
    "usage_dispute": REGISTER,
    "usage_alert": "what somebody was told of balances, which are compared themselves",
    "api_token": "access, not accounts",
    "saved_view": "names that people gave to addresses",
    "form_sent": "which form was sent already, for some days; what it did is in the log",
    **dict.fromkeys(
        ("bulk_run", "bulk_row"), "what was acted on together, and what became of each; each act is in the log"
    ),
    "sheet_draft": "a spreadsheet before it counts, for some days; what it did is in the log",
    "evidence_file": {"name": "for people; a fact says it"},
    **dict.fromkeys(("api_token", "person", "person_role", "session", "login_failure"), ACCESS),
    **dict.fromkeys(("passkey", "challenge", "invitation", "identity"), ACCESS),
    **dict.fromkeys(("audit_row", "audit_detail", "audit_erased", "audit_state", "audit_head"), AUDIT),
    **dict.fromkeys(("notice", "notice_channel", "notice_choice", "notice_delivery"), NOTICES),
}
"""What it does not, and why."""
