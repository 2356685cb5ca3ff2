"""A model as editing sees it: frozen, asked with prompts, its tokens checked."""

import hashlib
from collections.abc import Sequence as Items
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from homezoo.errors import OptionError, UnsupportedError
from homezoo.formats.adapter_origin import BaseIdentity, identify_base
from homezoo.models.decoder import Decoder
from homezoo.models.load import ModelFile, load_model
from homezoo.text.tokenizer import Tokenizer


class Reader:
    """An open model file, its tokenizer, and the frozen products that all passes share."""

    def __init__(self, file: ModelFile, threads: int | None = None, forward: str = "int8") -> None:
        """`forward`: int8 as the engine rounds, or float, then with exact gradients too.

        UnsupportedError for a model that cannot be edited."""
        model = load_model(file)
        if not isinstance(model, Decoder) or model.config.experts:
            kind = "an encoder" if not isinstance(model, Decoder) else "a mixture of experts"
            raise UnsupportedError(
                f"facts cannot be edited into {kind}; they are written into the dense ffn_down "
                "of a decoder"
            )
        self.model = model
        self.file = file
        self.threads = threads
        self._forward = forward

    @cached_property
    def products(self) -> Any:
        """How frozen weights multiply; needs PyTorch."""
        try:
            import torch  # noqa: F401
        except ImportError:
            raise UnsupportedError(
                "editing needs PyTorch: pip install 'homezoo[train]' (the CPU build is enough)"
            ) from None
        from homezoo.ops.autograd_matmul import FrozenProducts

        backward = "exact" if self._forward == "float" else "int8"
        return FrozenProducts(self.threads, cast(Any, self._forward), cast(Any, backward))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Of the file."""
        return Tokenizer.from_metadata(self.file.metadata)

    @cached_property
    def identity(self) -> BaseIdentity:
        """What makes this very file."""
        return identify_base(self.file.tensors)

    @cached_property
    def vocabulary(self) -> str:
        """SHA-256 of the tokens and their merges: what prompts and objects are cut by."""
        whole = hashlib.sha256()
        for name in ("tokens", "merges", "scores"):
            values = self.file.metadata.get(f"tokenizer.ggml.{name}", ())
            whole.update("\n".join(map(str, values)).encode() + b"\0")
        return whole.hexdigest()

    def ledger_header(self, path: str | Path) -> dict[str, str]:
        """What a ledger that is begun for this model keeps of it; `path` says where it is."""
        return {
            "base": self.identity.weights,
            "tokenizer": self.vocabulary,
            "architecture": self.model.config.architecture,
            "path": str(path),
        }

    @property
    def layers(self) -> int:
        """How many."""
        return self.model.config.layers

    def prompt(self, text: str, before: str = "") -> list[int]:
        """Token ids of a prompt, after other text if given; begins as a text does."""
        whole = f"{before} {text}" if before else text
        return self.tokenizer.encode(whole, bos=self.tokenizer.adds_bos)

    def answer(self, prompt: str, target: str, before: str = "") -> list[int]:
        """Token ids with which `target` goes on after a prompt.

        OptionError when the two cannot be told apart: the tokens of both must begin with those of
        the prompt, or a residual would be written where the model never looks.
        """
        head = self.prompt(prompt, before)
        whole = self.prompt(f"{prompt} {target}", before)
        if whole[: len(head)] != head or len(whole) == len(head):
            shown = [self.tokenizer.decode([id]) for id in whole[len(head) - 1 : len(head) + 2]]
            raise OptionError(
                f"{prompt!r} followed by {target!r} has other tokens than {prompt!r} alone (near "
                f"{shown}); end the template before a space and a whole word"
            )
        return whole[len(head) :]

    def text(self, ids: Items[int]) -> str:
        """What tokens say."""
        return self.tokenizer.decode(ids)

    def begins_inside_word(self, id: int) -> bool:
        """Whether a token goes on with a word that has begun."""
        first = self.tokenizer.token_bytes(id)[:1]
        return id not in self.tokenizer.end_ids and first.isalnum()

    def weight(self, layer: int) -> str:
        """The weight that edits of a layer change, by its GGUF name."""
        return f"blk.{layer}.ffn_down.weight"

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        close = getattr(self.file, "close", None)
        if close is not None:
            close()
