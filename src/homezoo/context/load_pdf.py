"""PDF by pypdf (extra `rag`), page by page, within limits."""

import logging
from io import BytesIO

from homezoo.context.document import Document
from homezoo.errors import DocumentError

MOST_PAGES = 5_000
MOST_CHARACTERS = 32 << 20


def read_pdf(content: bytes) -> Document:
    """The text of each page; offsets count in all of it, `pages` says where each begins.

    Raises DocumentError for a file that is damaged, locked, too long, or without pypdf.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError:
        raise DocumentError("PDF files need pypdf; run: pip install 'homezoo[rag]'") from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings name no file
    parts: list[str] = []
    pages, length, unread = [], 0, []
    try:
        reader = PdfReader(BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError("it is locked with a password")
        if len(reader.pages) > MOST_PAGES:
            raise DocumentError(
                f"it has {len(reader.pages):,} pages; at most {MOST_PAGES:,} are read, so split it"
            )
        for number, page in enumerate(reader.pages, 1):
            try:
                text = page.extract_text()
            except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError):
                text = ""
                unread.append(number)
            text = text.encode("utf-8", "replace").decode() + "\n"
            pages.append(length)
            parts.append(text)
            length += len(text)
            if length > MOST_CHARACTERS:
                raise DocumentError(f"its text has more than {MOST_CHARACTERS:,} characters")
    except DocumentError:
        raise
    except RecursionError:
        raise DocumentError(
            "it is no sound PDF: its objects refer to each other endlessly"
        ) from None
    except Exception as error:  # a damaged file makes pypdf raise errors of many classes
        raise DocumentError(
            f"it is no sound PDF: {str(error)[:200] or type(error).__name__}"
        ) from None
    if pages and len(unread) == len(pages):
        raise DocumentError(f"none of its {len(pages):,} pages can be read")
    notes = [f"pages that cannot be read: {', '.join(map(str, unread[:20]))}"] if unread else []
    return Document("pdf", "".join(parts), pages=pages, notes=notes)
