"""Sentences of a form that came too late, and of what was done meanwhile."""

from __future__ import annotations

from suanquan.portal.work_text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "stale_title": ("情况已经变了", "Things have changed"),
    "stale_lead": (
        "您打开这一页之后，别人（或您在另一个窗口）办理过。这次提交没有办理，也没有写入任何内容。",
        "Since this page was shown, somebody else, or you in another window, has acted. What you sent was not acted on, and nothing was written.",
    ),
    "stale_what": ("其间办理了什么", "What was done meanwhile"),
    "stale_nobody": ("其间的办理记录看不到。", "What was done meanwhile cannot be shown."),
    "stale_see": ("查看现在的情况", "See how it stands now"),
    "stale_send": ("看过了，按现在的情况提交", "I have seen it: send this all the same"),
    "stale_next": (
        "先看现在的情况，再决定。仍要提交的，所填内容照下面原样提交；办理时还会再核对一次。",
        "Look how it stands now, and decide. What is sent all the same is what stands below, and it is looked at once more.",
    ),
    "round_call": ("发起本轮", "called the round"),
    "round_fund": ("调整本轮预算", "changed the round's budget"),
    "round_settle": ("结清本轮", "settled the round"),
    "dispute_state_open": ("提出争议", "disputed"),
    "dispute_state_answered": ("答复争议", "answered the dispute of"),
    "dispute_state_upheld": ("争议成立", "upheld the dispute of"),
    "dispute_state_refused": ("争议不成立", "refused the dispute of"),
    "fact_kind_payee": ("填写收款信息", "gave details of payee"),
    "fact_kind_confirm": ("复核收款信息", "confirmed details of payee"),
    "fact_kind_suspend": ("暂停付款", "suspended payments to"),
    "fact_kind_resume": ("恢复付款", "resumed payments to"),
    "did_account.make": ("开设账户或授予角色", "made the account, or gave it a role"),
    "did_account.end": ("停用账户", "ended the account"),
    "did_account.take_up": ("设置口令，开始使用", "set a password and took the account up"),
    "did_clock.set": ("拨动沙箱时钟", "set the sandbox's clock"),
    "did_finding": ("复核风险发现：", "reviewed the finding:"),
    "energy_month": ("填报绿电与用电", "reported energy of"),
}  # fmt: skip
TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
NAMES = frozenset(_TABLE)
