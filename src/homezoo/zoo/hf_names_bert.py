"""BERT in Hugging Face's names, with the pooling that sentence-transformers' files say."""

from pathlib import Path
from typing import Any

from homezoo.errors import CheckpointError, UnsupportedError
from homezoo.models.config import POOLINGS
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_recipe import Recipe, Rule
from homezoo.zoo.safetensors import read_json

_PARTS = {
    "embeddings.LayerNorm": "token_embd_norm",
    "encoder.layer.{layer}.attention.self.query": "blk.{layer}.attn_q",
    "encoder.layer.{layer}.attention.self.key": "blk.{layer}.attn_k",
    "encoder.layer.{layer}.attention.self.value": "blk.{layer}.attn_v",
    "encoder.layer.{layer}.attention.output.dense": "blk.{layer}.attn_output",
    "encoder.layer.{layer}.attention.output.LayerNorm": "blk.{layer}.attn_output_norm",
    "encoder.layer.{layer}.intermediate.dense": "blk.{layer}.ffn_up",
    "encoder.layer.{layer}.output.dense": "blk.{layer}.ffn_down",
    "encoder.layer.{layer}.output.LayerNorm": "blk.{layer}.layer_output_norm",
}
_TABLES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
}
# What no embedding needs: heads of training, and the layer that BERT itself pools with.
_IGNORED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "cls.*")
_PREFIXES = ("", "bert.")
# Keys of sentence-transformers' pooling, and GGUF's names.
_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_OTHERS = (
    "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken",
)  # fmt: skip

_TENSORS: dict[str, Rule | str] = {
    f"{prefix}{theirs}.{kind}": f"{ours}.{kind}"
    for prefix in _PREFIXES
    for kind, parts in (("weight", _TABLES | _PARTS), ("bias", _PARTS))
    for theirs, ours in parts.items()
}


def _bert(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("hidden_act", "gelu")
    config.refuse_unless("position_embedding_type", "absolute")
    config.refuse_unless("type_vocab_size", 2)
    config.refuse_unless("is_decoder", False)
    return {
        "block_count": config.integer("num_hidden_layers"),
        "context_length": config.integer("max_position_embeddings"),
        "embedding_length": config.integer("hidden_size"),
        "feed_forward_length": config.integer("intermediate_size"),
        "attention.head_count": config.integer("num_attention_heads"),
        "attention.layer_norm_epsilon": config.real("layer_norm_eps", 1e-12),
        "attention.causal": False,
        "vocab_size": config.integer("vocab_size"),
    }


def _pooling(folder: Path) -> dict[str, Any]:
    """`pooling_type` from modules.json and the pooling module's own file; none without them.

    Raises UnsupportedError for a pooling that GGUF or homezoo has not.
    """
    path = folder / "modules.json"
    modules = read_json(path) if path.is_file() else []
    if not isinstance(modules, list):
        raise CheckpointError(f"{path} holds no list of modules; download it again")
    places = [
        str(module.get("path"))
        for module in modules
        if isinstance(module, dict) and str(module.get("type")).endswith(".Pooling")
    ]
    if not places:
        return {}
    if len(places) > 1 or Path(places[0]).name != places[0]:
        raise CheckpointError(f"{path} names the pooling {', '.join(places)}; expected one beside")
    if not (folder / places[0] / "config.json").is_file():
        raise CheckpointError(f"{folder / places[0] / 'config.json'} is missing; download it")
    settings = read_json(folder / places[0] / "config.json")
    settings = settings if isinstance(settings, dict) else {}
    on = [key for key in (*_MODES, *_OTHERS) if settings.get(key)]
    if len(on) != 1 or on[0] not in _MODES:
        raise UnsupportedError(
            f"{places[0]}/config.json: the pooling is {', '.join(on) or 'none'}; "
            f"one of {', '.join(_MODES)} can be converted"
        )
    numbers = {name: number for number, name in POOLINGS.items()}
    return {"pooling_type": numbers[_MODES[on[0]]]}


_RECIPE = Recipe(
    "bert",
    _TENSORS,
    _bert,
    tuple(prefix + name for prefix in _PREFIXES for name in _IGNORED),
    beside=_pooling,
)
RECIPES: dict[str, Recipe] = {"BertModel": _RECIPE, "BertForMaskedLM": _RECIPE}
