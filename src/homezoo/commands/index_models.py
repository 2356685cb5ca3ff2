"""The models that an index works with: whose tokens are counted, and whose vectors are compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homezoo.commands.model_path import find_model
from homezoo.context.embedder import ModelEmbedder
from homezoo.context.index import Index
from homezoo.context.passages import Count, estimate_tokens
from homezoo.errors import IndexFileError


def token_counter(model: Path | None) -> Count:
    """Counts tokens as a model does; without one by the rule of thumb."""
    if model is None:
        return estimate_tokens
    from homezoo.formats.gguf_read import GGUFFile
    from homezoo.text.tokenizer import Tokenizer

    with GGUFFile.open(model) as file:
        return Tokenizer.from_metadata(file.metadata).count


@contextmanager
def open_embedder(path: Path, threads: int | None = None) -> Iterator[ModelEmbedder]:
    """The embedder of a model file, open in the `with` block."""
    from homezoo.formats.adapter_origin import identify_base
    from homezoo.run.model import Model

    with Model.open(path, threads=threads) as model:
        yield ModelEmbedder(model, identify_base(model.tensors).weights)


@contextmanager
def embedder_of(index: Index, threads: int | None = None) -> Iterator[ModelEmbedder | None]:
    """The embedder that made an index's vectors, or None where it has none.

    Raises IndexFileError when its file is another model by now.
    """
    name = index.setting("embedder_path")
    if name is None:
        yield None
        return
    with open_embedder(find_model(name), threads) as embedder:
        if embedder.identity != index.setting("embedder"):
            raise IndexFileError(
                f"{name} is another model than the one that made the vectors of "
                f"{index.path.name}; make the index again, or search with --by bm25"
            )
        yield embedder
