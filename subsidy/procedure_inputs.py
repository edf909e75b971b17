"""What a step takes, read strictly: every fault is told with the name of the field and what to write instead.

What is read is plain (text, integers, truth values, lists, mappings), as it is recorded and hashed: days as `2025-09-26`,
amounts as integer steps of their unit, which for money are fen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ledger.errors import Finding
from subsidy.errors import SubsidyError
from subsidy.explain import plain
from subsidy.facts import Dictionary, read_facts
from subsidy.fields import nearest, parse_day
from subsidy.materials import Material
from subsidy.unit import YUAN, Unit

TEXT_MAX = 2_000
COSTS_MAX = 2_000
PARTS_MAX = 50
_YUAN = re.compile(r"(0|[1-9][0-9]{0,12})(?:\.([0-9]{1,2}))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCORE = re.compile(r"(100|[1-9]?[0-9])(\.[0-9])?")
_NAME = re.compile(r"[a-z][a-z_0-9]{0,63}")


class Reader:
    """Reads inputs one after another and gathers what is wrong with them."""

    def __init__(
        self,
        dictionary: Dictionary,
        materials: Iterable[Material],
        facts: ReadFacts | None = None,
        unit: Unit = YUAN,
    ) -> None:
        self.findings: list[Finding] = []
        self.unit = unit
        self._dictionary = dictionary
        self._facts = facts
        self._materials = [material.id for material in materials]

    def read(
        self,
        given: Mapping[str, Any],
        required: Sequence[str],
        optional: Sequence[str],
        words: Mapping[str, Sequence[str]],
    ) -> dict[str, Any]:
        """Inputs as they are recorded.

        Raises:
            SubsidyError: `inputs-malformed`, with a finding for each field at fault.

        """
        known = (*required, *optional)
        given = self._with_amount(given, known)
        for name in given:
            if name not in known:
                zh, en = nearest(name, known)
                self.fault(f"/{name}", f"此步没有“{name}”这一项{zh}", f"this step takes no `{name}`{en}")
        read: dict[str, Any] = {}
        for name in known:
            if given.get(name) is not None:
                read |= self._one(name, given[name], words.get(name))
            elif name in required:
                said, (zh, en) = self._said(name)
                self.fault(f"/{said}", f"须写“{said}”：{zh}", f"`{said}` is required: {en}")
        self.raise_any()
        return read

    def fault(self, where: str, zh: str, en: str) -> None:
        """Note one fault."""
        self.findings.append(Finding("input-malformed", zh, en, where))

    def raise_any(self) -> None:
        """Raise what was found."""
        if self.findings:
            first = self.findings[0]
            raise SubsidyError(
                "inputs-malformed",
                f"填写有误：{first.where} {first.zh}",
                f"the inputs are not valid: {first.where} {first.en}",
                findings=self.findings,
            )

    def _one(self, name: str, value: Any, words: Sequence[str] | None) -> dict[str, Any]:
        if words is not None:
            if value in words:
                return {name: value}
            listed = ", ".join(words)
            self.fault(f"/{name}", f"应为其中之一：{listed}，现为“{value}”", f"must be one of {listed}, not {value!r}")
            return {}
        if name == YUAN.said:
            amount = self.amount(f"/{self.unit.said}", value, self.unit)
            return {} if amount is None else {self.unit.kept: amount}
        reader = _READERS.get(name)
        return {name: reader(self, f"/{name}", value) if reader else self.text(f"/{name}", value)}

    def _with_amount(self, given: Mapping[str, Any], known: Sequence[str]) -> Mapping[str, Any]:
        """Inputs with their amount under the name that procedures give it; `amount` is in the application's own unit."""
        if YUAN.said not in known:
            return given
        if YUAN.said in given and ("amount" in given or self.unit is not YUAN):
            said, code = self.unit.said, self.unit.code
            self.fault(
                f"/{YUAN.said}",
                f"本申请以 {code} 计，金额只写在 {said} 中",
                f"the amount is one of {code}, in `{said}`",
            )
        rest = {name: value for name, value in given.items() if name != "amount"}
        return {**rest, YUAN.said: given["amount"]} if "amount" in given else rest

    def _said(self, name: str) -> tuple[str, tuple[str, str]]:
        """What callers call an input, and its form."""
        if name != YUAN.said or self.unit is YUAN:
            return name, _FORMS[name]
        return self.unit.said, (f'数量（{self.unit.zh}），如 "12.5"', f'{self.unit.en} such as "12.5"')

    def amount(self, where: str, value: Any, unit: Unit) -> int | None:
        """An amount as a decimal string, in steps of its unit."""
        if unit is YUAN:
            return self.fen(where, value)
        amount = unit.read(value)
        if amount is None:
            self.fault(
                where,
                f'应为十进制数文字，以 {unit.zh} 为单位，如 "12.5"，现为“{value}”',
                f'must be {unit.en} as a decimal string such as "12.5", not {value!r}',
            )
        return amount

    def text(self, where: str, value: Any) -> str:
        """A text that says something."""
        if isinstance(value, str) and value.strip() and len(value) <= TEXT_MAX and "\0" not in value:
            return value.strip()
        self.fault(where, f"应为 1 至 {TEXT_MAX} 字的文字", f"must be text of 1 to {TEXT_MAX} characters")
        return ""

    def fen(self, where: str, value: Any) -> int | None:
        """An amount of yuan as a decimal string, in fen."""
        match = _YUAN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self.fault(
                where,
                f'应为十进制数文字，以元为单位，如 "500000.00"，现为“{value}”',
                f'must be yuan as a decimal string such as "500000.00", not {value!r}',
            )
            return None
        return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))

    def day(self, where: str, value: Any) -> str:
        """A policy day."""
        day = parse_day(value) if isinstance(value, str) else None
        if day is None:
            self.fault(
                where, f"应写成 2025-09-26 的形式，现为“{value}”", f"must be a day such as 2025-09-26, not {value!r}"
            )
        return "" if day is None else day.isoformat()

    def number(self, where: str, value: Any) -> int:
        """A positive whole number."""
        if isinstance(value, str) and value.isdecimal() and len(value) < 10:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9:
            return value
        self.fault(where, f"应为正整数，现为“{value}”", f"must be a positive whole number, not {value!r}")
        return 0

    def score(self, where: str, value: Any) -> str:
        """Points out of a hundred, with at most one decimal."""
        if isinstance(value, str) and _SCORE.fullmatch(value):
            return value
        self.fault(
            where,
            f'应为 0 至 100 的文字，如 "86.5"，现为“{value}”',
            f'must be 0 to 100 as text such as "86.5", not {value!r}',
        )
        return ""

    def facts(self, where: str, value: Any) -> dict[str, Any]:
        """Facts of the dictionary in their plain form; null is left out."""
        if not isinstance(value, Mapping):
            self.fault(where, "应为“事实: 值”", "must be a mapping of facts to values")
            return {}
        if self._facts is not None:
            found, findings = self._facts(value, where)
            self.findings += findings
            return found
        facts, findings = read_facts(self._dictionary, value, lambda name: f"{where}/{name}")
        self.findings += findings
        return {name: plain(facts[name]) for name, written in value.items() if written is not None and name in facts}

    def costs(self, where: str, value: Any) -> list[dict[str, str]]:
        """Costs with the document that proves each: issuer, document, yuan."""
        if not isinstance(value, list) or len(value) > COSTS_MAX:
            self.fault(where, f"应为列表，至多 {COSTS_MAX} 项", f"must be a list of at most {COSTS_MAX}")
            return []
        return [cost for at, item in enumerate(value) if (cost := self._cost(f"{where}/{at}", item)) is not None]

    def _cost(self, where: str, item: Any) -> dict[str, str] | None:
        if not isinstance(item, Mapping) or set(item) != {"issuer", "document", "yuan"}:
            self.fault(
                where,
                "每项成本应写 issuer（开票或签约方）、document（发票或合同号）、yuan（元）",
                "each cost has issuer, document (number of invoice or contract) and yuan",
            )
            return None
        if self.fen(f"{where}/yuan", item["yuan"]) is None:
            return None
        names = {name: self.text(f"{where}/{name}", item[name]) for name in ("issuer", "document")}
        return {**names, "yuan": item["yuan"]}

    def materials(self, where: str, value: Any) -> list[dict[str, Any]]:
        """Materials with the hash of each file, whether it is sealed and matches the original, and its fields."""
        if not isinstance(value, list) or not value:
            self.fault(where, "应为材料列表", "must be a list of materials")
            return []
        read = [item for at, one in enumerate(value) if (item := self._material(f"{where}/{at}", one)) is not None]
        if len({item["id"] for item in read}) < len(read):
            self.fault(where, "同一材料只列一次", "a material is listed once")
        return read

    def _material(self, where: str, item: Any) -> dict[str, Any] | None:
        if not isinstance(item, Mapping):
            self.fault(where, "应为“键: 值”", "must be a mapping")
            return None
        before = len(self.findings)
        name = item.get("id")
        if name not in self._materials:
            zh, en = nearest(str(name), self._materials)
            self.fault(f"{where}/id", f"没有“{name}”这种材料{zh}", f"there is no material {name!r}{en}")
        digest = item.get("sha256")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            self.fault(
                f"{where}/sha256",
                "应为文件的 SHA-256，64 位小写十六进制",
                "must be the SHA-256 of the file in 64 lower-case hexadecimal digits",
            )
        for flag in ("sealed", "matches_original"):
            if not isinstance(item.get(flag), bool):
                self.fault(f"{where}/{flag}", "应写 true 或 false", "must be true or false")
        for key, written in item.items():
            self._field(f"{where}/{key}", key, written)
        return dict(item) if len(self.findings) == before else None

    def _field(self, where: str, key: Any, written: Any) -> None:
        """A further field of a material: a word, a number, a truth value or a list of words."""
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            self.fault(where, "名称应为小写字母、数字与下划线", "a name is lower-case letters, digits and underscores")
        if (
            isinstance(written, list)
            and len(written) <= PARTS_MAX
            and all(isinstance(word, str) and len(word) < 100 for word in written)
        ):
            return
        if isinstance(written, bool) or (isinstance(written, int) and abs(written) < 10**15):
            return
        if not isinstance(written, str) or len(written) > TEXT_MAX:
            self.fault(
                where,
                "应为文字、整数、true/false 或文字列表（小数写成文字）",
                "must be text, a whole number, true/false or a list of texts; decimals are text",
            )

    def contract(self, where: str, value: Any) -> dict[str, Any]:
        """A service contract: its number, the provider (a code or a name), the hash of its file, its days and its cost items."""
        if not isinstance(value, Mapping):
            self.fault(where, "应为“键: 值”", "must be a mapping")
            return {}
        for name in value.keys() - CONTRACT.keys():
            zh, en = nearest(str(name), list(CONTRACT))
            self.fault(f"{where}/{name}", f"合同没有“{name}”这一项{zh}", f"a contract has no `{name}`{en}")
        return {name: read(self, f"{where}/{name}", value.get(name)) for name, read in CONTRACT.items()}

    def digest(self, where: str, value: Any) -> str:
        """SHA-256 of a file."""
        if isinstance(value, str) and _SHA256.fullmatch(value):
            return value
        self.fault(
            where,
            "应为文件的 SHA-256，64 位小写十六进制",
            "must be the SHA-256 of the file in 64 lower-case hexadecimal digits",
        )
        return ""

    def items(self, where: str, value: Any) -> list[dict[str, str]]:
        """Cost items of a contract: kind and yuan."""
        if not isinstance(value, list) or not 0 < len(value) <= COSTS_MAX:
            self.fault(where, f"应为费用项列表，1 至 {COSTS_MAX} 项", f"must be a list of 1 to {COSTS_MAX} cost items")
            return []
        for at, item in enumerate(value):
            if not isinstance(item, Mapping) or set(item) != {"kind", "amount_yuan"}:
                self.fault(f"{where}/{at}", "应写 kind 与 amount_yuan", "a cost item has a kind and an amount_yuan")
            else:
                self.text(f"{where}/{at}/kind", item["kind"])
                self.fen(f"{where}/{at}/amount_yuan", item["amount_yuan"])
        return [dict(item) for item in value if isinstance(item, Mapping)]

    def key(self, where: str, value: Any) -> dict[str, str]:
        """A public key as JWK; what it must be is for the voucher to say."""
        if isinstance(value, Mapping) and 0 < len(value) <= PARTS_MAX:
            return {self.text(where, name): self.text(f"{where}/{name}", text) for name, text in value.items()}
        self.fault(where, "应为公钥 JWK", "must be a public JWK")
        return {}


