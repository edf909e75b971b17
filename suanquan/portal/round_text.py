"""Sentences of the page of rounds, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.work_text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "rounds_note": ("每一轮从公布的开始日到截止日受理，到日自动开始和截止；预算在发布时从年度预算留出，了结后未用的退回。", "A round takes applications from its first to its last day, and opens and closes by them. Its budgets are set aside when it is called; what is not used goes back once it is ended."),
    "no_rounds_yet": ("还没有发布过申报通知。", "No call was published yet."),
    "round_state": ("今天", "Today"),
    "round_budget": ("预算", "Budgets"),
    "round_called": ("已公布，未开始", "called, not open yet"),
    "round_open": ("受理中", "open"),
    "round_closed": ("已截止，未了结", "closed, not ended"),
    "round_ended": ("已了结", "ended"),
    "round_procedure": ("流程", "Procedure"),
    "round_title": ("通知标题", "Title of the call"),
    "round_decision": ("一年内再次申报的决定文号", "Decision for a further round of the year"),
    "round_budgets_of": ("{procedure}：各条预算，至少填一项，按元或所注单位填写", "{procedure}: budgets, at least one, in CNY or the unit that stands beside it"),
    "in_yuan": ("（按元填写）", "(type CNY)"),
    "call_round": ("发布申报通知", "Publish a call"),
    "fund_round": ("追加预算", "Add to the budgets"),
    "allocate_round": ("按方案排序，列入计划", "Plan by the scheme's order"),
    "settle_round": ("了结本轮，未用的退回年度预算", "End the round: what nobody got goes back"),
    "which_round": ("哪一轮", "Which round"),
    "no_round_for": ("目前没有可办的轮次。", "There is no round for it now."),
    "round_basis": ("依据（文号或会议纪要）", "Authority: a document or minutes"),
}  # fmt: skip

TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of this page by language and key."""
NAMES = tuple(_TABLE)
