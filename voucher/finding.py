"""What an abuse check says: a named suspicion with its evidence, for a person to look at. It never blocks anything.

The fifteen patterns were seen in real programmes or in their texts; `findings.CHECKS` names them A1 to A15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from voucher.errors import VoucherError
from voucher.toml_text import TomlError, read_toml


class Evidence(NamedTuple):
    """One fact behind a suspicion: what it is, its value, and the record it was read from."""

    name: str
    value: str
    record: str = ""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One finding. `subject` is whom it concerns, `check` the pattern, `question` what the reviewer should find out.

    `key` tells two findings of one check about one subject apart, and stays the same when more evidence comes.
    """

    check: str
    subject: str
    zh: str
    en: str
    question: str
    evidence: tuple[Evidence, ...]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is pointed out; percentages are whole numbers. See config/findings/thresholds.toml."""

    cluster_applicants: int
    relation_depth: int
    price_over_tariff_percent: int
    price_rise_percent: int
    price_history_days: int
    price_rise_days: int
    kwh_band_percent: int
    same_job_repeats: int
    flat_jobs: int
    capacity_difference_percent: int
    settle_hours: int
    idle_permille: int
    unreported_permille: int
    idle_watts: int
    hoard_card_hours: int


def load_thresholds(data: bytes, file: str) -> Thresholds:
    """Thresholds of a TOML file.

    Raises:
        VoucherError: `thresholds-invalid`, naming the file and the key.

    """
    names = [field.name for field in fields(Thresholds)]
    try:
        table: Any = read_toml(data).get("thresholds")
    except TomlError as error:
        raise _invalid(file, str(error), str(error)) from error
    if not isinstance(table, Mapping) or set(table) != set(names):
        wanted = ", ".join(names)
        raise _invalid(file, f"[thresholds] 须恰含 {wanted}", f"[thresholds] must hold exactly {wanted}")
    for name in names:
        if type(table[name]) is not int or table[name] < 1:
            raise _invalid(file, f"{name} 须为正整数", f"{name} must be a positive integer")
    return Thresholds(**table)


def _invalid(file: str, zh: str, en: str) -> VoucherError:
    return VoucherError("thresholds-invalid", f"{file}：{zh}", f"{file}: {en}")
