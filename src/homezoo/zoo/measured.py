"""What was measured on this machine, kept for the next time: by machine and version of homezoo."""

import hashlib
import json
import os
import platform
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from homezoo.formats.user_cache import user_cache
from homezoo.models.cache import CacheType
from homezoo.models.load import ModelFile
from homezoo.ops.native import kernels
from homezoo.zoo.rehearse import Line, Speeds

MOST_KEPT = 200  # models; a hundred bytes each
CACHE_BYTES = 32 << 20  # last-level caches of home machines have 8 to 64 MiB


@dataclass(frozen=True)
class Overheads:
    """What every run takes beside the model's own: measured with the bundled model."""

    program_bytes: int  # Python and libraries, private and mapped
    token_seconds: float  # of an answer's token, outside of the pass
    cold_token_seconds: float  # the same after a pass that left nothing in the processor's caches

    def token_seconds_after(self, bytes_read: int) -> float:
        """Outside of the pass, by how much of the caches a pass of so many bytes takes."""
        cold = min(1.0, bytes_read / CACHE_BYTES)
        return self.token_seconds + cold * (self.cold_token_seconds - self.token_seconds)


def measured_path() -> Path:
    """The file: in the user's cache folder."""
    return user_cache() / "homezoo" / "measured.json"


def machine_name() -> str:
    """The processor, as the system calls it, with its architecture and the kernels in use."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({platform.machine()}, {kernels()}, {os.cpu_count()} processors)"


class Measured:
    """The figures of this machine and version; others in the file are forgotten."""

    def __init__(self, version: str, path: Path | None = None) -> None:
        self._path = path or measured_path()
        self._about = {"machine": machine_name(), "version": version}
        self._found: dict[str, Any] = {}
        try:
            found = json.loads(self._path.read_text("utf-8"))
            if all(found[key] == value for key, value in self._about.items()):
                self._found = dict(found["figures"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # none yet, or one that another version wrote

    def overheads(self) -> Overheads | None:
        """None when they have not been measured."""
        try:
            return Overheads(**self._found["overheads"])
        except (KeyError, TypeError):
            return None

    def keep_overheads(self, overheads: Overheads) -> None:
        """For the next time."""
        self._found["overheads"] = asdict(overheads)
        self._write()

    def speeds(self, key: str) -> Speeds | None:
        """None when they have not been measured."""
        try:
            found = self._found[key]
            return Speeds(Line(**found["prefill"]), Line(**found["decode"]), int(found["chunk"]))
        except (KeyError, TypeError):
            return None

    def keep_speeds(self, key: str, speeds: Speeds) -> None:
        """For the next time; of very many models the first are forgotten."""
        self._found.pop(key, None)
        self._found[key] = asdict(speeds)
        for old in [key for key in self._found if key != "overheads"][:-MOST_KEPT]:
            del self._found[old]
        self._write()

    def _write(self) -> None:
        """Whole or not at all; a folder that cannot be written to only costs the next time."""
        text = json.dumps(self._about | {"figures": self._found}, indent=1)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, "utf-8")
            os.replace(temporary, self._path)
        except OSError:
            temporary.unlink(missing_ok=True)


def speeds_key(file: ModelFile, context: int, cache: CacheType, threads: int) -> str:
    """Equal for models that compute alike: sizes, and shapes and formats of all tensors."""
    sizes = {
        key: file.metadata[key]
        for key in file.metadata
        if key == "general.architecture" or not key.startswith(("general.", "tokenizer."))
    }
    shapes = Counter((tensor.type.name, *tensor.shape) for tensor in file.tensors.values())
    told = [
        sorted((key, str(value)) for key, value in sizes.items()),
        sorted((str(shape), count) for shape, count in shapes.items()),
        context,
        cache,
        threads,
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
