"""Documents made for tests: sound and hostile ones, in every kind that is read."""

import zipfile
from io import BytesIO

_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"/>'
)
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(body: str, head: str = "", member: str = "word/document.xml") -> bytes:
    """A DOCX file whose body holds this XML."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr(
            member,
            f'<?xml version="1.0"?>{head}<w:document xmlns:w="{_W}"><w:body>{body}</w:body>'
            "</w:document>",
        )
    return out.getvalue()


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of a DOCX body, in a style such as Heading1."""
    named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{named}<w:r><w:t>{text}</w:t></w:r></w:p>"


def docx_bomb(megabytes: int) -> bytes:
    """A small zip whose document unpacks to so many megabytes."""
    return docx(paragraph("a" * (megabytes << 20)))


def pdf(pages: list[str]) -> bytes:
    """A PDF of pages with a line of ASCII text each."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources "
            f"<< /Font << /F1 3 0 R >> >> /Contents {5 + 2 * n} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    return _with_table([f"{n} 0 obj\n{text}\nendobj\n" for n, text in enumerate(objects, 1)])


def _with_table(objects: list[str]) -> bytes:
    """The file of numbered objects, with the table of their places."""
    out, places = "%PDF-1.4\n", []
    parts = [out]
    length = len(out)
    for text in objects:
        places.append(length)
        parts.append(text)
        length += len(text)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    parts.append(
        f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
        f"startxref\n{length}\n%%EOF\n"
    )
    return "".join(parts).encode("latin-1")
