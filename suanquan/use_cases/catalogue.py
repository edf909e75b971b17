"""Schemes as objects, for the API and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.amount import format_units
from ledger.errors import Kind
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from voucher.scheme import Scheme


def find_scheme(schemes: Mapping[str, Scheme], scheme_id: str) -> Scheme:
    """The scheme of this id.

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


def scheme_object(scheme: Scheme) -> dict[str, str]:
    """A scheme in a list."""
    return {
        "id": scheme.id,
        "status": scheme.status.value,
        "name": scheme.name_zh,
        "name_en": scheme.name_en,
        "authority": scheme.authority,
        "claim_mode": scheme.claim_mode,
        "digest": scheme.digest,
    }


def scheme_terms(scheme: Scheme) -> dict[str, Any]:
    """A scheme with what it fixes; amounts are decimal strings."""
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
        "valid_from": rfc3339(scheme.valid_from_us),
        "valid_until": rfc3339(scheme.valid_until_us),
        "centres": "*" if scheme.centres is None else sorted(scheme.centres),
        "accelerators": "*" if scheme.accelerators is None else sorted(scheme.accelerators),
        "unknown": list(scheme.unknown),
    }
