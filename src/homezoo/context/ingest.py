"""Reads files into an index: only those that changed, and whatever is wrong with one is noted."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from homezoo.context.extractor import Extractor
from homezoo.context.index import FileState, Index
from homezoo.context.load import kind_of, load, read_bytes
from homezoo.context.passages import Count, Passage, cut
from homezoo.errors import DocumentError

# What is written together: a commit waits for the disk, so it should be worth it, and reading that
# is slow (vectors, large PDFs) should not be lost for long.
BATCH = 10_000  # passages
BATCH_SECONDS = 5.0
MERGE_FROM = 1_000  # new passages after which merging the search table's parts is worth its time
SKIPPED = {"node_modules", "__pycache__", "venv"}  # and whatever begins with a full stop


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def identity(self) -> str:
        """What makes vectors comparable: the same model, told by its content."""
        ...

    def embed(self, texts: list[str]) -> np.ndarray:
        """float32 [N, D], each of length 1."""
        ...


@dataclass
class Report:
    """What became of the files."""

    read: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    skipped: int = 0  # files of kinds that are not read
    notes: list[tuple[str, str]] = field(default_factory=list)  # path and what is wrong with it


Progress = Callable[[Report], None]


class Ingest:
    """One run over some roots. After each commit `progress` is called: that much is safe."""

    def __init__(
        self,
        index: Index,
        count: Count,
        budget: int,
        embedder: Embedder | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._index = index
        self._count = count
        self._budget = budget
        self._embedder = embedder
        self._progress = progress
        self._known = {entry.path: entry.state for entry in index.entries()}
        self._uncommitted = 0
        self._committed = time.monotonic()
        self.report = Report()

    def run(self, roots: list[str]) -> Report:
        """Reads what is new or changed under the roots, forgets what is gone from them."""
        with Extractor() as extractor:
            for root in roots:
                self._root(Path(root), extractor)
        self._commit()
        if self.report.passages >= MERGE_FROM:
            self._index.merge()
        return self.report

    def _root(self, root: Path, extractor: Extractor) -> None:
        if not root.exists() and root.parent.exists() and str(root) in self._known:
            self._forget([str(root)])  # a single file that was deleted
            return
        if not root.exists():
            note = "it is not there now; what was read of it is kept (a drive not mounted?)"
            self.report.notes.append((str(root), note))
            return
        seen = set()
        for path in files_under(root):
            if root.is_dir() and kind_of(path) is None:
                self.report.skipped += 1
                continue
            seen.add(str(path))
            self._file(path, extractor)
        inside = str(root) + os.sep
        self._forget([p for p in self._known if p.startswith(inside) and p not in seen])

    def _forget(self, paths: list[str]) -> None:
        for path in paths:
            self._index.remove(path)
            del self._known[path]
            self.report.removed += 1
            self._uncommitted += 1

    def _file(self, path: Path, extractor: Extractor) -> None:
        name = str(path)
        known = self._known.get(name)
        try:
            about = path.stat()
            if known and (known.size, known.mtime_ns) == (about.st_size, about.st_mtime_ns):
                self.report.unchanged += 1
                return
            content = read_bytes(path)
        except (OSError, DocumentError) as error:
            self._refuse(path, FileState("", -1, -1), str(error))
            return
        digest = hashlib.sha256(content).hexdigest()
        state = FileState(digest, about.st_size, about.st_mtime_ns)
        if known and known.sha256 == digest:  # touched, or copied anew
            self.report.unchanged += 1
            self._index.touch(name, state)
            self._uncommitted += 1
            return
        try:
            document = load(path, content, extractor)
            passages = list(cut(document, self._count, self._budget))
            vectors = self._vectors(passages)
        except DocumentError as error:
            self._refuse(path, state, str(error))
            return
        note = "; ".join(document.notes)
        self._put(name, document.kind, state, passages, vectors, note)

    def _vectors(self, passages: list[Passage]) -> np.ndarray | None:
        if self._embedder is None or not passages:
            return None
        return self._embedder.embed([passage.text for passage in passages])

    def _refuse(self, path: Path, state: FileState, reason: str) -> None:
        """The file is known with its note and no passages; it is tried again when it changes."""
        self._put(str(path), kind_of(path) or "unknown", state, [], None, reason)

    def _put(
        self,
        name: str,
        kind: str,
        state: FileState,
        passages: list[Passage],
        vectors: np.ndarray | None,
        note: str,
    ) -> None:
        self._index.put(name, kind, state, passages, vectors, note)
        self._known[name] = state
        self.report.read += 1
        self.report.passages += len(passages)
        if note:
            self.report.notes.append((name, note))
        self._uncommitted += max(1, len(passages))
        late = time.monotonic() - self._committed >= BATCH_SECONDS
        if late or self._uncommitted >= BATCH:
            self._commit()

    def _commit(self) -> None:
        self._index.commit()
        self._uncommitted = 0
        self._committed = time.monotonic()
        if self._progress is not None:
            self._progress(self.report)


def files_under(root: Path) -> Iterator[Path]:
    """The file itself, or the files of a folder in order; hidden ones and links to folders not."""
    if not root.is_dir():
        yield root
        return
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if not n.startswith(".") and n not in SKIPPED)
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder, name)
