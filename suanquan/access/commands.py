"""What each command does in the words of the table of rights, so that commands, pages and HTTP ask the same table.

A command that is not here does not open a home. The empty action is that of commands which neither show nor change anything of
anybody's; they leave no row in the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NOBODYS = ""

COMMANDS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            *("init", "serve", "doctor", "demo", "scheme list", "scheme show", "scheme check", "scheme decide"),
            *("voucher verify", "voucher present", "keys list", "keys jwks", "usage quote"),
            *("agent collect", "agent keygen", "agent send", "agent declare", "agent telemetry", "agent run"),
            *(
                "agent rotate-key",
                "agent status",
                "audit verify",
                "audit checkpoint",
                "ledger verify",
                "ledger head",
                "ledger checkpoint",
            ),
            *("ledger export", "ledger check", "ledger check-statement", "ledger witness serve"),
            *("db upgrade", "db roles", "db restore", "db move", "subsidy evaluate", "subsidy publicity"),
            *("subsidy check", "subsidy ask", "subsidy what-if", "subsidy simulate", "subsidy proposals"),
            *("round list", "round show", "round notices", "round procedure", "account login", "account take-up"),
            *(f"bench {name}" for name in ("ingest", "transfers", "holds", "issue", "start", "verify", "clauses")),
            "bench prolog",
        ),
        NOBODYS,
    )
    | {
        "voucher issue": "voucher.issue",
        "voucher show": "voucher.read",
        "voucher list": "voucher.list",
        "voucher qr": "voucher.read",
        "voucher split": "voucher.split",
        "voucher suspend": "voucher.suspend",
        "voucher resume": "voucher.resume",
        "voucher revoke": "voucher.revoke",
        "keys rotate": "key.change",
        "keys revoke": "key.change",
        "keys decisions": "key.change",
        "keys log": "key.change",
        "db accept-rollback": "home.keep",
        "db backup": "home.keep",
        "centre add": "centre.change",
        "centre key": "centre.change",
        "centre bind": "centre.change",
        "centre token": "centre.change",
        "centre list": "centre.list",
        "centre show": "centre.read",
        "centre inventory": "centre.change",
        "centre energy": "centre.change",
        "centre fact": "centre.change",
        "centre suspend": "centre.change",
        "centre resume": "centre.change",
        "centre admit": "centre.change",
        "centre pools": "centre.read",
        "usage alerts": "alert.list",
        "usage forecast": "forecast.read",
        "usage void": "usage.amend",
        "usage revise": "usage.amend",
        "usage export": "statement.read",
        "usage quarantine list": "quarantine.list",
        "usage quarantine release": "quarantine.decide",
        "usage quarantine drop": "quarantine.decide",
        "usage dispute list": "dispute.list",
        "usage dispute show": "dispute.read",
        "usage dispute open": "dispute.act",
        "usage dispute answer": "dispute.act",
        "usage dispute uphold": "dispute.act",
        "usage dispute refuse": "dispute.act",
        "findings list": "finding.list",
        "findings show": "finding.read",
        "findings look": "finding.read",
        "findings parties": "party.list",
        "findings run": "finding.seek",
        "findings review": "finding.decide",
        "findings learn": "party.change",
        "findings forget": "party.change",
        "findings ban": "party.change",
        "findings tip": "party.change",
        "ledger balance": "ledger.read",
        "ledger lines": "ledger.read",
        "ledger event": "ledger.read",
        "ledger prove": "ledger.read",
        "ledger disclose": "ledger.read",
        "ledger statement": "statement.make",
        "ledger limit": "ledger.act",
        "ledger freeze": "ledger.act",
        "ledger legal-hold": "ledger.act",
        "ledger free": "ledger.act",
        "ledger close": "ledger.act",
        "ledger reverse": "ledger.act",
        "ledger close-period": "ledger.act",
        "ledger erase": "ledger.act",
        "subsidy propose": "rules.propose",
        "subsidy adopt": "rules.adopt",
        "subsidy decide": "decision.make",
        "subsidy decision": "decision.read",
        "subsidy letter": "decision.read",
        "subsidy replay": "decision.read",
        "subsidy verify-letter": "decision.read",
        "round call": "round.call",
        "round fund": "round.call",
        "round allocate": "round.call",
        "round settle": "round.call",
        "application submit": "application.act",
        "application step": "application.act",
        "application issue": "voucher.issue",
        "application show": "application.read",
        "application list": "application.read",
        "officer add": "account.make",
        "officer revoke": "account.end",
        "officer list": "account.list",
        "account add": "account.make",
        "account list": "account.list",
        "account end": "account.end",
        "account recover": "recovery.open",
        "claim list": "claim.list",
        "claim submit": "claim.act",
        "claim withdraw": "claim.act",
        "claim return": "claim.act",
        "claim refuse": "claim.act",
        "claim agree": "agreement.make",
        "receipt show": "receipt.read",
        "receipt disputes": "receipt.list",
        "receipt countersign": "receipt.act",
        "receipt dispute": "receipt.act",
        "receipt resolve": "receipt.resolve",
        "settlement list": "settlement.list",
        "settlement show": "settlement.read",
        "settlement bank-file": "settlement.read",
        "settlement bundle": "settlement.read",
        **dict.fromkeys(
            (
                f"settlement {name}"
                for name in ("prepare", "attach", "certify", "approve", "return", "pay", "demand", "recover")
            ),
            "settlement.act",
        ),
        "payee list": "payee.list",
        **dict.fromkeys((f"payee {name}" for name in ("set", "confirm", "suspend", "resume")), "payee.act"),
        "audit list": "audit.read",
        "audit export": "audit.read",
        "audit erase": "audit.erase",
        "programme show": "programme.read",
        "programme list": "programme.read",
        "programme allot": "programme.allot",
        "programme take-back": "programme.allot",
        "programme reclaim": "programme.allot",
        "programme hand-out": "programme.allot",
    }
)
"""Action by command. Where an action reads, what is shown leaves a row before it is shown; otherwise the change leaves one."""

NEVER_NAMELESS = frozenset({"account.make", "account.end"})
"""Acts that outside a sandbox the keeper of the home does not do as such: who makes accounts could be everybody."""
NAME_OPTIONAL = frozenset({"keys rotate", "keys revoke", "ledger statement"})
"""Commands that the keeper of the home may run although they take a name: he holds the passphrase."""
EVERYTHING_SHOWN = frozenset({"db backup"})
"""Commands that hand out everything there is although their action is no reading."""
