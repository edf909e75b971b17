"""The one error tree of suanquan: values for faulty data, exceptions for faulty calls.

Domain functions return `Finding`s when *data* is wrong and raise a `DomainError` when the caller asked for something
that cannot be done. Surfaces (HTTP problems, CLI, pages) translate `Kind` once; nothing in here knows them.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class Kind(enum.Enum):
    """What went wrong, as far as a caller must tell cases apart; surfaces map it to a status."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    NOT_ALLOWED = "not_allowed"
    INSUFFICIENT = "insufficient"
    UNAVAILABLE = "unavailable"
    PROOF = "proof"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with data: a stable code, where (JSON pointer, `file:line` or field), Chinese first, English second."""

    code: str
    zh: str
    en: str
    where: str = ""


class DomainError(Exception):
    """Root of the tree.

    `code` is stable and kebab-case; `zh` and `en` say what happened and what to do; `findings` list every place at fault.
    """

    kind = Kind.INVALID

    def __init__(
        self, code: str, zh: str, en: str, *, kind: Kind | None = None, findings: Sequence[Finding] = ()
    ) -> None:
        super().__init__(f"{zh} / {en}")
        self.code = code
        self.zh = zh
        self.en = en
        self.findings = tuple(findings)
        if kind is not None:
            self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes whole."""
        return _rebuilt, (type(self), self.code, self.zh, self.en, self.kind, self.findings)


def _rebuilt(
    cls: type[DomainError], code: str, zh: str, en: str, kind: Kind, findings: Sequence[Finding]
) -> DomainError:
    return cls(code, zh, en, kind=kind, findings=findings)


class LedgerError(DomainError):
    """A ledger call that cannot be done."""


def storage_unavailable(fault: BaseException) -> BaseException:
    """What a caller is told of a fault of the database: the fault is its cause."""
    if isinstance(fault, LedgerError):
        return fault
    error = LedgerError(
        "storage-unavailable",
        "数据库暂不可用，本次请求未写入任何内容",
        "the database is unavailable; nothing of this request was written",
        kind=Kind.UNAVAILABLE,
    )
    error.__cause__ = fault
    return error
