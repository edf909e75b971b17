"""Sentences of what all pages share: files, columns, units, views, charts and forms, in Chinese and English side by side."""

from __future__ import annotations

TABLE = {
    # key: (Chinese, English)
    "export_language": ("zh", "en"),
    "export_page": ("导出本页的表：", "Tables of this page:"),
    "export_list": ("导出：", "Export:"),
    "export_csv": ("CSV", "CSV"),
    "export_xlsx": ("Excel", "Excel"),
    "export_pdf": ("PDF", "PDF"),
    "export_as_of": ("时点", "When"),
    "export_address": ("来自页面", "From the page"),
    "export_exact": ("口径", "Figures"),
    "export_exact_note": ("与屏幕所见相同：同样的行、列、次序与单位；列表含全部各页。", "As on the screen: the same rows, columns, order and unit; of a list, every part."),
    "list_of_page": ("本页列表", "List of this page"),
    "found": ("共 {count} 条", "{count} in all"),
    "found_here": ("本页 {count} 条", "{count} on this page"),
    "density": ("紧凑", "Compact"),
    "density_usual": ("正常间距", "Usual spacing"),
    "columns_button": ("显示所选列", "Show these columns"),
    "from_start": ("回到第一页", "First page"),
    "switch_wan": ("以万元显示", "Show in 10,000 CNY"),
    "switch_yuan": ("以元显示", "Show in CNY"),
}  # fmt: skip