ReadFacts = Callable[[Mapping[str, Any], str], tuple[dict[str, Any], list[Finding]]]
"""Reads facts that stand at a place, where they are not those of policies."""
CONTRACT: Mapping[str, Callable[[Reader, str, Any], Any]] = {
    "number": Reader.text,
    "provider": Reader.text,
    "sha256": Reader.digest,
    "signed_on": Reader.day,
    "starts_on": Reader.day,
    "ends_on": Reader.day,
    "items": Reader.items,
}
"""What a contract says, and how each part is read."""
_READERS: Mapping[str, Callable[[Reader, str, Any], Any]] = {
    "until": Reader.day,
    "objection_number": Reader.number,
    "score": Reader.score,
    "facts": Reader.facts,
    "costs": Reader.costs,
    "materials": Reader.materials,
    "contract": Reader.contract,
    "holder_key": Reader.key,
}
_TEXT = ("文字", "text")
_FORMS: Mapping[str, tuple[str, str]] = {
    "reason": ("理由", "the reason, as text"),
    "basis": ("依据（文号或会议纪要）", "the authority: a document or minutes"),
    "opinion": ("意见", "the opinion, as text"),
    "objection": ("异议内容", "what is objected, as text"),
    "reference": ("支付或到账凭证号", "number of the payment voucher"),
    "address": ("公示网址", "address of the public notice"),
    "method": ("评审方式", "how it was reviewed"),
    "amount_yuan": ('金额（元），如 "500000.00"', 'yuan such as "500000.00"'),
    "until": ("日期，如 2025-09-26", "a day such as 2025-09-26"),
    "objection_number": ("异议编号", "number of the objection"),
    "score": ("得分", "points"),
    "facts": ("事实", "facts"),
    "costs": ("成本明细", "costs"),
    "materials": ("材料", "materials"),
    "contract": ("合同", "the contract"),
    "holder_key": ("持券人公钥 JWK", "public JWK of the holder"),
}
INPUTS = tuple(_FORMS)
"""Every input that a procedure may name."""
