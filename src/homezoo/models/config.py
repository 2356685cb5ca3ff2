"""What a model is: its sizes, read from GGUF metadata and checked where they are made."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.formats.tensor import Tensor
from homezoo.models.kinds import KINDS, Kind
from homezoo.models.metadata import MetadataReader
from homezoo.models.rope import LONG_FACTORS_TENSOR, RopeConfig

POOLINGS = {1: "mean", 2: "cls"}  # numbers of pooling_type in GGUF


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a transformer. Letters as in ops/protocol.py."""

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
    rope: RopeConfig  # without a meaning where positions are learned or ALiBi
    kind: Kind
    scale: float | None = None  # of attention scores, where the file says it
    local_base: float = 10000.0  # rope base of layers that slide, where it is their own
    attention_cap: float | None = None  # scores are bent below it
    output_cap: float | None = None  # logits likewise
    experts: int = 0  # of each feed-forward network; 0: it is no mixture
    experts_used: int = 0  # for each token
    expert_width: int = 0  # width inside an expert
    parallel: bool = True  # feed-forward beside attention instead of after it (GPT-NeoX)
    pooling: str | None = None  # of an encoder: mean, cls, or None for what the file does not say

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise GGUFError(
                f"{self.architecture}.attention.head_count is {self.heads}; "
                f"expected a multiple of head_count_kv {self.kv_heads}"
            )

    @property
    def attention_scale(self) -> float:
        """The file's, or 1 / sqrt(E) (Vaswani et al. 2017, equation 1)."""
        return float(self.head_width**-0.5) if self.scale is None else self.scale

    @property
    def causal(self) -> bool:
        """Whether it continues text; else it is an encoder, whose tokens see each other."""
        return self.kind.causal

    def window_of(self, layer: int) -> int | None:
        """The layer's sliding window, None when it sees all positions."""
        every = self.kind.full_every
        return None if every and (layer + 1) % every == 0 else self.window

    @staticmethod
    def from_metadata(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "ModelConfig":
        """Reads `general.architecture` and its keys.

        Raises GGUFError with key and value for a missing or wrong one, UnsupportedError for a model
        of a kind that cannot run.
        """
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or architecture not in KINDS:
            raise UnsupportedError(
                f"general.architecture is {reprlib.repr(architecture)}; "
                f"supported: {', '.join(KINDS)}"
            )
        kind = KINDS[architecture]
        reader = MetadataReader(metadata, architecture)
        _refuse_what_cannot_run(reader, kind)
        width = reader.integer("embedding_length")
        heads = reader.integer("attention.head_count")
        head_width = _head_width(reader, width, heads)
        context = reader.integer("context_length")
        rope = RopeConfig.from_metadata(reader, tensors, head_width, context, kind)
        if LONG_FACTORS_TENSOR in tensors:  # Phi-3: longer contexts want the other factors
            context = min(context, rope.original_context)
        epsilon = "layer_norm_epsilon" if kind.layer_norm else "layer_norm_rms_epsilon"
        feed_forward = reader.integer("feed_forward_length")
        experts = reader.integer("expert_count", 0, minimum=0)
        return ModelConfig(
            architecture=architecture,
            layers=reader.integer("block_count"),
            width=width,
            feed_forward=feed_forward,
            heads=heads,
            kv_heads=reader.integer("attention.head_count_kv", heads),
            head_width=head_width,
            vocab_size=_vocab_size(reader, tensors),
            context_length=context,
            norm_eps=reader.real(f"attention.{epsilon}"),
            window=_window(reader, kind, context),
            tied="output.weight" not in tensors,
            rope=rope,
            kind=kind,
            scale=_optional(reader, "attention.scale"),
            local_base=reader.real("rope.freq_base_swa", 10000.0),
            attention_cap=_optional(reader, "attn_logit_softcapping"),
            output_cap=_optional(reader, "final_logit_softcapping"),
            experts=experts,
            experts_used=reader.integer("expert_used_count", maximum=experts) if experts else 0,
            expert_width=reader.integer("expert_feed_forward_length", feed_forward),
            parallel=reader.flag("use_parallel_residual", True),
            pooling=POOLINGS.get(reader.integer("pooling_type", 0, minimum=0)),
        )


def _optional(reader: MetadataReader, key: str) -> float | None:
    """A number above 0, or None when absent or 0, which is how converters write "none"."""
    return reader.real(key, 0.0, open_end=False) or None


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


def _window(reader: MetadataReader, kind: Kind, context: int) -> int | None:
    """The sliding window; None when absent, 0, or no narrower than the context."""
    window = reader.integer("attention.sliding_window", 0, minimum=0)
    if window == 0 or window >= context:
        return None
    if not kind.windows:  # Qwen slides in some layers only, and files do not say which
        sliding = ", ".join(name for name, other in KINDS.items() if other.windows)
        raise UnsupportedError(
            f"{reader.full_key('attention.sliding_window')} is {window}; "
            f"sliding windows run only for {sliding}"
        )
    return window


def _refuse_what_cannot_run(reader: MetadataReader, kind: Kind) -> None:
    experts = reader.integer("expert_count", 0, minimum=0)
    if experts and not kind.experts:
        mixed = ", ".join(name for name, other in KINDS.items() if other.experts)
        raise UnsupportedError(
            f"{reader.full_key('expert_count')} is {experts}; mixtures of experts run only for "
            f"{mixed}"
        )
    if reader.flag("attention.causal", kind.causal) != kind.causal:
        raise UnsupportedError(
            f"{reader.full_key('attention.causal')} is {not kind.causal}; "
            f"{reader.architecture} models run only with {kind.causal}"
        )
