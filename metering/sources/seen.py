"""Identities of one file: what was billed once is not billed again."""

from __future__ import annotations

from collections.abc import Hashable

from metering.sources.faults import RowFault


class Seen:
    """Remembers each identity with a digest of its content, about 160 bytes for each billed attempt."""

    def __init__(self) -> None:
        self._digest_of: dict[Hashable, int] = {}

    def refuse_repeated(self, identity: Hashable, content: Hashable) -> None:
        """Take note of an identity.

        Raises:
            RowFault: it was here before: `duplicate` with the same content, `conflict` with other content.

        """
        digest = hash(content)
        if identity in self._digest_of:
            raise RowFault("duplicate" if self._digest_of[identity] == digest else "conflict")
        self._digest_of[identity] = digest
