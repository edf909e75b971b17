"""What accounts work with, and the errors they share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ledger.errors import Kind
from suanquan.access.passwords import Passwords
from suanquan.access.policy import Role
from suanquan.access.seal import Seal
from suanquan.clock import ClockNs
from suanquan.db import people
from suanquan.db.database import Database
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.settings import Settings
from voucher.holder import check_uscc

SESSION_PREFIX, INVITATION_PREFIX = "sqs_", "sqi_"
SESSION_HOURS = 12
"""Longest life of a session, whatever is done in it."""
IDLE_MINUTES = 30
"""A session that is not used for so long is over."""
SEEN_SECONDS = 60
INVITATION_DAYS = 7
NAME_MAX = 60
KEEPER = "os:"
"""How names begin that are no accounts: users of the machine who run commands on the home."""
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000


@dataclass(slots=True)
class Access:
    """The database of accounts, the clock, and what makes and checks secrets."""

    database: Database
    home: Home
    settings: Settings
    clock_ns: ClockNs = time.time_ns
    passwords: Passwords = field(default_factory=Passwords)

    @property
    def now_us(self) -> int:
        """UTC epoch microseconds."""
        return self.clock_ns() // 1000

    @property
    def seal(self) -> Seal:
        """What secrets rest under."""
        return Seal(self.home)


def check_grant(name: str, grant: people.Grant) -> Role:
    """The role of a grant, which fits its tenant; the name is printable.

    Raises:
        DomainError: `person-malformed`, `role-unknown`, `tenant-malformed`, or a code that is not valid.

    """
    misshapen = not 0 < len(name) <= NAME_MAX or not name.isprintable() or name != name.strip()
    if misshapen or name.startswith(KEEPER):
        zh, en = f"姓名应为 1 至 {NAME_MAX} 个可见字符", f"a name has 1 to {NAME_MAX} printable characters"
        raise ServiceError("person-malformed", zh, en)
    role = Role.parse(grant.role)
    if role is None or role in {Role.PUBLIC, Role.CENTRE_AGENT}:
        raise ServiceError("role-unknown", f"没有角色“{grant.role[:40]}”", f"there is no role {grant.role[:40]!r}")
    if role.has_tenant != bool(grant.tenant):
        raise ServiceError(
            "tenant-malformed",
            "中心与受益单位的角色须写明单位，其余角色不得写",
            "a role of a centre or a company names it in `tenant`; no other role does",
        )
    if role in {Role.BENEFICIARY_ADMIN, Role.BENEFICIARY_MEMBER}:
        check_uscc(grant.tenant)
    return role


def account_unknown(name: str) -> ServiceError:
    """No account of this name, for those who may know which there are."""
    return ServiceError(
        "account-unknown", f"没有账号“{name[:60]}”", f"there is no account {name[:60]!r}", kind=Kind.NOT_FOUND
    )


def secret_unknown() -> ServiceError:
    """A secret that was never given, is used or is over: the same words for each."""
    return ServiceError(
        "secret-unknown",
        "一次性密码不符、已用过或已过期",
        "the one-time secret is unknown, used or expired",
        kind=Kind.NOT_ALLOWED,
    )
