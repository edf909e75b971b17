"""Sentences of acting on several rows together, and of spreadsheets that are looked through before they count."""

from __future__ import annotations

from suanquan.portal.work_text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "bulk_applications": ("批量办理 · 申请", "Act on several applications"),
    "bulk_quarantine": ("批量办理 · 隔离的用量", "Act on several usage records in quarantine"),
    "bulk_findings": ("批量办理 · 风险发现", "Act on several findings"),
    "bulk_settlements": ("批量办理 · 结算批次", "Act on several settlement batches"),
    "bulk_note": ("勾选若干条，选择办理什么，先预览：逐条说明将会怎样，或为什么不能办。确认之后逐条办理，一条办不成不影响其他；每条各有审计记录。一次最多 {most} 条。", "Tick rows, choose what to do, and preview it: each row says what will happen, or why it cannot. Once you confirm, rows are acted on one by one; one that is refused stops no other, and each has its own row of the audit log. At most {most} at once."),
    "back_to_rows": ("返回列表", "Back to the list"),
    "nothing_to_do": ("没有可批量办理的事项。", "Nothing waits that several can be acted on together."),
    "no_deeds": ("您的角色在这里没有可批量办理的事项。", "There is nothing here for your role to act on together."),
    "tick": ("勾选", "Tick"),
    "tick_row": ("勾选 {id}", "Tick {id}"),
    "tick_all": ("全选本页", "Tick all of this page"),
    "tick_none": ("全不选", "Tick none"),
    "row_id": ("编号", "Number"),
    "row_what": ("内容", "What"),
    "row_whose": ("对象", "Whose"),
    "row_stands": ("目前", "Stands"),
    "row_since": ("从哪天起", "Since"),
    "row_yuan": ("金额（元）", "Amount (CNY)"),
    "choose_deed": ("办理什么", "What to do"),
    "field_for": ("用于：{deeds}", "for: {deeds}"),
    "preview": ("预览", "Preview"),
    "preview_title": ("预览：{deed}", "Preview: {deed}"),
    "preview_note": ("还没有办理。下面是逐条试办的结果，试办不留任何记录。", "Nothing has been done. Each row was tried out as it would be done; trying leaves nothing behind."),
    "preview_able": ("{count} 条可以办理", "{count} can be acted on"),
    "preview_unable": ("{count} 条不能办理，确认后也不会办", "{count} cannot, and will not be"),
    "preview_none": ("所选各条都不能办理。", "None of the chosen rows can be acted on."),
    "preview_sum": ("合计 {amount} 元", "{amount} CNY in all"),
    "will_be": ("将会怎样", "What will happen"),
    "will_do": ("将“{deed}”", "“{deed}”"),
    "confirm_deed": ("{deed} {count} 条", "{deed}: {count}"),
    "back_to_list": ("返回修改", "Go back and change"),
    "run_title": ("办理结果：{deed}", "What was done: {deed}"),
    "run_note": ("由 {person} 于 {time} 开始，逐条办理。", "Begun by {person} at {time}, row by row."),
    "run_counts": ("办成 {done} 条，未办成 {refused} 条，未轮到 {waiting} 条。", "{done} done, {refused} refused, {waiting} not reached."),
    "run_stopped": ("系统在办理中途停过：未轮到的没有办理，可重新勾选。", "The service stopped while it acted: rows that were not reached were not acted on; tick them again."),
    "run_result": ("结果", "Result"),
    "run_done": ("已办理", "done"),
    "run_waiting": ("未轮到", "not reached"),
    "runs": ("我最近的批量办理", "What I did together of late"),
    "run_unknown": ("没有这次批量办理的记录。", "There is no record of this."),
    "problem_ticks": ("请至少勾选一条", "Tick at least one row"),
    "problem_too_many": ("一次最多 {most} 条，现勾选了 {count} 条", "At most {most} at once; {count} are ticked"),
    "problem_deed": ("请选择办理什么", "Choose what to do"),
    "problem_field": ("“{deed}”须填写“{field}”", "“{deed}” needs “{field}”"),
}  # fmt: skip

TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of these pages by language and key."""
NAMES = tuple(_TABLE)
