"""Texts of the box that takes everything."""

from __future__ import annotations

from suanquan.portal.text import TEXTS as _FRAME

_TABLE = {
    # key: (Chinese, English)
    "seek_lead": (
        "券号、券码、收据、申请编号、批次号、对账单号、冻结编号、统一社会信用代码，或单位、项目的名称，都可以放进来；带着空格、引号或标签也认得。",
        "Numbers and codes of vouchers, receipts, numbers of applications, batches, statements and holds, unified social credit codes, or names of companies and projects: put in any of them, with blanks, quotation marks or labels if need be.",
    ),
    "seek_box": ("要找的编号、券码、收据或名称", "Number, code, receipt or name"),
    "seek_code_cut": (
        "这像是一段券码，但不完整。请把整段券码粘贴到下面的框里。",
        "This looks like a part of a voucher's code. Paste all of it into the box below.",
    ),
    "seek_nothing": ("还没有写下要找什么。请粘贴编号、券码或收据，或写下名称。", "Nothing is given yet. Paste a number, a code or a receipt, or write a name."),
    "seek_number": (
        "{value} 是 32 位的编号（券号、冻结编号或分录编号）。没有您能看到的这个编号：请核对每一位；别的单位的编号只有它自己和主管部门能看到。",
        "{value} is a number of 32 digits (of a voucher, a hold or an entry). There is none that you may see: compare each digit; others' numbers are for them and the authority.",
    ),
    "seek_application": (
        "{value} 是申请编号。没有您能看到的这个申请：请核对末尾 4 位；别的单位的申请只有它自己和主管部门能看到。",
        "{value} is the number of an application. There is none that you may see: compare its last 4 digits; others' applications are for them and the authority.",
    ),
    "seek_batch": (
        "{value} 是结算批次号。没有您能看到的这个批次：请核对末尾 4 位；批次只有收款方和主管部门能看到。",
        "{value} is the number of a settlement batch. There is none that you may see: compare its last 4 digits; a batch is for its payee and the authority.",
    ),
    "seek_month": ("{value} 是对账单号（中心/账户/月份）。登录后可以查看本单位的对账单。", "{value} is the number of a statement (centre/account/month). Sign in to see your own."),
    "seek_company": ("{value} 是统一社会信用代码。一个单位的事，只有它自己和主管部门能看到。", "{value} is a unified social credit code. What is a company's is for it and the authority."),
    "seek_words": ("“{value}”不像任何编号。登录后，可以按名称在自己能看到的申请和账户里找。", "“{value}” is no number of ours. Sign in to look for names in what you may see."),
    "seek_login": ("登录后再找一次", "Sign in and look again"),
}  # fmt: skip
TEXTS = {
    language: dict(_FRAME[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of this page by language and key."""
