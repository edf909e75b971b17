"""Tables as PDF by typst, in the font of the decision letters; no character without a glyph leaves the house."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import typst

from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.letters.glyphs import missing, strings
from suanquan.letters.render import FAMILY, covered, fonts_of
from suanquan.portal.figures import grouped
from suanquan.portal.files.sheet import NUMBER, Book, Sheet

TEMPLATE = Path(str(resources.files("suanquan.portal") / "files" / "tables.typ"))
STANDARD: Final = "a-2a"
CELLS_MAX = 24_000
"""About 2,000 rows of twelve columns: as many as a person leafs through, set in some seconds."""
PAGE_WORDS = {"zh": ["第", "页，共", "页"], "en": ["Page", "of", ""]}


def made(book: Book, at_s: int, fonts: Sequence[Path]) -> bytes:
    """PDF/A of the tables, dated `at_s` (POSIX seconds); `fonts` are asked in order for what ours lacks.

    Raises:
        ServiceError: `export-too-long`, `glyph-missing`, or `export-failed` where typst refuses.

    """
    _check_size(book)
    data: dict[str, Any] = {
        "title": book.title,
        "mark": book.mark,
        "language": book.language,
        "page": PAGE_WORDS[book.language],
        "about": [list(pair) for pair in book.about],
        "sheets": [_sheet(sheet) for sheet in book.sheets],
    }
    if lacking := missing(strings(data), covered(fonts)):
        codes = " ".join(f"U+{ord(one):04X}" for one in lacking)
        raise ServiceError(
            "glyph-missing",
            f"字体中没有“{lacking}”（{codes}）；请把含这些字的字体（.otf 或 .ttf）放入数据目录的 fonts 文件夹，或导出 Excel",
            f"no font has {lacking!r} ({codes}); put a font with them into fonts of the home, or export to Excel",
            kind=Kind.UNAVAILABLE,
        )
    loaded = fonts_of(fonts)
    families = [FAMILY, *(name for name in loaded.families() if name != FAMILY)]
    inputs = {"data": json.dumps(data, ensure_ascii=False), "fonts": json.dumps(families, ensure_ascii=False)}
    try:
        compiler = typst.Compiler(TEMPLATE.read_bytes(), font_paths=loaded, sys_inputs=inputs)
        set_ = compiler.compile(format="pdf", timestamp=at_s, pdf_standards=[STANDARD])
    except typst.TypstError as fault:
        raise ServiceError(
            "export-failed",
            "表格没有排成 PDF，请导出 Excel 或 CSV",
            f"the tables could not be set: {fault}",
            kind=Kind.UNAVAILABLE,
        ) from fault
    assert isinstance(set_, bytes)
    return set_


def _check_size(book: Book) -> None:
    cells = sum(len(sheet.rows) * len(sheet.heads) for sheet in book.sheets)
    if cells > CELLS_MAX:
        rows = sum(len(sheet.rows) for sheet in book.sheets)
        raise too_long(rows)


def too_long(rows: int) -> ServiceError:
    """The refusal of a PDF that nobody would leaf through."""
    return ServiceError(
        "export-too-long",
        f"{rows:,} 行太长，不能排成 PDF（至多 {CELLS_MAX:,} 格）；请缩小筛选范围或少选几列，或导出 Excel、CSV",
        f"{rows:,} rows are too many for a PDF (at most {CELLS_MAX:,} cells); narrow the filter, or export to Excel or CSV",
    )


def _sheet(sheet: Sheet) -> dict[str, Any]:
    numbers = [head.number for head in sheet.heads]
    return {
        "title": sheet.title,
        "heads": [head.text for head in sheet.heads],
        "numbers": numbers,
        "rows": [
            [
                grouped(cell) if number and NUMBER.fullmatch(cell) else cell
                for cell, number in zip(row, numbers, strict=True)
            ]
            for row in sheet.rows
        ],
    }
