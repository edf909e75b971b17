"""What values of one version must keep to together: complete for its claim mode, honest about what is unknown, consistent.

Each finding comes with the section and the key that it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ledger.errors import Finding
from voucher import scheme_schema as schema
from voucher.claim_facts import DECISIVE
from voucher.scheme import SchemeStatus
from voucher.scheme_build import Version

Places = Iterator[tuple[str, str, Finding]]


def incomplete(version: Version) -> Places:
    """Parameters that are neither given nor admitted to be unknown, admitted twice, or needed by the claim mode."""
    unknown, none = version.values["unknown"], version.values.get("none", ())
    for key, names in (("unknown", unknown), ("none", none)):
        for name in names:
            yield from ((section, key, finding) for section, finding in _misnamed(version, name, key))
    draft = version.values["status"] == SchemeStatus.DRAFT.value
    for name, parameter in schema.PARAMETERS.items():
        if not (version.given(name) or name in unknown or name in none):
            yield (
                "",
                "unknown",
                Finding(
                    "scheme-incomplete",
                    f"{name}（{parameter.zh}）既无值，也未列入 unknown 或 none",
                    f"{name} ({parameter.en}) is neither given nor listed in `unknown` or `none`",
                ),
            )
    if not draft:
        yield from _needed(version)


def _misnamed(version: Version, written: str, key: str) -> Iterator[tuple[str, Finding]]:
    """`caps:2023` doubts a value that is given; `caps` alone says that there is none."""
    name, colon, _ = written.partition(":")
    if name not in schema.PARAMETERS:
        words = ", ".join(schema.PARAMETERS)
        yield (
            "",
            Finding(
                "scheme-unknown",
                f"“{written}”不是参数；参数有 {words}",
                f"{written!r} is no parameter; there are {words}",
            ),
        )
    elif not colon and version.given(name):
        yield (
            "",
            Finding(
                "scheme-unknown",
                f"{name} 已有值；仅部分存疑时写 {name}:说明",
                f"{name} has a value; where only a part is in doubt write {name}:note",
            ),
        )
    elif not colon and key == "unknown" and name in version.values.get("none", ()):
        yield "", Finding("scheme-unknown", f"{name} 不能同时列入 none", f"{name} cannot be in `none` as well")


def _needed(version: Version) -> Places:
    mode = version.get("claim_mode")
    if mode is None:
        yield (
            "",
            "claim_mode",
            Finding("scheme-incomplete", "只有草案可以不定兑现方式", "only a draft may leave the claim mode unset"),
        )
        return
    for name in schema.REQUIRED[mode]:
        if not version.given(name):
            parameter = schema.PARAMETERS[name]
            yield (
                "",
                "unknown",
                Finding(
                    "scheme-incomplete",
                    f"兑现方式 {mode} 须有 {name}（{parameter.zh}），否则只能是草案",
                    f"the claim mode {mode} needs {name} ({parameter.en}); without it the scheme is a draft",
                ),
            )
    for section in schema.MODE_SECTIONS.get(mode, ()):
        if section not in version.sections:
            yield (
                "",
                "claim_mode",
                Finding(
                    "scheme-incomplete",
                    f"兑现方式 {mode} 须有表 {section}",
                    f"the claim mode {mode} needs the table {section}",
                ),
            )


def contradictions(version: Version, scheme_id: str) -> Places:
    """Values that are right one by one and wrong together."""
    sandbox = version.values["status"] == SchemeStatus.SANDBOX.value
    if sandbox != ("sandbox" in scheme_id.split("-")):
        zh, en = (
            "沙箱方案的编号须含 sandbox，其他方案不得含",
            "the id has `sandbox` if and only if the status is sandbox",
        )
        yield "", "status", Finding("scheme-sandbox", zh, en)
    if version.values["decisive_date"] not in DECISIVE:
        words = ", ".join(DECISIVE)
        yield "", "decisive_date", Finding("scheme-value", f"应为其中之一：{words}", f"must be one of {words}")
    yield from _ranges(version)
    yield from _figures(version)
    yield from _units(version)
    yield from _rows(version)


def _ranges(version: Version) -> Places:
    spans = [("window", "from", "to"), ("application", "from", "to"), ("base", "period_from", "period_to")]
    for section, first, last in (*spans, ("voucher", "valid_from", "valid_to")):
        ends = version.get(f"{section}.{first}"), version.get(f"{section}.{last}")
        if (ends[0] is None) != (ends[1] is None):
            yield (
                section,
                last,
                Finding("scheme-range", f"{first} 与 {last} 须同时给出", f"{first} and {last} belong together"),
            )
        elif ends[0] is not None and ends[0] > ends[1]:
            yield section, last, Finding("scheme-range", f"早于 {first}", f"is before {first}")
    span = version.span
    if span.first is not None and span.last is not None and span.first > span.last:
        yield "", "to", Finding("scheme-range", "早于 from", "is before from")
    if (version.get("base.period_from") is None) != (version.get("base.prorate") is None):
        zh, en = (
            "period_from、period_to 与 prorate 须同时给出",
            "a period and the way to count its days belong together",
        )
        yield "base", "prorate", Finding("scheme-range", zh, en)
    if version.get("voucher.validity_months") is not None and version.get("voucher.valid_from") is not None:
        zh, en = "有效期或按月数、或按日期，不能并存", "a validity is given in months or in days, not both"
        yield "voucher", "validity_months", Finding("scheme-range", zh, en)
    if set(version.get("base.included") or ()) & set(version.get("base.excluded") or ()):
        yield (
            "base",
            "excluded",
            Finding("scheme-range", "同一费用既计入又不计入", "one kind is both included and excluded"),
        )


def _figures(version: Version) -> Places:
    for _, suffix in version.denominations():
        least, most = (f"thresholds.{stem}_voucher_{suffix}" for stem in ("min", "max"))
        chain = [
            (least, version.get(least)),
            (most, version.get(most)),
            (f"cap.{suffix}", version.year_cap(suffix)),
            (f"budget.per_year_{suffix}", version.get(f"budget.per_year_{suffix}")),
        ]
        for (lower, small), (upper, large) in pairwise([(name, value) for name, value in chain if value is not None]):
            if small > large:
                section, _, key = lower.partition(".")
                yield section, key, Finding("scheme-range", f"大于 {upper}", f"is more than {upper}")


def _units(version: Version) -> Places:
    """Amounts in a unit that the scheme does not have."""
    suffixes = {suffix for _, suffix in version.denominations()} or {"fen"}
    for section in ("thresholds", "budget"):
        for key in version.sections[section].values if section in version.sections else ():
            if (key.endswith("_pflops_h") and "pflops_h" not in suffixes) or (
                key.endswith("voucher_fen") and "fen" not in suffixes
            ):
                yield (
                    section,
                    key,
                    Finding("scheme-key-unknown", "方案没有这种计量单位", "the scheme has no such denomination"),
                )


def _rows(version: Version) -> Places:
    for row in version.rows["cap"]:
        if ("fen" in row.values) == ("pflops_h" in row.values):
            yield (
                "cap",
                "fen",
                Finding("scheme-value", "fen 与 pflops_h 须恰有一个", "takes exactly one of fen and pflops_h"),
            )
    ratio = version.rows["ratio"]
    if any(row.when is None for row in ratio[:-1]) and version.get("combine") in {None, "first"}:
        zh, en = (
            "无条件的比例须在最后，其后各行永不适用",
            "a ratio for all others comes last; rows after it never apply",
        )
        yield "ratio", "when", Finding("scheme-range", zh, en)
    for name in ("funding", "tranche"):
        shares = [row.values["share"] for row in version.rows[name] if "share" in row.values]
        if shares and sum(shares) != 1:
            yield name, "share", Finding("scheme-range", "各份之和须为 1", "the shares must add up to 1")
    rows = version.sections["reclaim"].rows if "reclaim" in version.sections else []
    levels = [row.get("used_up_to_percent") for row in rows]
    if "reclaim" in version.sections and (
        not rows or any(a is None or b is None or a >= b for a, b in pairwise(levels))
    ):
        zh, en = "row 须按 used_up_to_percent 递增，至少一行", "needs rows that rise by used_up_to_percent"
        yield "reclaim", "row", Finding("scheme-range", zh, en)
