"""From a file to a Document. Text is read here; what needs a parser is left to another process."""

import os
import stat
from pathlib import Path

from homezoo.context.document import Document
from homezoo.context.extractor import Extractor
from homezoo.context.load_text import decode, read_markdown
from homezoo.errors import DocumentError

# The largest file that is read: a text of 64 MB is some 10,000 pages.
MOST_BYTES = 64 << 20

MARKDOWN = {".md", ".markdown", ".mdown"}
TEXT = {".txt", ".text", ".rst", ".org", ".adoc", ".tex", ".csv", ".tsv", ".log", ".srt", ".vtt"}
SOURCE = {
    ".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cxx", ".cs", ".go", ".rs", ".java", ".kt",
    ".swift", ".js", ".jsx", ".ts", ".tsx", ".mjs", ".rb", ".php", ".pl", ".lua", ".r", ".jl",
    ".scala", ".hs", ".ml", ".ex", ".exs", ".erl", ".clj", ".lisp", ".el", ".sh", ".bash", ".zsh",
    ".ps1", ".sql", ".css", ".scss", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".xml",
    ".cmake", ".ttl", ".nt", ".proto",
}  # fmt: skip
PARSED = {".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".docx": "docx"}
NAMED = {"makefile", "dockerfile", "readme", "license", "licence", "changelog", "authors", "notice"}


def kind_of(path: Path) -> str | None:
    """The kind of document that a file's name promises, or None for one that is not read."""
    suffix = path.suffix.lower()
    if suffix in MARKDOWN:
        return "markdown"
    if suffix in TEXT or (not suffix and path.name.lower() in NAMED):
        return "text"
    if suffix in SOURCE:
        return "source"
    return PARSED.get(suffix)


def read_bytes(path: Path) -> bytes:
    """A regular file's content.

    Raises DocumentError when it is larger than 64 MB or no regular file, OSError when unreadable.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise DocumentError("it is no regular file; only files are read")
        if about.st_size > MOST_BYTES:
            raise DocumentError(
                f"it has {about.st_size:,} bytes; at most {MOST_BYTES:,} are read, so split it"
            )
        return file.read(MOST_BYTES + 1)


def load(path: Path, content: bytes, extractor: Extractor) -> Document:
    """The document in a file's content.

    Raises DocumentError for what is damaged, hostile, empty of text, or of a kind not read.
    """
    kind = kind_of(path)
    if kind is None:
        raise DocumentError(f"files ending in {path.suffix or path.name!r} are not read")
    if kind in PARSED.values():
        document = extractor.extract(kind, content)
    else:
        text, notes = decode(content)
        document = read_markdown(text) if kind == "markdown" else Document(kind, text)
        document.notes += notes
    if not document.text.strip():
        raise DocumentError(
            "it holds no text"
            + ("; a scanned PDF needs text recognition first" if kind == "pdf" else "")
        )
    return document
