"""The ledger accounts of a scheme's claims on the way to a payee: one for each thing that is not another.

Asked to be paid (claimed), granted and not paid yet (payable), left the treasury (paid), given back (recovered). None may be
below zero, so that the ledger itself refuses to approve what nobody claimed and to pay what nobody approved.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.amount import CNY, Asset
from voucher.lifecycle import Bucket

FLOOR = 0
ROOT = "settlement"
_STAGES = (Bucket.CLAIMED, Bucket.PAYABLE, Bucket.PAID, Bucket.RECOVERED)


class Ways(NamedTuple):
    """Where the units of a scheme's claims by one payee come from, and the accounts of their stages.

    `source` is the account that a claim takes them out of: a voucher's, a centre's receivable, an agreement's, or the
    budget for claims without a voucher; `bucket` is what it is in the life of a support.
    """

    scheme: str
    payee: str
    source: str
    bucket: Bucket

    def name(self, bucket: Bucket) -> str:
        """The account of a bucket."""
        return self.source if bucket is self.bucket else stage(self.scheme, self.payee, bucket)

    @property
    def openings(self) -> list[tuple[str, Asset, int | None]]:
        """The accounts of the stages, as a transaction opens them."""
        return [(self.name(bucket), CNY, FLOOR) for bucket in _STAGES]


def stage(scheme: str, payee: str, bucket: Bucket) -> str:
    """Account of what a payee's claims on a scheme have come to: claimed, payable, paid or recovered."""
    return f"{ROOT}/{scheme}/{payee}/{bucket.value}"


def scheme_of_stage(name: str, payee: str, bucket: Bucket) -> str | None:
    """The scheme whose account of a stage this is, None for any other account."""
    head, tail = f"{ROOT}/", f"/{payee}/{bucket.value}"
    return name[len(head) : -len(tail)] if name.startswith(head) and name.endswith(tail) else None


def claims_budget(scheme: str, year: int) -> str:
    """Account of what a scheme may still give in a year to claims that need no voucher."""
    return f"scheme/{scheme}/{year}/budget/claims/{CNY.code}"


def agreement_account(agreement: str) -> str:
    """Account of what a target-responsibility agreement (目标责任书) entitles to."""
    return f"agreement/{agreement}"


def centre_payee(centre: str) -> str:
    """A centre as a payee."""
    return f"centre:{centre}"


def holder_payee(code: str) -> str:
    """A beneficiary as a payee, by its unified social credit code."""
    return f"uscc:{code}"


def centre_of(payee: str) -> str | None:
    """The centre that a payee is, None for a beneficiary."""
    head, _, name = payee.partition(":")
    return name if head == "centre" else None
