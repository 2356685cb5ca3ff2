"""What a model is: its sizes, read from GGUF metadata and checked where they are made."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.formats.tensor import Tensor
from homezoo.models.metadata import MetadataReader
from homezoo.models.rope import RopeConfig

# Which values of a head turn together. Files of architecture "llama" (Mistral too) have the rows of
# attn_q and attn_k reordered so that pairs are neighbours; the others keep the two halves.
ROPE_HALVES = {"llama": False, "qwen2": True, "qwen3": True}


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a decoder-only transformer. Letters as in ops/protocol.py."""

    architecture: str
    layers: int
    width: int  # D
    feed_forward: int  # width inside the feed-forward network
    heads: int  # H
    kv_heads: int  # G
    head_width: int  # E
    vocab_size: int  # V
    context_length: int  # positions the model was trained on
    norm_eps: float
    window: int | None  # positions a token sees, itself included; None for all
    tied: bool  # the output shares the embedding's weight
    rope: RopeConfig

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise GGUFError(
                f"{self.architecture}.attention.head_count is {self.heads}; "
                f"expected a multiple of head_count_kv {self.kv_heads}"
            )

    @property
    def attention_scale(self) -> float:
        """1 / sqrt(E) (Vaswani et al. 2017, equation 1)."""
        return float(self.head_width**-0.5)

    @staticmethod
    def from_metadata(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "ModelConfig":
        """Reads `general.architecture` and its keys.

        Raises GGUFError with key and value for a missing or wrong one, UnsupportedError for a model
        of a kind that cannot run.
        """
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or architecture not in ROPE_HALVES:
            raise UnsupportedError(
                f"general.architecture is {reprlib.repr(architecture)}; "
                f"supported: {', '.join(ROPE_HALVES)}"
            )
        reader = MetadataReader(metadata, architecture)
        _refuse_what_cannot_run(reader)
        width = reader.integer("embedding_length")
        heads = reader.integer("attention.head_count")
        head_width = _head_width(reader, width, heads)
        context = reader.integer("context_length")
        return ModelConfig(
            architecture=architecture,
            layers=reader.integer("block_count"),
            width=width,
            feed_forward=reader.integer("feed_forward_length"),
            heads=heads,
            kv_heads=reader.integer("attention.head_count_kv", heads),
            head_width=head_width,
            vocab_size=_vocab_size(reader, tensors),
            context_length=context,
            norm_eps=reader.real("attention.layer_norm_rms_epsilon"),
            window=_window(reader, context),
            tied="output.weight" not in tensors,
            rope=RopeConfig.from_metadata(
                reader, tensors, head_width, context, ROPE_HALVES[architecture]
            ),
        )


def _head_width(reader: MetadataReader, width: int, heads: int) -> int:
    if width % heads and reader.full_key("attention.key_length") not in reader.metadata:
        raise GGUFError(
            f"{reader.full_key('embedding_length')} is {width}; expected a multiple of "
            f"head_count {heads}, or a key_length"
        )
    key_length = reader.integer("attention.key_length", max(width // heads, 1))
    value_length = reader.integer("attention.value_length", key_length)
    if key_length != value_length:
        raise UnsupportedError(
            f"{reader.full_key('attention.value_length')} is {value_length} and key_length "
            f"{key_length}; only models with both equal can run"
        )
    return key_length


def _vocab_size(reader: MetadataReader, tensors: Mapping[str, Tensor]) -> int:
    table = tensors.get("token_embd.weight")
    if table is None:
        raise GGUFError("token_embd.weight is missing; the file holds no model to run")
    size = reader.integer("vocab_size", table.rows)
    if size != table.rows:
        raise GGUFError(
            f"{reader.full_key('vocab_size')} is {size}; token_embd.weight has {table.rows} rows"
        )
    return size


def _window(reader: MetadataReader, context: int) -> int | None:
    """The sliding window; None when absent, 0, or no narrower than the context."""
    window = reader.integer("attention.sliding_window", 0, minimum=0)
    if window == 0 or window >= context:
        return None
    if (
        reader.architecture != "llama"
    ):  # Qwen slides in some layers only, and files do not say which
        raise UnsupportedError(
            f"{reader.full_key('attention.sliding_window')} is {window}; "
            "sliding windows run only for architecture llama (Mistral)"
        )
    return window


def _refuse_what_cannot_run(reader: MetadataReader) -> None:
    experts = reader.integer("expert_count", 0, minimum=0)
    if experts:
        raise UnsupportedError(
            f"{reader.full_key('expert_count')} is {experts}; mixtures of experts cannot run"
        )
    if reader.metadata.get(reader.full_key("attention.causal")) is False:
        raise UnsupportedError(
            f"{reader.full_key('attention.causal')} is False; only causal models can run"
        )
