"""Uploaded papers: their kind by content, and bombs, macros and programs refused before anything is expanded."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from voucher.settlement.upload import PIXELS_MAX, fault_of

TYPES = b'<?xml version="1.0"?><Types><Override PartName="/xl/workbook.xml" ContentType="%s"/></Types>'
SHEET = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
MACRO = b"application/vnd.ms-excel.sheet.macroEnabled.main+xml"


def packed(files, *, stored=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


def sheet(kind=SHEET, **more):
    return packed({"[Content_Types].xml": TYPES % kind, "xl/workbook.xml": b"<workbook/>", **more})


def png(width, height):
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


TAKEN = {
    "发票.pdf": b"%PDF-1.7 ...",
    "扫描.PNG": png(2000, 3000),
    "照片.jpeg": b"\xff\xd8\xff\xe0" + bytes(100),
    "明细.xlsx": sheet(),
    "合同.ofd": packed({"OFD.xml": b"<ofd/>"}),
    "清单.csv": "\ufeff作业,金额\r\n1,2\r\n".encode(),
}


@pytest.mark.parametrize("name", TAKEN)
def test_papers_of_the_office_are_taken(name):
    """PDF, pictures, spreadsheets, documents, OFD and tables."""
    assert fault_of(name, TAKEN[name]) is None


def lying(body):
    """An archive whose directory says that its files are small."""
    at = body.index(b"PK\x01\x02")
    return body[: at + 24] + struct.pack("<I", 10) + body[at + 28 :]


def overlapping(files):
    """An archive whose directory names one file many times (as the best bombs do)."""
    body = packed({"a": bytes(1000)}, stored=True)
    at, end = body.index(b"PK\x01\x02"), body.index(b"PK\x05\x06")
    entry = body[at:end]
    entries = b"".join(entry[:46] + b"%c" % (97 + n) + entry[47:] for n in range(files))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, files, files, len(entries), at, 0)
    return body[:at] + entries + tail


REFUSED = {
    "a program": ("发票.pdf", b"MZ\x90\x00" + bytes(100)),
    "a page": ("发票.txt", b"<html><script>alert(1)</script>"),
    "a drawing with scripts": ("图.svg", b"<svg onload='x()'/>"),
    "another type than its name": ("发票.pdf", png(1, 1)),
    "no name of a type": ("发票", b"%PDF-1.7"),
    "an old sheet": ("明细.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)),
    "a macro": ("明细.xlsx", sheet(**{"xl/vbaProject.bin": b"x"})),
    "a macro by its type alone": ("明细.xlsx", sheet(MACRO)),
    "a sheet of macros": ("明细.xlsx", sheet(**{"xl/macrosheets/sheet1.xml": b"x"})),
    "an embedded object": ("合同.docx", sheet(**{"word/embeddings/oleObject1.bin": b"x"})),
    "a bomb": ("明细.xlsx", sheet(**{"xl/worksheets/sheet1.xml": bytes(60_000_000)})),
    "many small bombs": ("明细.xlsx", packed({f"f{n}": bytes(100_000) for n in range(300)})),
    "too many files": ("合同.ofd", packed({f"f{n}": b"" for n in range(2_100)})),
    "a file named many times": ("合同.ofd", overlapping(20)),
    "an archive in it": ("合同.ofd", packed({"in.zip": packed({"a": b"x"})})),
    "a way out": ("合同.ofd", packed({"../../etc/cron.d/x": b"x"})),
    "a broken archive": ("明细.xlsx", b"PK\x03\x04" + bytes(50)),
    "a script in a PDF": ("发票.pdf", b"%PDF-1.7 << /S /JavaScript /JS (x) >>"),
    "a picture of a gigapixel": ("图.png", png(PIXELS_MAX, 2)),
    "a broken picture": ("图.png", b"\x89PNG\r\n\x1a\n"),
    "bytes": ("清单.csv", b"\x00\x01\x02"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_office_should_open_is_refused(case):
    """Each for its own reason, in both languages."""
    zh, en = fault_of(*REFUSED[case])
    assert zh
    assert en


def test_a_bomb_costs_nothing():
    """60 MB of zeros are told by the directory: what is looked at is less than a megabyte."""
    _, body = REFUSED["a bomb"]
    tracemalloc.start()
    assert fault_of("明细.xlsx", body) is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_directory_that_lies_gains_nothing():
    """A list of types that is longer than the directory says is not read beyond its bound."""
    assert fault_of("明细.xlsx", lying(packed({"[Content_Types].xml": bytes(3_000_000)}))) is not None
