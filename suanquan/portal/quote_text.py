"""Sentences of the page that says what a run would cost, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.work_text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "quote_note": ("填三项即可：用多少卡、什么卡、多久。按现在的价目和券算，与用后的扣减用同一算法；不记录，也不预占。", "Three things will do: which cards, how many, how long. By today's prices and vouchers, in the way in which usage is debited; nothing is recorded or held."),
    "quote_account": ("哪个账号", "Which account"),
    "quote_none": ("本单位还没有账号与用量相关联，不能预估。请算力中心把账号归到本单位。", "No account is bound to you, so that nothing can be estimated: have the computing centre bind your account."),
    "quote_model": ("卡型", "Card model"),
    "quote_count": ("几张卡", "How many cards"),
    "quote_count_hint": ("至多三位小数，如 8 或 0.5", "at most three decimals, such as 8 or 0.5"),
    "quote_hours": ("多少小时", "How many hours"),
    "quote_hours_hint": ("至多三位小数，如 12 或 1.5", "at most three decimals, such as 12 or 1.5"),
    "quote_start": ("何时开始（上海时间，不填为现在）", "From when (Shanghai time; now if left open)"),
    "quote_button": ("预估", "Estimate"),
    "quote_result": ("预估结果", "Estimate"),
    "quote_total": ("费用（元）", "Cost (CNY)"),
    "quote_in_kind": ("实物券抵扣的部分（元）", "Paid in kind by vouchers (CNY)"),
    "quote_self": ("自付（元）", "Paid by yourself (CNY)"),
    "quote_enough": ("够不够", "Is it enough"),
    "quote_yes": ("够：券全部抵扣", "Yes: vouchers pay for all of it"),
    "quote_no": ("不够：券能付到 {at}（用 {hours} 小时），其余自付", "No: vouchers pay until {at} (for {hours} hours), the rest is paid by yourself"),
    "quote_nothing": ("没有能抵扣的券，全部自付", "No voucher pays for it: all of it is paid by yourself"),
    "quote_card_hours": ("卡时", "GPU-hours"),
    "quote_compute": ("算力量（PFLOPS·h，FP16 稠密）", "Compute (PFLOPS·h, FP16 dense)"),
    "quote_parts": ("各券抵扣多少", "What each voucher pays"),
    "quote_offset": ("抵扣", "Pays"),
    "quote_hold": ("要为作业留住额度，请把券码交给算力中心预占。", "To keep the amount for a job, show the centre the voucher's code: it holds it."),
    "quote_bad_number": ("应为大于零、至多三位小数的数，如 8", "must be a number above zero with at most three decimals, such as 8"),
    "quote_bad_start": ("应写成 2026-11-22T09:00 的形式", "must be an instant such as 2026-11-22T09:00"),
    "quote_bad_account": ("请选择账号", "choose an account"),
    "quote_bad_model": ("请填写卡型", "enter a card model"),
}  # fmt: skip
TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
NAMES = frozenset(_TABLE)
