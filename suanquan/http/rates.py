"""How often one caller, and one tenant altogether, may ask: a bucket each that fills again, so that nobody crowds the others out."""

from __future__ import annotations

from collections.abc import Callable

from ledger.errors import Kind
from suanquan.errors import ServiceError

PER_SECOND = 200
BURST = 2_000
KEYS_PER_SECOND = 5_000
KEYS_BURST = 20_000
"""Of one key of a centre's agents, and of a centre by all of its keys: several times what one machine can serve of them."""
CALLERS_MAX = 10_000
"""Beyond that, who was quiet longest is forgotten: his bucket is the fullest."""


class TooOftenError(ServiceError):
    """A caller that has used up its share; `wait_s` says when it may ask again."""

    def __init__(self, per_second: int = PER_SECOND) -> None:
        super().__init__(
            "too-many-requests",
            f"同一调用方每秒至多 {per_second} 次请求；请 1 秒后再发",
            f"at most {per_second} requests a second of one caller; ask again after 1 s",
            kind=Kind.NOT_ALLOWED,
        )
        self.wait_s = 1


class Rates:
    """Buckets by name. `now_ns` is a clock that never goes back."""

    def __init__(self, now_ns: Callable[[], int], per_second: int = PER_SECOND, burst: int = BURST) -> None:
        self._now_ns, self._per_second, self._burst = now_ns, per_second, burst
        self._left: dict[str, tuple[int, int]] = {}
        self.refused = 0

    def take(self, *names: str) -> None:
        """Use one request of each of these callers.

        Raises:
            TooOftenError: one of them has none left.

        """
        now = self._now_ns()
        for name in filter(None, names):
            left, since = self._left.pop(name, (self._burst, now))
            gained = (now - since) * self._per_second // 1_000_000_000
            left, since = (
                (self._burst, now)
                if left + gained >= self._burst
                else (left + gained, since + gained * 1_000_000_000 // self._per_second)
            )
            self._left[name] = max(left - 1, 0), since
            if not left:
                self.refused += 1
                raise TooOftenError(self._per_second)
        while len(self._left) > CALLERS_MAX:
            del self._left[next(iter(self._left))]
