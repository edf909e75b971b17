"""An Excel workbook as tests read it: the cells of each sheet with what kind they are, from the file's own XML."""

import io
import re
import xml.etree.ElementTree as ET
import zipfile

_NS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read(data):
    """`{sheet: rows}`; a cell is a text, or for a number `("n", its digits as stored)`. A formula fails the test."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        shared = []
        if "xl/sharedStrings.xml" in archive.namelist():
            strings = ET.fromstring(archive.read("xl/sharedStrings.xml"))
            shared = ["".join(part.text or "" for part in one.iter(f"{_NS}t")) for one in strings]
        book = ET.fromstring(archive.read("xl/workbook.xml"))
        names = [sheet.get("name") for sheet in book.iter(f"{_NS}sheet")]
        return {
            name: _rows(ET.fromstring(archive.read(f"xl/worksheets/sheet{at}.xml")), shared)
            for at, name in enumerate(names, 1)
        }


def _rows(sheet, shared):
    assert sheet.find(f".//{_NS}f") is None, "a formula"
    return [[_cell(cell, shared) for cell in row] for row in sheet.iter(f"{_NS}row")]


def _cell(cell, shared):
    kind, value = cell.get("t", "n"), cell.find(f"{_NS}v")
    if kind == "inlineStr":
        text = "".join(part.text or "" for part in cell.iter(f"{_NS}t"))
        return re.sub(
            "_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), text
        )  # ST_Xstring: what XML cannot hold
    if kind == "s":
        return shared[int(value.text)]
    return ("n", value.text)
