"""Sentences of the inbox, and what kinds of notices are called."""

from __future__ import annotations

from suanquan.portal.text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "inbox_lead": ("告诉本单位、本中心或办公室的事，最近的在前。", "What your company, centre or office was told, newest first."),
    "inbox_unread": ("未读 {count} 条", "{count} unread"),
    "inbox_none": ("还没有通知。有事会自动出现在这里。", "Nothing yet. What happens will stand here by itself."),
    "inbox_new": ("新", "new"),
    "inbox_older": ("更早的", "Older ones"),
    "inbox_read": ("全部记为已读", "Mark all as read"),
    "inbox_when": ("时间", "When"),
    "inbox_kind": ("种类", "Kind"),
    "inbox_about": ("内容", "What"),
    "choice": ("我要收到什么", "What I want to be told"),
    "choice_note": (
        "按种类选择：另发邮件，或不进我的收件箱。别人的收件箱不受影响。",
        "By kind: by mail as well, or kept out of my inbox. Nobody else's inbox changes.",
    ),
    "choice_email": ("邮箱", "E-mail address"),
    "choice_email_hint": ("留空则不发邮件", "leave it empty for no mail"),
    "choice_mailed": ("发邮件", "By mail"),
    "choice_muted": ("不进收件箱", "Not in the inbox"),
    "choice_save": ("保存选择", "Keep the choice"),
    "choice_bad_email": ("邮箱应形如 name@example.cn，已填的选择没有丢。", "An address looks like name@example.cn; your choice is still here."),
    "channels": ("另发到哪里", "Where else it goes"),
    "channels_note": (
        "webhook、企业微信、钉钉通道由单位管理员、中心人员或运维登记；机器人每分钟至多 18 条，其间的合成一条。",
        "Webhooks and robots of WeCom and DingTalk are registered by admins, centres and operators; a robot gets 18 messages a minute at most, the rest as one.",
    ),
    "channels_page": ("登记和管理通道", "Register and manage channels"),
    "channels_none": ("没有通道。", "No channel."),
    "channel_way": ("方式", "Way"),
    "channel_url": ("地址", "Address"),
    "channel_kinds": ("种类", "Kinds"),
    "channel_all": ("全部", "all"),
    "channel_ended": ("已停用", "ended"),
    "kind_voucher.used": ("券用到一档", "a voucher is used up to a threshold"),
    "kind_voucher.expiring": ("券将到期", "a voucher is about to end"),
    "kind_voucher.issued": ("券已签发", "a voucher was issued"),
    "kind_voucher.suspended": ("券被中止", "a voucher is suspended"),
    "kind_voucher.resumed": ("券已恢复", "a voucher may be spent again"),
    "kind_voucher.revoked": ("券被撤销", "a voucher is revoked"),
    "kind_application.step": ("申报有进展", "an application moved on"),
    "kind_application.submitted": ("申报单位提交", "an applicant took a step"),
    "kind_application.objection": ("公示期收到异议", "an objection in public notice"),
    "kind_dispute.step": ("用量争议有进展", "a dispute on usage moved on"),
    "kind_application.notice_ended": ("公示期满", "a public notice ended"),
    "kind_decision.made": ("作出决定", "a decision was made"),
    "kind_claim.step": ("兑付申请有进展", "a claim moved on"),
    "kind_receipt.dispute": ("收据争议有进展", "a dispute of a receipt moved on"),
    "kind_voucher.reclaim": ("闲置额度收回", "idle amounts are taken back"),
    "kind_usage.amended": ("用量被更正", "usage was corrected"),
    "kind_quarantine.decided": ("隔离的记录已处理", "a record in quarantine was decided"),
    "kind_agent.key": ("代理密钥登记或停用", "an agents' key was registered or ended"),
    "kind_settlement.step": ("结算有进展", "a settlement moved on"),
    "kind_payee.waiting": ("收款信息待复核", "details of a payee wait"),
    "kind_statement.ready": ("对账单已出", "statements are ready"),
    "kind_quarantine.new": ("隔离区有新记录", "new records in quarantine"),
    "kind_gap.found": ("用量有缺口", "usage is lacking"),
    "kind_agent.silent": ("中心没有上报", "a centre does not report"),
    "kind_finding.raised": ("核查有新发现", "a check points something out"),
    "kind_budget.low": ("预算将用完", "a budget is nearly used up"),
    "kind_document.expiring": ("文件将期满", "a document is about to end"),
    "kind_channel.test": ("通道测试", "a test of a channel"),
}  # fmt: skip
TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
NAMES = frozenset(_TABLE)
