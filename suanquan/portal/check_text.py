"""Sentences of a finding on its page and of the audit log, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.work_text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "finding_note": ("核查只提示，不影响任何业务。结论由人作出，写进日志；提示所涉及的人不能自己复核。", "A check only points something out. A person decides, and the decision stands in the log; nobody reviews what is about himself."),
    "finding_question": ("请核实", "To find out"),
    "finding_evidence": ("证据", "Evidence"),
    "evidence_name": ("是什么", "What it is"),
    "evidence_value": ("值", "Value"),
    "evidence_record": ("出处", "Read from"),
    "finding_renewed": ("结论之后又有新的证据", "there is new evidence since the decision"),
    "finding_reviews": ("复核记录", "Reviews"),
    "finding_unreviewed": ("尚未有人复核。", "Nobody has reviewed it yet."),
    "finding_decide": ("作出结论", "Decide"),
    "finding_by": ("由主管部门、项目经办或管理员复核。", "The department, programme officers or administrators review it."),
    "reopen": ("重新打开", "Open it again"),
    "audit_note": ("谁在何时对什么做了什么，最早的在前；在这里查看也会留下一行。", "Who did what to what, and when, oldest first; looking here leaves a row, too."),
    "audit_head": ("日志头：{size} 行，根 {root}", "Head: {size} rows, root {root}"),
    "audit_no_match": ("没有符合条件的行。请放宽人员、动作或时间。", "No row matches. Widen person, action or time."),
    "audit_none": ("审计日志还是空的。", "The audit log is empty so far."),
    "audit_seq": ("行号", "Row"),
    "audit_at": ("时间", "When"),
    "audit_action": ("动作", "Action"),
    "audit_person": ("人员", "Person"),
    "audit_about": ("对什么", "About"),
    "audit_via": ("途径", "By"),
    "audit_erased": ("明细已按规定删除", "the detail was erased by rule"),
    "audit_sample": ("抽样条数", "Sample of"),
    "audit_sample_hint": ("至多 {most}，须写种子", "at most {most}, with a seed"),
    "audit_seed": ("种子", "Seed"),
    "audit_drawn": ("以种子“{seed}”从前 {upto} 行中符合条件的行里抽 {count} 行：按 SHA-256(种子, 0x00, 行号) 排序取最前。", "{count} rows drawn with the seed “{seed}” from those of the first {upto} that match: the first by SHA-256(seed, 0x00, number of the row)."),
    "audit_again": ("同样的抽样", "The same draw"),
    "audit_since": ("自哪天起", "From"),
    "audit_until": ("到哪天止（含）", "Until (that day too)"),
    "audit_action_hint": ("如 settlement 或 settlement.act", "such as settlement or settlement.act"),
}  # fmt: skip

TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of these pages by language and key."""
NAMES = tuple(_TABLE)
