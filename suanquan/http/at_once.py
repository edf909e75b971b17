"""How many requests of one caller, and of one centre or company altogether, may be under way: the rest of the room is the others'.

Rates (`suanquan.http.rates`) bound how often somebody asks; slow answers pile up at any rate. Who is refused here has changed nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from starlette.types import Scope

from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.settings import Settings

ENTERED = "suanquan.entered"
"""Where a request's scope has the names that it was counted under; only a request with such a list is counted."""


class TooManyAtOnceError(ServiceError):
    """A caller with as many requests under way as it may have; it may ask again when one of them was answered."""

    def __init__(self, most: int) -> None:
        super().__init__(
            "too-many-at-once",
            "同时进行的请求过多，请待前面的答复后再试",
            f"at most {most} such requests of one caller may be under way; retry when one was answered",
            kind=Kind.NOT_ALLOWED,
        )
        self.wait_s = 1


class AtOnce:
    """Counts requests under way by name; `most` is how many there may be, by the first word of a name."""

    def __init__(self, most: Mapping[str, int]) -> None:
        self._most = dict(most)
        self._under_way: Counter[str] = Counter()
        self.refused = 0

    def check(self, *names: str) -> None:
        """Refuse a request before anything is spent on it.

        Raises:
            TooManyAtOnceError: one of these callers has as many under way as it may.

        """
        for name in names:
            most = self._most[name.partition(" ")[0]]
            if self._under_way[name] >= most:
                self.refused += 1
                raise TooManyAtOnceError(most)

    def enter(self, scope: Scope, *names: str) -> None:
        """Count a request under these names until it has been answered.

        Raises:
            TooManyAtOnceError: one of these callers has as many under way as it may.

        """
        entered: list[str] | None = scope.get(ENTERED)
        if entered is None:
            return  # nobody would say when it is over
        self.check(*names)
        self._under_way.update(names)
        entered += names

    def leave(self, names: Iterable[str]) -> None:
        """A request that was counted under these names is over."""
        self._under_way.subtract(names)
        for name in names:
            if not self._under_way[name]:
                del self._under_way[name]


def at_once(settings: Settings) -> AtOnce:
    """The counts of a service. A scheduler asks as an agent reports; its centre's requests count together."""
    return AtOnce(
        {
            "key": settings.key_requests_max,
            "scheduler": settings.key_requests_max,
            "centre": settings.centre_requests_max,
            "person": settings.person_requests_max,
            "tenant": settings.tenant_requests_max,
            "route": settings.route_requests_max,
            "public": settings.public_requests_max,
        }
    )
