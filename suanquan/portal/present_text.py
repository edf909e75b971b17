"""Sentences of the counter, where a centre looks at vouchers, and of single holds, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.office_text import TEXTS as _OFFICE
from suanquan.portal.work_text import TEXTS as _COMMON

_SCAN = (
    "scan",
    "scan_note",
    "scan_start",
    "scan_stop",
    "scan_picture",
    "scan_found",
    "scan_denied",
    "scan_aim",
    "scan_nothing",
)
_TABLE = {
    # key: (Chinese, English)
    "counter_note": ("把持券人的二维码对准镜头，或粘贴券码，看这张券在本中心能不能用、最多可预占多少。查看不写入任何内容，也不会预占。", "Point the camera at the holder's code or paste it, to see whether the voucher is good at this centre and how much may be held. Looking writes nothing and holds nothing."),
    "counter_code": ("券码（SQ1: 开头的文字，或整段令牌）", "Voucher code (the text that begins with SQ1:, or the whole token)"),
    "counter_amount": ("本次需要多少（元，或 PFLOPS·h，按券的单位；可不填）", "How much is needed (CNY or PFLOPS·h, as the voucher counts; may stay empty)"),
    "counter_look": ("查看能不能用", "See whether it can be used"),
    "counter_usable": ("可用", "It can be used"),
    "counter_unusable": ("不可用", "It cannot be used"),
    "counter_most": ("最多可预占", "May be held at most"),
    "counter_until": ("有效至", "Valid until"),
    "counter_unbound": ("这张券没有绑定持券人的密钥，不能预占；用量按账号归到该单位的，由计量自动抵扣。", "This voucher is bound to no key of its holder and cannot be held; usage of accounts that are bound to the company is paid from it by metering."),
    "counter_hold": ("预占", "Hold"),
    "counter_prove": ("预占须由持券人签名：把下面的命令交给持券人，在其自己的电脑上运行（不联网），再把得到的凭证粘贴在这里。nonce 与凭证都在 {seconds} 秒内有效，过时请重新查看。", "A hold needs its holder's signature: the holder runs the command below on a machine of its own, without a network, and what it prints is pasted here. Nonce and proof are good for {seconds} seconds; look again after that."),
    "counter_proof": ("持券人的出示凭证", "The holder's proof"),
    "counter_key": ("持券人私钥.pem", "holder-key.pem"),
    "counter_hold_button": ("按凭证预占", "Hold what the proof says"),
    "counter_follows": ("预占之后：这笔额度留给本中心，别处用不了；作业的用量从中核销；用不完的到期自动退回，也可以提前释放。", "After that: the amount is set aside for this centre and for nobody else; usage of the job is paid from it; what is not used goes back at the end, or earlier when it is released."),
    "counter_open": ("这张券在本中心的预占", "Holds of this voucher at this centre"),
    "counter_none_open": ("这张券在本中心没有预占。", "This centre holds nothing of this voucher."),
    "counter_empty": ("请粘贴券码，或把二维码对准镜头", "paste the code of a voucher, or point the camera at it"),
    "counter_number": ("这是券号，不是券码：券号不能证明对方持有这张券。请持券人在“我的算力券”里亮码", "this is the number of a voucher and no code, which proves nothing: have its holder show the code under “My vouchers”"),
    "counter_no_code": ("这不是券码：券码以 SQ1: 开头，或是由两个点分成三段的令牌。收据和对账单请到“核验”页", "this is no code of a voucher, which begins with SQ1: or is a token of three parts; receipts and statements are checked on the page Verify"),
    "hold_title": ("预占", "Hold"),
    "hold_next": ("接下来", "What follows"),
    "hold_next_open": ("到期时没有用完的部分自动退回持券人；作业的用量从中核销。不再需要的，现在就可以释放。", "What is not used when it ends goes back to its holder; usage of the job is paid from it. What is no longer needed can be released now."),
    "hold_next_captured": ("已核销的部分进入下一期结算。", "What was captured is settled in the next period."),
    "hold_next_released": ("没有用完的部分已退回持券人。", "What was left went back to its holder."),
    "hold_next_expired": ("到期时没有用完的部分已退回持券人；仍需要的，请持券人重新出示。", "What was left at its end went back to its holder; if it is still needed, have the holder present again."),
    "hold_captured_sum": ("已核销", "Captured"),
    "hold_release": ("释放余下的 {amount}", "Release the {amount} left"),
    "hold_release_note": ("释放后不能恢复；再要用，须持券人重新出示。", "A release is for good: to use it after all, the holder presents again."),
    "hold_all": ("全部预占", "All holds"),
}  # fmt: skip

TEXTS = {
    language: dict(_COMMON[language])
    | {key: _OFFICE[language][key] for key in _SCAN}
    | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of these pages by language and key."""
NAMES = tuple(_TABLE)
