"""The words of a decision letter, made of the record alone: Chinese first, an English summary after it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from metering.zones import SHANGHAI
from suanquan.letters.yuan import in_capitals, in_figures

Record = Mapping[str, Any]
Lines = list[str]

_VERDICTS = {"met": "满足", "failed": "不满足", "unknown": "未查明"}
_VALUES = {True: "是", False: "否", None: "未查明"}
_OPERATORS = {
    "=": "为", "!=": "不为", "in": "为其一", "not in": "不为其中任一", "<": "低于", "<=": "不高于", ">": "高于",
    ">=": "不低于", "count >=": "其中至少", "count <": "其中少于", "count >": "其中多于", "count <=": "其中至多", "count =": "其中恰有",
}  # fmt: skip
_CLOSED = {
    "document_not_yet_in_force": ("该文件在受理之日尚未施行", "the document was not yet in force"),
    "document_expired": ("该文件在受理之日有效期已满", "the document had expired"),
    "implementing_rules_not_in_force": (
        "该条须另有实施细则方可申报，受理之日无现行细则",
        "the clause needs implementing rules, and none were in force",
    ),
}
_UNITS = {
    "yuan": "元",
    "racks": "架",
    "share": "",
    "ratio": "",
    "industries": "个行业",
    "rounds": "轮",
    "working days": "个工作日",
}
_UNSET_ZH = "（本机关尚未设定该机关名称）"
_UNSET_EN = "(the office has not set which)"
_SANDBOX = "沙箱演示，不具任何效力 Sandbox: a demonstration without any effect"
_TEXT_OF_LAW = "以中文文本为准。The Chinese text prevails."


def letter_content(record: Record, token_text: str, sha256_hex: str) -> dict[str, Any]:
    """Everything that the page shows, as data for the template; `token_text` is what its QR code holds."""
    granted = record["verdict"] == "grant"
    title = ("准予支持决定书" if granted else "不予支持决定书") + ("（更正）" if record["corrects"] else "")
    explanation = record["explanation"]
    return {
        "title": title,
        "title_en": f"Decision to {'grant' if granted else 'refuse'} support",
        "issuers": list(record["departments"]),
        "id": record["id"],
        "sandbox": _SANDBOX if record["sandbox"] else "",
        "applicant": record["applicant"]["name"],
        "uscc": record["applicant"]["uscc"],
        "opening": _opening(record),
        "ruling": _ruling(record),
        "correction": _correction(record),
        "corrects_sha256": record["corrects"]["sha256"] if record["corrects"] else "",
        "reason": record["reason"],
        "grounds": _grounds(record),
        "conditions": [_row(record, condition) for condition in explanation["conditions"]],
        "questions": list(_answers(record)),
        "remedies": _remedies(record),
        "documents": [_document(entry) for entry in _applied(record)],
        "officer": record["officer"],
        "day": _day(record["decided_us"]),
        "english": _english(record, granted=granted),
        "english_note": _TEXT_OF_LAW,
        "sha256": sha256_hex,
        "facts_sha256": record["facts_sha256"],
        "evaluator": str(record["evaluator_version"]),
        "qr": token_text,
    }


def unset_authorities(record: Record) -> list[dict[str, str]]:
    """Remedies of a record whose authority the office has not set."""
    return [remedy for remedy in record["remedies"] if remedy["authority"] is None]


def _day(at_us: int) -> str:
    day = dt.datetime.fromtimestamp(at_us // 1_000_000, SHANGHAI)
    return f"{day.year}年{day.month}月{day.day}日"


def _day_of(text: str) -> str:
    day = dt.date.fromisoformat(text)
    return f"{day.year}年{day.month}月{day.day}日"


def _applied(record: Record) -> list[Mapping[str, Any]]:
    """The documents whose clauses decided, of all that were at hand."""
    decided = {document["digest"] for document in record["explanation"]["documents"]}
    return [entry for entry in record["documents"] if entry["sha256"] in decided]


def _named(record: Record) -> str:
    return "、".join(f"《{entry['title_zh']}》（{entry['number']}）" for entry in _applied(record))


def _opening(record: Record) -> str:
    explanation = record["explanation"]
    return (
        f"你单位就“{record['project']}”提出的申请（受理日期：{_day_of(record['on'])}），本机关依照{_named(record)}"
        f"“{explanation['title_zh']}”条款（{explanation['clause']}）审查完毕，现决定如下："
    )


def _ruling(record: Record) -> str:
    if record["verdict"] != "grant":
        return "不予支持。"
    fen = record["award_fen"]
    if fen is not None:
        return f"准予支持，金额为人民币 {in_figures(fen)} 元（大写：{in_capitals(fen)}）。"
    gifts = "；".join(gift["zh"] for gift in record["explanation"]["gifts"])
    return f"准予支持（非资金）{'：' if gifts else ''}{gifts}。"


def _correction(record: Record) -> str:
    corrects = record["corrects"]
    if corrects is None:
        return ""
    return f"本决定更正 {corrects['id']} 号决定，该决定自本决定作出之日起不再有效。"


def _grounds(record: Record) -> Lines:
    """Why, in the words of the rules: what was not met, or how the sum came about."""
    explanation, result = record["explanation"], record["result"]
    closed = _CLOSED.get(explanation["layers"]["calendar"])
    if closed is not None:
        lives = "；".join(
            f"{one['number']}：{_day_of(one['in_force_from'])}至{_day_of(one['in_force_to'])}"
            for one in explanation["documents"]
        )
        return [f"{closed[0]}（{lives}）。"]
    failed = [one for one in explanation["conditions"] if one["verdict"] == "failed"]
    lines = [f"不满足“{one['quote']}”（{one['document']}原文第{one['line']}行）。" for one in failed]
    if record["verdict"] == "grant" and result["amount_fen"] is not None:
        kind = "依规则计算为" if result["amount_kind"] == "exact" else "依规则计算至多为"
        cap = f"，该条上限 {result['cap_yuan']:,} 元" if result["cap_yuan"] is not None else ""
        lines.append(
            f"金额{kind} {in_figures(result['amount_fen'])} 元{cap}{'，已按上限计' if result['cap_hit'] else ''}。"
        )
    if record["verdict"] == "grant" and explanation["benefit_quote"]:
        lines.append(f"依据：“{explanation['benefit_quote']}”。")
    missing = [_term(record, name) for name in result["missing_facts"]]
    return [*lines, *([f"尚未查明：{'；'.join(missing)}。"] if missing else [])]


def _term(record: Record, name: str) -> str:
    return str(record["terms"].get(name, {}).get("zh", name)).rstrip("？?")


def _row(record: Record, condition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "quote": condition["quote"],
        "found": list(_found(record, condition)),
        "verdict": _VERDICTS[condition["verdict"]],
        "failed": condition["verdict"] == "failed",
        "source": f"{condition['document']} 原文第{condition['line']}行",
    }


def _found(record: Record, condition: Mapping[str, Any], word: str = "须") -> Iterator[str]:
    """Each comparison of a condition: what was asked, what was found, and what was needed (`word` says in which sense)."""
    if "fact" in condition:
        yield f"{_compared(record, condition)}（{word}{_needed(record, condition)}）"
        return
    parts = condition["parts"]
    if condition["operator"] == "not":
        [inner] = parts
        if "fact" in inner:
            yield from _found(record, inner, "不得")
            return
        yield "以下情形不得同时存在：" if inner["operator"] == "all" else "以下情形均不得存在："
        word, parts = "情形：", inner["parts"]
    elif condition["operator"] == "any":
        yield "以下情形至少须有其一："
        word = "情形："
    for part in parts:
        lines = _found(record, part, word)
        if word == "情形：" and part["operator"] == "all":  # one alternative of several parts
            yield "，且 ".join(lines)
        else:
            yield from lines


def _compared(record: Record, condition: Mapping[str, Any]) -> str:
    return f"{_term(record, condition['fact'])}：{_value(condition['value'], _unit(record, condition))}"


def _needed(record: Record, condition: Mapping[str, Any]) -> str:
    operator = _OPERATORS.get(condition["operator"], condition["operator"])
    if "of" in condition:
        return f"{operator} {condition['threshold']} 项：{_value(condition['of'], '')}"
    gap = "" if isinstance(condition["threshold"], bool) else " "
    return f"{operator}{gap}{_value(condition['threshold'], _unit(record, condition))}"


def _unit(record: Record, condition: Mapping[str, Any]) -> str:
    written = record["terms"].get(condition["fact"], {}).get("unit", "")
    return _UNITS.get(written, str(written))


def _value(value: Any, unit: str) -> str:
    if value is None or isinstance(value, bool):
        return _VALUES[value]
    if isinstance(value, list):
        return "、".join(map(str, value)) or "无"
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{shown} {unit}".rstrip()


def _answers(record: Record) -> Iterator[dict[str, str]]:
    for question in record["explanation"]["questions"]:
        if question["id"] in record["answers"]:
            yield {
                "asked": question["zh"],
                "answer": record["answers"][question["id"]],
                "by": question["decided_by"],
            }


def _remedies(record: Record) -> Lines:
    remedies = record["remedies"]
    laws = [
        f"{one['period_zh']}，依照{one['law_zh']}，向{one['authority'] or _UNSET_ZH}"
        f"{'申请' if one['id'] == 'reconsideration' else '提起'}{one['name_zh']}"
        for one in remedies
    ]
    return [f"{'也可以' if at else '如不服本决定，可以'}{law}。" for at, law in enumerate(laws)]


def _document(entry: Mapping[str, Any]) -> str:
    return f"{entry['number']}，规则文件 {entry['file']} 第 {entry['revision']} 版，SHA-256 {entry['sha256']}"


def _english(record: Record, *, granted: bool) -> list[dict[str, str]]:
    """The summary, as names and values."""
    explanation, fen = record["explanation"], record["award_fen"]
    day = dt.datetime.fromtimestamp(record["decided_us"] // 1_000_000, SHANGHAI).date().isoformat()
    sum_ = f"granted, {in_figures(fen)} yuan" if fen is not None else "granted, not in money"
    rows = [
        ("Decision", f"{record['id']} of {day}: {sum_ if granted else 'refused'}"),
        ("Applicant", f"{record['applicant']['name']} ({record['applicant']['uscc']})"),
        ("Project", f"{record['project']}, received {record['on']}"),
        ("Clause", f"{explanation['title_en']} ({explanation['clause']}), {_documents_en(record)}"),
        ("Grounds", _grounds_en(record)),
    ]
    if record["corrects"] is not None:
        rows.append(("Corrects", f"{record['corrects']['id']}, which no longer stands"))
    rows.extend(
        (
            one["name_en"].capitalize(),
            f"{one['period_en']}; {one['law_en']}; to {one['authority'] or _UNSET_EN}",
        )
        for one in record["remedies"]
    )
    return [{"name": name, "value": value} for name, value in rows]


def _documents_en(record: Record) -> str:
    return "; ".join(f"{entry['title_en']} ({entry['number']})" for entry in _applied(record))


def _grounds_en(record: Record) -> str:
    explanation = record["explanation"]
    closed = _CLOSED.get(explanation["layers"]["calendar"])
    if closed is not None:
        return closed[1]
    failed = [one for one in explanation["conditions"] if one["verdict"] == "failed"]
    met = sum(one["verdict"] == "met" for one in explanation["conditions"])
    if not failed:
        return f"{met} of {len(explanation['conditions'])} conditions met; reason as given above"
    named = "; ".join(dict.fromkeys(_asked_en(record, one) for one in failed))
    return f"{len(failed)} of {len(explanation['conditions'])} conditions not met: {named}"


def _asked_en(record: Record, condition: Mapping[str, Any]) -> str:
    if "fact" not in condition:
        return "; ".join(_asked_en(record, part) for part in condition["parts"])
    value = condition["value"]
    shown = {True: "yes", False: "no", None: "unknown"}[value] if value is None or isinstance(value, bool) else value
    return f"{record['terms'].get(condition['fact'], {}).get('en', condition['fact'])} {shown}"
