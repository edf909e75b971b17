"""Sentences of the pages on which somebody applies, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.text import TEXTS as _COMMON

_TABLE = {
    # key: (Chinese, English)
    "ask_call": ("申报哪一轮、哪个方案？", "Which round and scheme do you apply to?"),
    "ask_company": ("申报单位", "Your company"),
    "ask_project": ("算力用在什么项目上？", "What project is the compute for?"),
    "project_hint": ("公示和证书上写的就是这个名称", "The public notice and the voucher say this name"),
    "ask_contract": ("与算力中心的合同", "Your contract with the computing centre"),
    "ask_amount": ("金额", "Amounts"),
    "yuan_hint": ("如 200000.00", "such as 200000.00"),
    "ask_check": ("核对所填内容，然后提交", "Check your answers, then send them"),
    "page_of": ("第 {number} 页，共 {count} 页", "Page {number} of {count}"),
    "go_on": ("继续", "Continue"),
    "go_back": ("上一页", "Back"),
    "to_check": ("保存，回到核对页", "Save and return to your answers"),
    "change": ("修改", "Change"),
    "not_given": ("未填", "not given"),
    "call_missing": ("请选择一轮", "Choose a round"),
    "contract_file_asked": ("合同文件已在“与算力中心的合同”一页填写，这里只问它的形式。", "The contract's file was asked for with the contract; here it is about its form alone."),
    "material_note": ("没有材料也可以继续，提交后再补正。", "You may go on without it and supply it once it is asked for."),
    "precheck_reasons": ("预检：按所填内容试算", "The check: what your answers come to"),
    "precheck_unsent": ("这里只试算，没有提交。", "This is computed only; nothing is sent yet."),
    "materials_open": ("提交后需要补正或人工核对的材料", "Materials that you will have to supply, or that a person looks at"),
    "materials_whole": ("材料齐全。", "The materials are complete."),
    "send_note": ("提交后由主管部门办理；所填内容不能再改，只能补正或撤回。", "Once sent, the department acts on it; what you said can be supplemented or withdrawn, and not changed."),
}  # fmt: skip

TEXTS = {
    language: dict(_COMMON[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
"""Texts of all pages by language and key."""
NAMES = tuple(_TABLE)
