"""Papers as they are uploaded: their kind by content, and what no office should open, refused before anything is expanded.

Only what lies open is read: the first bytes, the directory of an archive, and its list of types up to a bound.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile

ENTRIES_MAX = 2_000
EXPANDED_MAX = 64 * 1024 * 1024
"""Bytes of all files in an archive once they are expanded."""
RATIO_MAX = 100
"""How many times its size an archive may grow; a spreadsheet grows about ten times (the smallest bombs a thousand times)."""
TYPES_MAX = 256 * 1024
PIXELS_MAX = 100_000_000
_BY_NAME = {
    "pdf": "pdf",
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "xlsx": "zip",
    "docx": "zip",
    "ofd": "zip",
    "csv": "text",
    "txt": "text",
    "json": "text",
}
_MACROS = re.compile(r"vbaproject\.bin|macrosheets/|activex/|oleobject|embeddings/", re.IGNORECASE)
_NESTED = re.compile(r"\.(zip|gz|7z|rar|xlsx|docx|jar|exe|js|vbs|bat|cmd|lnk)$", re.IGNORECASE)
_ACTIVE_PDF = (b"/JavaScript", b"/JS ", b"/JS(", b"/Launch")

Fault = tuple[str, str]
"""What is wrong, in Chinese and in English."""


def fault_of(name: str, body: bytes) -> Fault | None:
    """Why a paper is refused; None where it may be kept. Its kind is what its first bytes say, and its name must agree."""
    kind = _kind(body)
    wanted = _BY_NAME.get(name.rpartition(".")[2].lower()) if "." in name else None
    if kind is None or wanted is None:
        kinds = "、".join(_BY_NAME)
        return f"只收 {kinds}", f"must be one of {', '.join(_BY_NAME)}"
    if kind != wanted:
        return "内容与文件名的类型不符", "has another type than its name says"
    if kind == "zip":
        return _archive_fault(body)
    if kind == "png":
        return _png_fault(body)
    if kind == "pdf" and any(mark in body for mark in _ACTIVE_PDF):
        return "PDF 含脚本或启动动作", "is a PDF with a script or a launch action"
    return None


def _kind(body: bytes) -> str | None:
    for mark, kind in (
        (b"%PDF", "pdf"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"PK\x03\x04", "zip"),
    ):
        if body.startswith(mark):
            return kind
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    shows = all(char.isprintable() or char in "\r\n\t\u3000\xa0" for char in text)
    return "text" if shows and not text.lstrip().startswith("<") else None


def _png_fault(body: bytes) -> Fault | None:
    if len(body) < 24:
        return "图片不完整", "is a broken picture"
    width, height = struct.unpack(">II", body[16:24])
    return ("图片过大", f"has more than {PIXELS_MAX:,} pixels") if width * height > PIXELS_MAX else None


def _archive_fault(body: bytes) -> Fault | None:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return _directory_fault(archive.infolist(), len(body)) or _types_fault(archive)
    except (zipfile.BadZipFile, ValueError, RuntimeError, OSError, EOFError, zipfile.LargeZipFile):
        return "压缩内容损坏", "is a broken archive"


def _directory_fault(entries: list[zipfile.ZipInfo], size: int) -> Fault | None:
    """What the directory gives away. Files that overlap come to more than there is."""
    expanded = sum(entry.file_size for entry in entries)
    if len(entries) > ENTRIES_MAX or expanded > min(EXPANDED_MAX, RATIO_MAX * size):
        return "展开后过大（压缩炸弹）", "would expand to far too much"
    if sum(entry.compress_size for entry in entries) > size or len({e.filename for e in entries}) < len(entries):
        return "压缩内容相互重叠或重名", "has files that overlap or share a name"
    for entry in entries:
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            return "含越出目录的文件名", "has a file name that leaves its folder"
        if entry.flag_bits & 0x1:
            return "已加密，无法核对", "is encrypted, so that nobody can check it"
        if _MACROS.search(entry.filename):
            return "含宏、控件或嵌入对象", "has macros, controls or embedded objects"
        if _NESTED.search(entry.filename):
            return "内含另一个压缩包或程序", "holds another archive or a program"
    return None


def _types_fault(archive: zipfile.ZipFile) -> Fault | None:
    """Office files say in `[Content_Types].xml` that they have macros, whatever their parts are called."""
    if "[Content_Types].xml" not in archive.namelist():
        return None
    with archive.open("[Content_Types].xml") as file:
        types = file.read(TYPES_MAX + 1)
    if len(types) > TYPES_MAX or b"macroenabled" in types.lower().replace(b"\x00", b"") or b"<!DOCTYPE" in types:
        return "含宏或异常的类型清单", "has macros, or a list of types like none"
    return None
