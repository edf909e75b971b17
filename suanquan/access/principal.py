"""Who acts: a name, a role, the tenant it belongs to, and how it was shown."""

from __future__ import annotations

from dataclasses import dataclass

from suanquan.access.policy import BENEFICIARY, CENTRE, Reach, Relation, Role, allows, reach


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody in one role. `tenant` is a centre's id or a beneficiary's unified social credit code, empty for the authority.

    `actions` narrows what a token may be used for, by action or by its first word; None does not.
    """

    name: str
    role: Role
    tenant: str = ""
    actions: frozenset[str] | None = None
    session: bytes = b""

    @property
    def is_public(self) -> bool:
        """Whether nobody in particular asks."""
        return self.role is Role.PUBLIC

    def _covers(self, action: str) -> bool:
        """Whether the token is for this action; what everybody may do needs no scope."""
        if self.actions is None or reach(Role.PUBLIC, action) is Reach.EVERYTHING:
            return True
        return bool(self.actions & {action, action.partition(".")[0]})

    def reach(self, action: str) -> Reach:
        """How far this principal may go with an action."""
        return reach(self.role, action) if self._covers(action) else Reach.NOTHING

    def may(self, action: str, *, centre: str = "", holder: str = "") -> bool:
        """Whether this principal may do an action to an object of a centre or a holder (of nobody's, without either)."""
        return self._covers(action) and allows(self.role, action, self.relation(centre=centre, holder=holder))

    def relation(self, *, centre: str = "", holder: str = "") -> Relation:
        """How an object that belongs to a centre, to a holder or to both stands to this principal."""
        if not centre and not holder:
            return Relation.ANY
        own = (self.role in CENTRE and self.tenant == centre) or (self.role in BENEFICIARY and self.tenant == holder)
        return Relation.OWN if own and self.tenant else Relation.OTHER


PUBLIC = Principal("", Role.PUBLIC)
