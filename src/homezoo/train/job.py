"""A run of training put together: model, data, template, steps; what `homezoo train` does."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from homezoo.errors import DataError, OptionError, TemplateError, UnsupportedError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.decoder import Decoder
from homezoo.models.load import load_model
from homezoo.text.template import ChatTemplate
from homezoo.text.tokenizer import Tokenizer
from homezoo.train.data_files import Data, read_data
from homezoo.train.documents import Document, Encoded, Encoder
from homezoo.train.options import DEFAULT_EPOCHS, TrainingOptions
from homezoo.train.packing import Epochs, Pack, fill, hold_out, make_pack
from homezoo.train.templates import default_template
from homezoo.train.trainer import Stopped


@dataclass(frozen=True)
class Files:
    """What a run writes: the adapter (or model), and beside it what only the run needs."""

    out: Path

    def _beside(self, ending: str) -> Path:
        return self.out.with_name(self.out.name + ending)

    @property
    def log(self) -> Path:
        """JSONL, one line a step; stays."""
        return self._beside(".log.jsonl")

    @property
    def checkpoint(self) -> Path:
        """Goes when training is done."""
        return self._beside(".checkpoint")

    @property
    def states(self) -> Path:
        """States below the layers that learn; goes when the run ends."""
        return self._beside(".states")


class Job:
    """An open model and encoded data. Close it, or use it in a `with` block."""

    def __init__(self, path: Path, data: Path, options: TrainingOptions) -> None:
        """Reads everything and decides how many steps there are.

        Raises GGUFError, UnsupportedError, DataError, TemplateError, OptionError for what cannot
        be used.
        """
        self.options = options
        self.data: Data = read_data(data)
        self.file = GGUFFile.open(path)
        try:
            for name, type in self.file.unsupported.items():
                raise UnsupportedError(f"{path}: tensor {name!r} is in format {type}")
            model = load_model(self.file)
            if not isinstance(model, Decoder):
                raise UnsupportedError(f"{path} is an encoder; only models that write are trained")
            self.model: Decoder = model
            self._encode()
        except BaseException:
            self.file.close()
            raise

    def _encode(self) -> None:
        options, data = self.options, self.data
        tokenizer = Tokenizer.from_metadata(self.file.metadata)
        try:
            chat = ChatTemplate.from_metadata(self.file.metadata)
        except TemplateError:
            chat = None
        rows = [placed.row for placed in data.rows]
        self.template = options.template or default_template(rows, chat is not None)
        length = min(options.length, self.model.config.context_length)
        self.encoded: Encoded = Encoder(tokenizer, self.template, chat, length).encode(data.rows)
        documents = self.encoded.documents
        if not documents:
            first = self.encoded.bad[0]
            raise DataError(
                f"none of {len(data.rows)} rows can be used; the first: {first.place} "
                f"{first.reason}"
            )
        self.held: list[Document] = []
        self.documents = documents
        if options.validation:
            if len(documents) < 2:
                raise OptionError("validation holds documents out, and there is only 1")
            train, held = hold_out(len(documents), options.validation, options.seed)
            self.documents = [documents[n] for n in train]
            self.held = [documents[n] for n in held]
        self._epochs = Epochs(self.documents, options.length, options.batch, options.seed)
        self.steps = options.steps or self._epochs.steps(options.epochs or DEFAULT_EPOCHS)

    def batches(self, start: int) -> Iterator[list[Pack]]:
        """Batches from a step's number on."""
        return self._epochs.batches(start)

    def validation(self) -> list[Pack]:
        """Passes of the held-out documents."""
        lengths = [len(document) for document in self.held]
        packs = fill(lengths, range(len(lengths)), self.options.length)
        return [make_pack(numbers, self.held) for numbers in packs]

    @property
    def bad(self) -> list[Any]:
        """Rows that were not used, with place and reason."""
        return [*self.data.bad, *self.encoded.bad]

    @property
    def file_bytes(self) -> int:
        """Of all tensors."""
        return sum(tensor.data.nbytes for tensor in self.file.tensors.values())

    @property
    def total_tokens(self) -> int:
        """Tokens of all steps; counted in whole epochs and a share of the last."""
        per_epoch = sum(map(len, self.documents))
        steps = self._epochs.steps(1)
        return round(per_epoch * self.steps / steps)

    @property
    def labels_per_token(self) -> float:
        """Share of the tokens that are learned."""
        return self.encoded.labels / self.encoded.tokens

    def fingerprint(self, base: str) -> dict[str, Any]:
        """What decides the result, bit for bit: what a checkpoint must have been made with."""
        settings = asdict(self.options)
        for name in ("memory", "save_every"):
            settings.pop(name)
        return settings | {"data": self.data.digest, "base": base, "steps": self.steps}

    def close(self) -> None:
        """Lets go of the file."""
        self.file.close()

    def __enter__(self) -> "Job":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def require_torch() -> None:
    """UnsupportedError with advice when PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UnsupportedError(
            "training needs PyTorch: pip install 'homezoo[train]' (on Linux the CPU build of "
            "PyTorch is enough, and much smaller)"
        ) from None


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """While it is open, the first Ctrl-C makes the function it gives raise Stopped, so that a
    checkpoint can be saved; the second one interrupts at once, as always."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def pause() -> None:
        if asked:
            raise Stopped

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield pause
    finally:
        signal.signal(signal.SIGINT, before)
