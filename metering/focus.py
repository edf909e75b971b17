"""FOCUS 1.0 rows: usage as cloud billing tools read it (FinOps Open Cost and Usage Specification 1.0).

One row for what one account used of one model in one charge period, and one for each part of it that a voucher paid. Columns
whose name differs between the published text and the released validator (`ResourceId` and `ResourceID`, `ProviderName` and
`Provider`, …) are there under both names, with the same value.

A voucher is a commitment discount: its id, category Spend, Used (Unused for what expired). `BilledCost` is what is invoiced
to the account, `EffectiveCost` what it bears after the subsidy. A correction has `ChargeClass` Correction, stands in the
billing period in which it was made, and carries the charge period of the usage that it corrects. `x_CostClasses`, a column of
our own, itemises what the row costs: a JSON object of yuan by cost class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.amount import CNY, format_units
from metering.zones import rfc3339

HOUR_MS = 3_600_000
HOURS_SCALE = 10
"""GPU-hours are printed with ten digits: a GPU-millisecond is 0.000000277… of an hour."""

RENAMED = {
    "ResourceID": "ResourceId",
    "Provider": "ProviderName",
    "Publisher": "PublisherName",
    "InvoiceIssuer": "InvoiceIssuerName",
    "ChargeCategory": "ChargeType",
}
"""Columns under a second name: the released validator's names beside those of the published specification.

`ChargeType` is what the specification called `ChargeCategory` before 1.0; a rule of the validator for 1.0 still asks for it.
"""


@dataclass(frozen=True, slots=True)
class Charge:
    """One priced part of usage. Money is in units of CNY; instants are UTC epoch microseconds.

    `list_yuan` is the list price, `contracted_yuan` what is left of it after discounts (None: all), `billed_yuan` what is
    invoiced to the account, `effective_yuan` what it bears after the subsidy; `unit_yuan` and `list_unit_yuan` are prices of an
    hour. `voucher` names what paid this part; `used` False is what a voucher lost by expiring. `classes` itemise the cost.
    """

    billing_from_us: int
    billing_to_us: int
    from_us: int
    to_us: int
    centre: str
    centre_name: str
    region: str
    region_name: str
    account: str
    account_name: str
    beneficiary: str
    beneficiary_name: str
    model: str
    gpu_ms: int
    unit_yuan: int
    list_yuan: int
    billed_yuan: int
    effective_yuan: int
    issuer: str
    resource: str
    voucher: str | None = None
    voucher_name: str = ""
    used: bool = True
    correction: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    list_unit_yuan: int | None = None
    contracted_yuan: int | None = None
    classes: Mapping[str, int] = field(default_factory=dict)


COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency"),
    *("ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory", "CommitmentDiscountId"),
    *("CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType", "ConsumedQuantity"),
    *("ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuer", "ListCost"),
    *("ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "Provider", "Publisher", "RegionId"),
    *("RegionName", "ResourceID", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "SkuId"),
    *("SkuPriceId", "SubAccountId", "SubAccountName", "Tags"),
    *RENAMED.values(),
    "x_CostClasses",
)


def row(charge: Charge) -> dict[str, str]:
    """Every column of one charge as text; empty is null."""
    hours, price = gpu_hours(charge.gpu_ms), _yuan(charge.unit_yuan)
    list_price = price if charge.list_unit_yuan is None else _yuan(charge.list_unit_yuan)
    contracted = charge.list_yuan if charge.contracted_yuan is None else charge.contracted_yuan
    classes = {name: _yuan(units) for name, units in charge.classes.items()}
    values = {
        "BilledCost": _yuan(charge.billed_yuan),
        "BillingAccountId": charge.beneficiary,
        "BillingAccountName": charge.beneficiary_name,
        "BillingCurrency": "CNY",
        "BillingPeriodEnd": rfc3339(charge.billing_to_us),
        "BillingPeriodStart": rfc3339(charge.billing_from_us),
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if charge.correction else "",
        "ChargeDescription": f"{charge.model} GPU-hours at {charge.centre_name}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": rfc3339(charge.to_us),
        "ChargePeriodStart": rfc3339(charge.from_us),
        "ConsumedQuantity": hours,
        "ConsumedUnit": "GPU-Hours",
        "ContractedCost": _yuan(contracted),
        "ContractedUnitPrice": price,
        "EffectiveCost": _yuan(charge.effective_yuan),
        "InvoiceIssuer": charge.issuer,
        "ListCost": _yuan(charge.list_yuan),
        "ListUnitPrice": list_price,
        "PricingCategory": "Committed" if charge.voucher else "Standard",
        "PricingQuantity": hours,
        "PricingUnit": "GPU-Hours",
        "Provider": charge.centre_name,
        "Publisher": charge.centre_name,
        "RegionId": charge.region,
        "RegionName": charge.region_name,
        "ResourceID": charge.resource,
        "ResourceName": charge.model,
        "ResourceType": "Accelerator",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Accelerated computing",
        "SkuId": f"{charge.centre}/{charge.model}",
        "SkuPriceId": f"{charge.centre}/{charge.model}/{price}",
        "SubAccountId": charge.account,
        "SubAccountName": charge.account_name,
        "Tags": json.dumps(dict(charge.tags), ensure_ascii=False, sort_keys=True),
        "x_CostClasses": json.dumps(classes, sort_keys=True) if classes else "",
        **_discount(charge),
    }
    return values | {published: values[released] for released, published in RENAMED.items()}


def _discount(charge: Charge) -> dict[str, str]:
    names = ("Category", "Id", "Name", "Status", "Type")
    given = ("", "", "", "", "")
    if charge.voucher:
        status = "Used" if charge.used else "Unused"
        given = ("Spend", charge.voucher, charge.voucher_name or charge.voucher, status, "Compute voucher")
    return {f"CommitmentDiscount{name}": value for name, value in zip(names, given, strict=True)}


def _yuan(units: int) -> str:
    return format_units(units, CNY)


def gpu_hours(gpu_ms: int) -> str:
    """GPU-hours with ten digits after the point, rounded half away from zero: shown, never computed with."""
    scaled = (2 * abs(gpu_ms) * 10**HOURS_SCALE + HOUR_MS) // (2 * HOUR_MS)
    whole, rest = divmod(scaled, 10**HOURS_SCALE)
    return f"{'-' if gpu_ms < 0 else ''}{whole}.{rest:0{HOURS_SCALE}d}"
