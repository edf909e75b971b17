"""Sentences of spreadsheets that are looked through before they count, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.work_text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "sheets_note": ("下载模板、填好、上传，先预检再生效：有错逐格指出，在您确认之前什么都不写入。", "Download a template, fill it in and send it. It is looked through first: each fault is named by its cell, and nothing is written before you confirm."),
    "sheets_none": ("您的角色没有可以导入的表格。", "There is no spreadsheet for your role to bring in."),
    "sheet_energy": ("每月用电（PUE 与绿电）", "Electricity by month (PUE and green power)"),
    "sheet_inventory": ("算力卡清单", "Inventory of cards"),
    "sheet_vouchers": ("批量发券", "Vouchers to issue"),
    "sheet_parties": ("单位之间的关联", "Ties between parties"),
    "sheet_about_energy": ("每月一行。已填报过的月份作为更正，前后两次都保留。", "A row for each month. A month that was reported before is corrected, and both readings stay."),
    "sheet_about_inventory": ("每张卡一行，须列出该中心全部的卡：整份清单取代上一份，容量随之重算。", "A row for each card, and all cards of the centre: the list replaces the one before, and capacity follows from it."),
    "sheet_about_vouchers": ("每张券一行，至多 250 张；每张写明所支持的合同，或没有合同的理由。要么全部发放，要么一张不发。", "A row for each voucher, at most 250; each names the contract that it supports, or why there is none. All are issued, or none."),
    "sheet_about_parties": ("每条关联一行。内容只以摘要保存，供核查比对。", "A row for each tie. Values are kept as digests alone, for the checks to compare."),
    "template": ("下载模板：", "Download the template:"),
    "sheet_columns": ("各列", "Columns"),
    "sheet_column": ("列", "Column"),
    "sheet_accepts": ("可填", "What it takes"),
    "sheet_example": ("例", "Example"),
    "send_sheet": ("上传并预检", "Send and look through"),
    "sheet_file": ("表格文件", "Spreadsheet"),
    "sheet_file_hint": (".xlsx 或 .csv（UTF-8 或 GB18030），至多 4 MiB、10,000 行；只读第一张可见的工作表", ".xlsx or .csv (UTF-8 or GB18030), at most 4 MiB and 10,000 rows; the first visible sheet is read"),
    "sheet_not_chosen": ("请选择文件；换页或重新登录之后，文件须重新选择，其余内容都还在", "Choose the file; after a new page or sign-in it has to be chosen again, while all else is still here"),
    "ask_centre": ("算力中心", "Computing centre"),
    "ask_evidence": ("证据文件的 SHA-256", "SHA-256 of the evidence"),
    "ask_since": ("没有写启用日的卡，自哪天起", "From which day on, for cards that name none"),
    "ask_scheme": ("方案", "Scheme"),
    "ask_origin": ("来源（登记簿、申请材料等）", "Where it is known from (a register, an application)"),
    "evidence_file": ("或选择证据文件，只取其 SHA-256", "or choose the evidence: its SHA-256 alone is taken"),
    "draft_title": ("预检：{sheet}", "Looked through: {sheet}"),
    "draft_note": ("文件 {name}，工作表 {sheet}，{time} 上传。还没有写入任何内容。", "File {name}, sheet {sheet}, sent {time}. Nothing has been written."),
    "draft_ok": ("{rows} 行都可以导入。", "All {rows} rows can be brought in."),
    "draft_faults": ("有 {count} 处要改，改好后请重新上传；在此之前什么都不会写入。", "To be changed: {count}. Mend the table and send it again; nothing is written before that."),
    "draft_first": ("只列前 {shown} 处。", "The first {shown} are listed."),
    "fault_cell": ("单元格", "Cell"),
    "fault_value": ("现为", "It holds"),
    "fault_wrong": ("哪里不对", "What is wrong"),
    "fault_accepted": ("可填", "What is accepted"),
    "download_faults": ("下载标注了错误的表格（.xlsx）", "Download the table with its faults as comments (.xlsx)"),
    "good_to_know": ("请留意", "Worth knowing"),
    "rows_read": ("读到的内容", "What was read"),
    "rows_part": ("只列前 {shown} 行，共 {all} 行。", "The first {shown} of {all} rows."),
    "row_number": ("行", "Row"),
    "confirm_sheet": ("导入 {rows} 行", "Bring in {rows} rows"),
    "send_another": ("上传另一份", "Send another file"),
    "sheet_done": ("已导入 {rows} 行，{time}。同一份不会再导入第二次。", "{rows} rows were brought in, {time}. The same file does not count twice."),
    "sheet_refused": ("没有导入：{why}", "It was not brought in: {why}"),
    "draft_unknown": ("没有这份上传的表格；没有导入的 7 天后不再保留。", "There is no such spreadsheet; they are kept for 7 days."),
    "template_note": ("填写说明", "How to fill it in"),
    "template_fill": ("从第 2 行起填写；列的次序可变，表头不可改；不要合并单元格，不要公式。", "Fill in from row 2 on; columns may be in any order, headings stay as they are; no merged cells and no formulas."),
    "template_need": ("必填", "needed"),
    "template_may": ("可不填", "may be empty"),
}  # fmt: skip

TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of these pages by language and key."""
NAMES = tuple(_TABLE)
