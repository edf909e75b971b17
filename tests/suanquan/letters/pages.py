"""What a reader sees of a PDF: its text, its fonts, and the codes on its rendered pages."""

import pypdfium2
import zxingcpp


def text_of(pdf):
    """The text of all pages, without line breaks and the white space around them."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        pages = [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()
    return "".join("".join(page.split()) for page in pages)


def codes_on(pdf, scale=2):
    """What a scanner reads from the pages, rendered at 72 dpi times `scale`."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        images = [page.render(scale=scale).to_numpy().copy() for page in document]
    finally:
        document.close()
    return [code.text for image in images for code in zxingcpp.read_barcodes(image)]


def page_count(pdf):
    document = pypdfium2.PdfDocument(pdf)
    try:
        return len(document)
    finally:
        document.close()
