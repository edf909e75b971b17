"""Event ids that nobody needs to look up: an interval in which none is stored, followed as ids are used.

Ids that begin with their time (UUIDv7, RFC 9562 §5.7) ascend, so that nearly every new one lies above all before it. One
query finds the end of the free interval; from then on new ids cost a comparison, not a lookup each (measured: half of a
small commit's wait, a tenth of a large one's).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class FreshIds:
    """The ids strictly between two bounds were never used: neither recorded nor burnt. An empty interval knows nothing."""

    __slots__ = ("high", "low")

    def __init__(self) -> None:
        self.low = self.high = b""

    def take(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of the ids that may have been used before; the others count as used from now on."""
        low, high = self.low, self.high
        top = max(ids)
        if low < min(ids) and top < high:
            self.low = top
            return []
        doubtful = [event_id for event_id in ids if not low < event_id < high]
        self.low = max([low, *(event_id for event_id in ids if low < event_id < high)])
        return doubtful

    def is_elsewhere(self, newest: bytes) -> bool:
        """Whether an id is neither followed nor merely late."""
        return newest > self.low or newest[:_TIME] != self.low[:_TIME]

    def follow(self, newest: bytes, following: Iterable[bytes]) -> None:
        """Follow the ids above this one, up to the first of `following` (all that are used, of those above)."""
        self.low = newest
        self.high = min((event_id for event_id in following if event_id > newest), default=_LAST)

    def exclude(self, event_id: bytes) -> None:
        """An id that was not taken is used."""
        if self.low < event_id < self.high:
            self.high = event_id

    def exclude_all(self, ids: Iterable[bytes]) -> None:
        """Ids that were not taken are used."""
        low, high = self.low, self.high
        if low < high:
            self.high = min([high, *(event_id for event_id in ids if low < event_id < high)])


def newest_of(ids: Sequence[bytes]) -> bytes:
    """The last id, or one that came a little earlier with a later time."""
    time = ids[-1][:_TIME]
    return max(event_id for event_id in ids if event_id[:_TIME] == time)


_TIME = 4
"""Bytes that ids of about one minute have in common: a UUIDv7 begins with 48 bits of milliseconds."""
_LAST = b"\xff" * 17
"""Above every id."""
