"""Schemes as objects, for the API and the command line, and quotes under them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, TypeVar

from ledger.amount import format_units
from ledger.errors import Finding, Kind
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from voucher.errors import VoucherError
from voucher.scheme import Scheme, Series
from voucher.scheme_cases import answer, decision_object
from voucher.scheme_schema import PARAMETERS

T = TypeVar("T")


def find_scheme(schemes: Mapping[str, T], scheme_id: str) -> T:
    """The scheme (or the series of its versions) of this id.

    Raises:
        ServiceError: `scheme-unknown`.

    """
    scheme = schemes.get(scheme_id)
    if scheme is None:
        known = ", ".join(schemes)
        raise ServiceError(
            "scheme-unknown",
            f"没有方案“{scheme_id[:80]}”；现有：{known}",
            f"no scheme {scheme_id[:80]!r}; there are: {known}",
            kind=Kind.NOT_FOUND,
        )
    return scheme


def version_at(series: Series, now_us: int) -> Scheme:
    """The version under which something is done now.

    Raises:
        ServiceError: `scheme-not-in-force`.

    """
    scheme = series.at(now_us)
    if scheme is None:
        raise ServiceError(
            "scheme-not-in-force",
            f"方案 {series.id} 目前没有施行中的版本",
            f"no version of the scheme {series.id} is in force now",
            kind=Kind.NOT_ALLOWED,
        )
    return scheme


def quote(series: Series, raw: Mapping[str, object], on: date) -> dict[str, Any]:
    """What a scheme would give for these facts on a day, and why. Nothing is recorded.

    Raises:
        VoucherError: `facts-invalid`, with a finding for each fact that is unknown or mistyped.

    """
    decision, findings = answer(series, raw, on, lambda name: f"/facts/{name}")
    if decision is None or findings:
        raise facts_invalid(findings)
    return decision_object(decision)


def facts_invalid(findings: list[Finding]) -> VoucherError:
    """The refusal of facts that cannot be used."""
    first = findings[0]
    return VoucherError(
        "facts-invalid",
        f"事实有 {len(findings)} 处错误：{first.where} {first.zh}",
        f"{len(findings)} facts cannot be used: {first.where} {first.en}",
        findings=findings,
    )


def scheme_object(scheme: Scheme) -> dict[str, str]:
    """A scheme in a list."""
    return {
        "id": scheme.id,
        "status": scheme.status.value,
        "name": scheme.name_zh,
        "name_en": scheme.name_en,
        "authority": scheme.authority,
        "version": scheme.version,
        "claim_mode": scheme.claim_mode,
        "digest": scheme.digest,
    }


def scheme_terms(series: Series) -> dict[str, Any]:
    """The latest version of a scheme with what it fixes, and the names of all; amounts are decimal strings."""
    scheme = series.latest
    return scheme_object(scheme) | {
        "units": {
            terms.asset.code: {
                "budget_per_year": format_units(terms.budget_year_units, terms.asset),
                "cap_per_holder_and_year": format_units(terms.cap_holder_year_units, terms.asset),
                "least": format_units(terms.min_units, terms.asset),
                "most": format_units(terms.max_units, terms.asset),
            }
            for terms in scheme.terms
        },
        "valid_from": rfc3339(scheme.valid_from_us) if scheme.valid_until_us else None,
        "valid_until": rfc3339(scheme.valid_until_us) if scheme.valid_until_us else None,
        "centres": _admitted(scheme, scheme.centres),
        "accelerators": _admitted(scheme, scheme.accelerators),
        "lacks_for_issuing": list(scheme.lacks),
        "unknown": list(scheme.unknown),
        "unknown_means": {name: _meaning(name) for name in scheme.unknown},
        "sources": dict(scheme.notes),
        "versions": [_version(version) for version in series.versions],
    }


def _admitted(scheme: Scheme, names: frozenset[str] | None) -> list[str] | str | None:
    if scheme.lacks:
        return None
    return "*" if names is None else sorted(names)


def _meaning(name: str) -> str:
    parameter = PARAMETERS[name.partition(":")[0]]
    return f"{parameter.zh} {parameter.en}"


def _version(scheme: Scheme) -> dict[str, Any]:
    span = scheme.in_force
    return {
        "version": scheme.version,
        "status": scheme.status.value,
        "from": span.first and span.first.isoformat(),
        "to": span.last and span.last.isoformat(),
    }
