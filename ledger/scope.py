"""Whose rows a query may give. Every store function that reads what belongs to a tenant takes one, so that none forgets it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything, or what belongs to one holder, or to one centre. Rows outside it do not exist for whoever asks.

    Holders are named by their unified social credit code, centres by their id. A scope of a centre holds nothing of what
    belongs to holders alone, and the other way round.
    """

    everything: bool
    holder: str = ""
    centre: str = ""

    def holds(self, *, holder: str = "", centre: str = "") -> bool:
        """Whether something that belongs to a holder, to a centre or to both is inside."""
        if self.everything:
            return True
        return bool((self.holder and self.holder == holder) or (self.centre and self.centre == centre))


EVERYTHING = Scope(everything=True)
"""For the authority's own work, commands and jobs: written out where it is meant."""
NOTHING = Scope(everything=False)
