"""A voucher scheme as data: one TOML file per scheme, read strictly, every value with the source it stands on.

What the file holds is in `_FIELDS` and `_UNIT_FIELDS`; each key but the scheme's identity has its note under `[source]`.
Days are Asia/Shanghai dates, both ends included; a `Scheme` holds them as half-open UTC epoch microseconds.
"""

from __future__ import annotations

import enum
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ledger.amount import CNY, COMPUTE, Asset
from ledger.errors import Finding, LedgerError
from metering.zones import SHANGHAI
from voucher.errors import VoucherError
from voucher.fields import DAY, FEN, PFLOPS_H, TEXT, Field, Float, integer, list_of, matching, one_of, unless

ACTIONS = ("train", "tune", "infer")
CLAIM_MODES = (
    *("issue_then_offset", "issue_then_reimburse", "free_allocation"),
    *("post_use_direct", "auto_enjoy", "target_responsibility"),
)
ISSUING_MODES = frozenset(CLAIM_MODES[:3])
"""The modes in which a voucher exists; in the others money follows use without one."""

INVENTED = "虚构 invented"
"""How the source of every value of a sandbox begins, and of no other scheme's."""


class SchemeStatus(enum.Enum):
    """A draft may meter and simulate, never issue; a sandbox issues vouchers that are worth nothing."""

    DRAFT = "draft"
    USABLE = "usable"
    SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a scheme fixes for one unit, in units of `asset`; a year is a calendar year in Asia/Shanghai."""

    asset: Asset
    budget_year_units: int
    cap_holder_year_units: int
    min_units: int
    max_units: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """One scheme in force.

    `centres` and `accelerators` are None where every one is admitted. Of several vouchers the one with the lower `priority`
    is spent first. `late_days` is how long after its end usage may be reported, None without limit. `digest` is the SHA-256
    of the file, in hex: a decision names with it the rules it was taken under.
    """

    id: str
    name_zh: str
    name_en: str
    authority: str
    status: SchemeStatus
    claim_mode: str
    unknown: tuple[str, ...]
    terms: tuple[Terms, ...]
    issue_from_us: int
    issue_until_us: int
    valid_from_us: int
    valid_until_us: int
    priority: int
    centres: frozenset[str] | None
    actions: tuple[str, ...]
    accelerators: frozenset[str] | None
    price_list: str
    late_days: int | None
    digest: str

    def terms_in(self, unit: str) -> Terms | None:
        """Terms for vouchers in `unit` (an asset's code), None if the scheme has none in it."""
        return next((terms for terms in self.terms if terms.asset.code == unit), None)


def policy_year(instant_us: int) -> int:
    """Calendar year in Asia/Shanghai of a UTC instant: budgets and caps count in it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_us)).astimezone(SHANGHAI).year


def load_schemes(folder: Path) -> dict[str, Scheme]:
    """Every scheme of `folder/*.toml` by id.

    Raises:
        VoucherError: `scheme-invalid` of the first faulty file, or `scheme-duplicate`.

    """
    schemes: dict[str, Scheme] = {}
    for path in sorted(folder.glob("*.toml")):
        scheme = parse_scheme(path.read_bytes(), path.name)
        if scheme.id in schemes:
            raise VoucherError(
                "scheme-duplicate",
                f"{path.name}：方案 {scheme.id} 已在另一文件中定义",
                f"{path.name}: the scheme {scheme.id} is already defined in another file",
            )
        schemes[scheme.id] = scheme
    return schemes


def parse_scheme(data: bytes, file: str) -> Scheme:
    """Scheme in the bytes of a TOML file; `file` is its name in messages.

    Raises:
        VoucherError: `scheme-invalid`, with a finding for every fault, each naming file and key.

    """
    try:
        document = tomllib.loads(data.decode("utf-8"), parse_float=Float)
        source = document.pop("source", {})
        leaves = dict(_leaves(document))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _invalid(
            file, [Finding("scheme-syntax", f"不是合规的 TOML：{error}", f"not TOML: {error}", file)]
        ) from error
    values, findings = _read(leaves)
    findings += _unsourced(leaves, source, sandbox=leaves.get("status") == "sandbox")
    if not findings:
        findings += _contradictions(values)
    if findings:
        raise _invalid(file, [Finding(f.code, f.zh, f.en, f"{file}:{f.where}") for f in findings])
    return _build(values, hashlib.sha256(data).hexdigest())


def _invalid(file: str, findings: list[Finding]) -> VoucherError:
    first = findings[0]
    return VoucherError(
        "scheme-invalid",
        f"方案文件 {file} 有 {len(findings)} 处须修改：{first.where} {first.zh}",
        f"the scheme file {file} has {len(findings)} faults: {first.where} {first.en}",
        findings=findings,
    )


# --- what a file holds ------------------------------------------------------------------------------------------------


ID = r"[a-z0-9]+(-[a-z0-9]+)*"
"""Names of schemes, centres and price lists."""

_NAME = matching(ID, "由小写字母、数字、连字符组成的编号", "an id of lower-case letters, digits and hyphens")
_MODEL = matching(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", "加速卡型号", "an accelerator model")

_FIELDS = {
    "id": _NAME,
    "name_zh": TEXT,
    "name_en": TEXT,
    "authority": TEXT,
    "status": one_of(*(status.value for status in SchemeStatus)),
    "unknown": list_of(TEXT, empty=True),
    "claim_mode": one_of(*CLAIM_MODES),
    "currency": one_of("CNY"),
    "denomination": list_of(one_of("CNY_FACE", "PFLOPS.h")),
    "window.from": DAY,
    "window.to": DAY,
    "voucher.valid_from": DAY,
    "voucher.valid_to": DAY,
    "voucher.priority": integer(0, 999),
    "voucher.centres": unless("*", list_of(_NAME)),
    "voucher.actions": list_of(one_of(*ACTIONS)),
    "voucher.accelerators": unless("*", list_of(_MODEL)),
    "voucher.price_list": _NAME,
    "reporting.late_days": unless("open", integer(1, 3660)),
}
_IDENTITY = ("id", "name_zh", "name_en", "authority", "status", "unknown")
"""The scheme's own keys; all others are values somebody fixed and need a source."""

_DENOMINATIONS = {"CNY_FACE": (CNY, "fen", FEN), "PFLOPS.h": (COMPUTE, "pflops_h", PFLOPS_H)}
_UNIT_FIELDS = (
    "budget.per_year",
    "caps.per_beneficiary_calendar_year",
    "thresholds.min_voucher",
    "thresholds.max_voucher",
)
"""One key each per denomination, ending in `fen` or `pflops_h`; in the order of `Terms`."""


# --- reading ----------------------------------------------------------------------------------------------------------


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything that is not a table."""
    for name, value in table.items():
        key = prefix + (name if "." not in name else f'"{name}"')
        if isinstance(value, dict):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _fields_for(denominations: object) -> dict[str, Field]:
    chosen = denominations if isinstance(denominations, list) else []
    units = [unit for name, unit in _DENOMINATIONS.items() if name in chosen]
    return _FIELDS | {f"{stem}_{suffix}": field for _, suffix, field in units for stem in _UNIT_FIELDS}


def _read(leaves: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """Values by key, and what is wrong with the keys and values."""
    values: dict[str, Any] = {}
    fields = _fields_for(leaves.get("denomination"))
    unknown = leaves.keys() - fields
    findings = [Finding("scheme-key-unknown", "不是方案的键", "is no key of a scheme", key) for key in unknown]
    for key, field in fields.items():
        if key not in leaves:
            findings.append(Finding("scheme-key-missing", f"缺失，应为{field.zh}", f"is missing: {field.en}", key))
        elif any(isinstance(item, Float) for item in _items(leaves[key])):
            findings.append(
                Finding("scheme-float", f"不得为浮点数，应为{field.zh}", f"must not be a float but {field.en}", key)
            )
        else:
            try:
                values[key] = field.read(leaves[key])
            except (ValueError, LedgerError):
                findings.append(Finding("scheme-value", f"应为{field.zh}", f"must be {field.en}", key))
    return values, sorted(findings, key=lambda finding: finding.where)


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _unsourced(leaves: Mapping[str, Any], source: object, *, sandbox: bool) -> Iterator[Finding]:
    """Values without a source, sources without a value, and invented numbers outside a sandbox."""
    if not isinstance(source, dict):
        yield Finding("scheme-source", "应为表：键 = 出处", "must be a table of keys and their sources", "source")
        return
    fixed = leaves.keys() - set(_IDENTITY)
    for key in sorted(fixed - source.keys()):
        yield Finding(
            "scheme-source-missing", "没有出处；请在 [source] 中注明", "has no source; give one under [source]", key
        )
    for key in sorted(source.keys() - fixed):
        yield Finding("scheme-source-unused", "没有这样的值", "names no value", f'source."{key}"')
    for key in sorted(fixed & source.keys()):
        note = source[key]
        if not isinstance(note, str) or not note.strip() or note.startswith(INVENTED) != sandbox:
            yield Finding(
                "scheme-source",
                f"应为文字；沙箱的出处以“{INVENTED}”开头，其他方案不得虚构",
                f"must be text; it begins with {INVENTED!r} in a sandbox, and nothing is invented elsewhere",
                f'source."{key}"',
            )


def _contradictions(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Values that are right one by one and wrong together."""
    if (values["status"] == "sandbox") != ("sandbox" in values["id"].split("-")):
        yield Finding(
            "scheme-sandbox",
            "沙箱方案的编号须含 sandbox，其他方案不得含",
            "has `sandbox` if and only if the status is sandbox",
            "id",
        )
    for first, last in (("window.from", "window.to"), ("voucher.valid_from", "voucher.valid_to")):
        if values[first] > values[last]:
            yield Finding("scheme-range", f"早于 {first}", f"is before {first}", last)
    for key in values["unknown"]:
        if key in values:
            yield Finding(
                "scheme-unknown", f"{key} 已有值，不应列为未定", f"{key} has a value and so is not unknown", "unknown"
            )
    for _, suffix, _ in (_DENOMINATIONS[name] for name in values["denomination"]):
        budget, cap, least, most = (f"{stem}_{suffix}" for stem in _UNIT_FIELDS)
        for lower, upper in ((least, most), (most, cap), (cap, budget)):
            if values[lower] > values[upper]:
                yield Finding("scheme-range", f"大于 {upper}", f"is more than {upper}", lower)


def _build(values: Mapping[str, Any], digest: str) -> Scheme:
    units = [_DENOMINATIONS[name] for name in values["denomination"]]
    day_us = 86_400_000_000
    return Scheme(
        id=values["id"],
        name_zh=values["name_zh"],
        name_en=values["name_en"],
        authority=values["authority"],
        status=SchemeStatus(values["status"]),
        claim_mode=values["claim_mode"],
        unknown=values["unknown"],
        terms=tuple(Terms(asset, *(values[f"{stem}_{suffix}"] for stem in _UNIT_FIELDS)) for asset, suffix, _ in units),
        issue_from_us=values["window.from"],
        issue_until_us=values["window.to"] + day_us,
        valid_from_us=values["voucher.valid_from"],
        valid_until_us=values["voucher.valid_to"] + day_us,
        priority=values["voucher.priority"],
        centres=_names(values["voucher.centres"]),
        actions=tuple(action for action in ACTIONS if action in values["voucher.actions"]),
        accelerators=_names(values["voucher.accelerators"]),
        price_list=values["voucher.price_list"],
        late_days=values["reporting.late_days"],
        digest=digest,
    )


def _names(values: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)
