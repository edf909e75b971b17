"""On whose behalf the current task writes: what the journal adds to the audit log in the same transaction."""

from __future__ import annotations

from contextvars import ContextVar

from suanquan.access.principal import Principal
from suanquan.access.trail import Act

acting: ContextVar[Act | None] = ContextVar("acting", default=None)
"""None for agents and jobs: their acts are in the ledger under their keys, or nobody's."""
surface: ContextVar[str] = ContextVar("surface", default="http")
"""How whoever acts came here: `http`, or one of those of commands (see `use_cases.named`)."""


def act_of(who: Principal, action: str, about: str = "", *, request: str = "") -> Act:
    """An act of somebody."""
    return Act(action, who.name, who.role.value, who.tenant, about, request, surface.get())
