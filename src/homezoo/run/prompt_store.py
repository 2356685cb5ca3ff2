"""Computed prompts on disk: a long context is paid once, also by the next process.

A file holds the tokens of a prefix and its keys and values, in whole cache blocks, as the kernels
wrote them. It serves only the same model file, cache format, adapters and strengths, so what is
read is to the bit what would be computed: the sums never depend on the batch (ARCHITECTURE.md).
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from homezoo.formats.adapter_origin import identify_base
from homezoo.formats.user_cache import user_cache
from homezoo.formats.whole_file import whole_file
from homezoo.models.cache import Adapters, Sequence
from homezoo.ops.protocol import BLOCK_POSITIONS
from homezoo.run.engine import Engine
from homezoo.run.model import Model

FORMAT = 1
MAGIC = b"hzkv"
LEAST = 4 * BLOCK_POSITIONS  # tokens that are worth a file: computing fewer takes no time
DEFAULT_BYTES = 4 << 30  # of all files together; the longest unused go first
LARGEST_HEAD = 1 << 16


def prompt_folder() -> Path:
    """$XDG_CACHE_HOME/homezoo/prompts, by default ~/.cache/homezoo/prompts."""
    return user_cache() / "homezoo" / "prompts"


@dataclass(frozen=True)
class Stored:
    """One file: its key, and the tokens whose keys and values it holds."""

    path: Path
    tokens: list[int]
    checksum: int
    start: int  # where keys and values begin in the file


class PromptStore:
    """The computed prompts of one open model, in a folder that models share."""

    def __init__(self, model: Model, folder: Path, most_bytes: int = DEFAULT_BYTES) -> None:
        self._model = model
        self._engine: Engine = model.engine
        self._folder = folder
        self._most_bytes = most_bytes
        self._base = _identity(model)
        self._digests: dict[Adapters, str] = {}

    def recall(self, tokens: list[int], adapters: Adapters) -> None:
        """Puts into the cache what is stored of a prompt, if that is more than is there."""
        have = max(
            (kept.common_prefix(tokens) for kept in self._engine.kept if kept.adapters == adapters),
            default=0,
        )
        best, shared = None, have + LEAST - 1
        for stored in self._files(adapters):
            common = _common(stored.tokens, tokens)
            if common > shared:
                best, shared = stored, common
        if best is None:
            return
        whole = best.tokens[: shared // BLOCK_POSITIONS * BLOCK_POSITIONS]
        pages = _read_pages(best, self._page_shape(len(best.tokens) // BLOCK_POSITIONS))
        if pages is None:  # damaged: of no use to anyone
            with suppress(OSError):
                best.path.unlink()
            return
        with suppress(OSError):
            os.utime(best.path)
        cache = self._engine.cache
        count = len(whole) // BLOCK_POSITIONS

        def fill(blocks: list[int]) -> None:
            for array, page in zip((*cache.k, *cache.v), pages, strict=True):
                array[blocks] = page[:count]

        self._engine.import_prefix(whole, adapters, fill)

    def save(self) -> int:
        """Writes what the engine has computed and the folder has not; gives the files written."""
        written = 0
        for sequence in sorted(self._engine.kept, key=len, reverse=True):
            count = len(sequence) // BLOCK_POSITIONS
            tokens = sequence.tokens[: count * BLOCK_POSITIONS]
            if len(tokens) < LEAST:
                continue
            known = list(self._files(sequence.adapters))
            if any(stored.tokens[: len(tokens)] == tokens for stored in known):
                continue
            self._write(sequence, tokens, count)
            written += 1
            for stored in known:  # what is now the beginning of a longer one
                if tokens[: len(stored.tokens)] == stored.tokens:
                    stored.path.unlink(missing_ok=True)
        if written:
            self._make_room()
        return written

    def _key(self, adapters: Adapters) -> str:
        """Names the model file, the cache's format and the deltas, by their content."""
        if adapters not in self._digests:  # the number of an adapter is never used again
            whole = hashlib.sha256()
            for number, strength in adapters:
                whole.update(f"strength {strength!r} {self._digest(number)}".encode())
            self._digests[adapters] = whole.hexdigest()
        always = self._digest(None)  # deltas beside the adapters, such as edits
        named = f"{self._base} {self._digests[adapters]} {always}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    def _digest(self, number: int | None) -> str:
        """Of all deltas of one adapter, or of those that count for every token."""
        whole = hashlib.sha256()
        for name, linear in sorted(self._engine.model.linears().items()):
            for delta in linear.deltas:
                if delta.adapter == number:
                    whole.update(f"{name} {delta.scale!r}".encode())
                    whole.update(np.ascontiguousarray(delta.a).tobytes())
                    whole.update(np.ascontiguousarray(delta.b).tobytes())
        return whole.hexdigest()

    def _files(self, adapters: Adapters) -> Iterator[Stored]:
        if not self._folder.is_dir():
            return
        for path in self._folder.glob(f"{self._key(adapters)}-*.kv"):
            stored = _read_head(path)
            if stored is not None:
                yield stored

    def _page_shape(self, blocks: int) -> tuple[int, ...]:
        cache = self._engine.cache
        return (len(cache.k) + len(cache.v), blocks, *cache.k[0].shape[1:])

    def _write(self, sequence: Sequence, tokens: list[int], count: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache, blocks = self._engine.cache, sequence.blocks[:count]
        pages = [array[blocks] for array in (*cache.k, *cache.v)]
        ids = np.array(tokens, np.int32).tobytes()
        checksum = 0
        for part in (memoryview(ids), *(page.data for page in pages)):
            checksum = zlib.crc32(part, checksum)
        head = json.dumps({"format": FORMAT, "tokens": len(tokens), "checksum": checksum}).encode()
        name = f"{self._key(sequence.adapters)}-{hashlib.sha256(ids).hexdigest()[:16]}.kv"
        with whole_file(self._folder / name, private=True) as file:
            file.write(MAGIC + len(head).to_bytes(4, "little") + head + ids)
            for page in pages:
                file.write(page.data)

    def _make_room(self) -> None:
        files = [(path.stat().st_mtime_ns, path) for path in self._folder.glob("*.kv")]
        total = 0
        for _, path in sorted(files, reverse=True):  # the newest first
            total += path.stat().st_size
            if total > self._most_bytes:
                path.unlink(missing_ok=True)


@contextmanager
def stored_prompts(model: Model, enabled: bool, folder: Path | None = None) -> Iterator[None]:
    """While it is held, the model finds prompts computed by earlier processes; at the end, what
    it computed is stored for later ones. Nothing of that unless `enabled`."""
    if not enabled:
        yield
        return
    store = PromptStore(model, folder or prompt_folder())
    model.engine.recall = store.recall
    try:
        yield
    finally:
        model.engine.recall = None
        store.save()


def _identity(model: Model) -> str:
    """What keys and values depend on, beside the tokens and adapters."""
    engine, about = model.engine, model.path.stat()
    settings = {
        key: str(value)
        for key, value in model.metadata.items()
        if key.startswith(f"{model.config.architecture}.")
    }
    exact = engine.backend == "exact"  # other sums than those of the kernels
    weights = identify_base(model.tensors).weights
    parts = [FORMAT, weights, about.st_size, about.st_mtime_ns, settings, engine.cache.type, exact]
    return json.dumps(parts, sort_keys=True)


def _common(a: list[int], b: list[int]) -> int:
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    return next(n for n in range(length) if a[n] != b[n])


def _read_head(path: Path) -> Stored | None:
    """The head of a file, or None for one that is not ours, or gone."""
    try:
        with path.open("rb") as file:
            return _parse_head(path, file)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse_head(path: Path, file: BinaryIO) -> Stored | None:
    if file.read(4) != MAGIC:
        return None
    size = int.from_bytes(file.read(4), "little")
    if size > LARGEST_HEAD:
        return None
    head = json.loads(file.read(size))
    count = int(head["tokens"])
    if head["format"] != FORMAT or not 0 < count <= path.stat().st_size // 4:
        return None
    ids = np.frombuffer(file.read(4 * count), np.int32)
    return Stored(path, ids.tolist(), int(head["checksum"]), 8 + size + 4 * count)


def _read_pages(stored: Stored, shape: tuple[int, ...]) -> np.ndarray | None:
    """Keys and values uint8 [2 · layers, blocks, G, 64, row bytes]; None when they are damaged."""
    try:
        if stored.path.stat().st_size != stored.start + int(np.prod(shape)):
            return None
        pages = np.fromfile(stored.path, np.uint8, offset=stored.start).reshape(shape)
    except (OSError, ValueError):
        return None
    checksum = zlib.crc32(np.array(stored.tokens, np.int32).tobytes())
    return pages if zlib.crc32(pages.data, checksum) == stored.checksum else None
