"""The fields of a material on a form: which are asked, and what was typed in them as the procedure reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile

from suanquan.portal.forms import digest_of
from subsidy.materials import Check, Material, Rule

FLAGS = ("sealed", "matches_original")
YES_NO = {"yes": True, "no": False}


async def hash_files(sent: FormData, typed: dict[str, str]) -> None:
    """The SHA-256 of each file that came along, as if it had been typed."""
    for name, value in sent.multi_items():
        if isinstance(value, UploadFile) and value.filename:
            typed[name.removesuffix(":file")] = await digest_of(value)


def is_contract(one: Material) -> bool:
    """Whether a material is the contract itself, whose file is named once."""
    return any(check.rule is Rule.EQUALS_CONTRACT for check in one.checks)


def asks_of(one: Material) -> list[tuple[str, str, tuple[str, ...]]]:
    """Fields of a material that are typed: name, form (`yes_no`, `words` or `text`) and words."""
    forms = {Rule.IS_FALSE: "yes_no", Rule.ONE_OF: "words", Rule.COVERS: "words"}
    skipped = {Rule.EQUALS_APPLICANT, Rule.EQUALS_CONTRACT}
    asked = {check.field: (check.field, forms.get(check.rule, "text"), check.values) for check in one.checks if check.rule not in skipped}  # fmt: skip
    return list(asked.values())


def material_of(one: Material, typed: Mapping[str, str], applicant: str) -> dict[str, Any] | None:
    """A material as it was typed; None where no file of it was named."""
    digest = typed.get("contract.sha256" if is_contract(one) else f"material.{one.id}", "")
    if not digest:
        return None
    found: dict[str, Any] = {"id": one.id, "sha256": digest}
    for flag in FLAGS:
        found[flag] = typed.get(f"material.{one.id}.{flag}") == "yes"
    for check in one.checks:
        if check.rule is Rule.EQUALS_APPLICANT:
            found[check.field] = applicant
        elif check.rule is not Rule.EQUALS_CONTRACT and (said := typed.get(f"material.{one.id}.{check.field}", "")):
            found[check.field] = _value(check, said)
    return found


def _value(check: Check, said: str) -> Any:
    if check.rule is Rule.COVERS:
        return [word.strip() for word in said.replace(",", "、").split("、") if word.strip()]
    if check.rule is Rule.PREVIOUS_YEAR and said.isdecimal():
        return int(said)
    return YES_NO.get(said, said)
