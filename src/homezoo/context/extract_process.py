"""The process that an Extractor starts: a file's content comes in, one line of JSON goes out."""

import json
import os
import sys
from typing import Any

from homezoo.context.document import Document
from homezoo.context.load_docx import read_docx
from homezoo.context.load_html import read_html
from homezoo.context.load_pdf import read_pdf
from homezoo.errors import DocumentError

MEMORY = 2 << 30  # bytes of address space that a parser may take
READERS = {"html": read_html, "pdf": read_pdf, "docx": read_docx}


def main() -> None:
    """Answers until its standard input ends."""
    _limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a parser prints does not become an answer
    while head := sys.stdin.buffer.readline():
        kind, size = head.split()
        content = sys.stdin.buffer.read(int(size))
        answers.write(json.dumps(answer(kind.decode(), content)).encode() + b"\n")
        answers.flush()


def answer(kind: str, content: bytes) -> dict[str, Any]:
    """The document as JSON, or {"error": …}."""
    try:
        document = READERS[kind](content)
    except DocumentError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"reading it took more than {MEMORY >> 30} GB of memory"}
    except Exception as error:
        return {"error": f"it cannot be read: {type(error).__name__}: {str(error)[:200]}"}
    return _told(document)


def _told(document: Document) -> dict[str, Any]:
    return {
        "text": document.text,
        "sections": [[section.start, section.path] for section in document.sections],
        "pages": document.pages,
        "notes": document.notes,
    }


def _limit_memory() -> None:
    """Where the system can: a file that asks for more is an error and not a full machine."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    main()
