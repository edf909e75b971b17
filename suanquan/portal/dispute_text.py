"""Sentences of disputes on usage, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.work_text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "disputes_note": ("对用量明细提出的争议，新的在前。每一步都记入日志；裁定之前，这一条带有「有争议」的标记。", "Disputes on lines of usage, newest first. Each step is in the log; until it is decided the line is marked as disputed."),
    "no_disputes": ("还没有争议。可在「我的用量」里对一条用量提出。", "No disputes so far. One is opened on a line of the usage."),
    "no_disputes_of_state": ("没有这种状态的争议。", "No dispute is in this state."),
    "more_disputes": ("更早的争议", "Earlier disputes"),
    "until_when": ("最迟哪天", "Until"),
    "dispute_no": ("争议号", "Dispute"),
    "dispute_now_open": ("待答复", "to be answered"),
    "dispute_now_answered": ("已答复，待裁定", "answered, to be decided"),
    "dispute_now_upheld": ("成立", "upheld"),
    "dispute_now_refused": ("不成立", "not upheld"),
    "dispute_did_open": ("提出", "opened"),
    "dispute_did_answered": ("答复", "answered"),
    "dispute_did_upheld": ("裁定成立", "upheld"),
    "dispute_did_refused": ("裁定不成立", "not upheld"),
    "dispute_with": ("主管部门、财政或项目经办", "the department, finance or programme officers"),
    "dispute_no_limit": ("没有规定期限", "no limit is set"),
    "dispute_next_open": ("答复", "an answer"),
    "dispute_next_answered": ("由未参与的另一人裁定；成立的另行更正用量", "a decision by somebody who took no part; if it is upheld, the usage is corrected"),
    "dispute_steps": ("经过", "What was done"),
    "dispute_take": ("办理", "Act"),
    "dispute_act_answer": ("答复", "Answer"),
    "dispute_act_uphold": ("裁定成立", "Uphold"),
    "dispute_act_refuse": ("裁定不成立", "Do not uphold"),
    "dispute_act_missing": ("请选择怎样办理", "choose what to do"),
    "dispute_source": ("来源", "Source"),
}  # fmt: skip

TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of these pages by language and key."""
NAMES = tuple(_TABLE)
