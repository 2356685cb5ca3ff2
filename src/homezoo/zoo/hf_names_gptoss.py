"""gpt-oss in Hugging Face's names: experts in MXFP4, or in floats as transformers saves them."""

from typing import Any

from homezoo.errors import UnsupportedError
from homezoo.models.gptoss import ALPHA, LIMIT
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_layers import refuse_other_layers
from homezoo.zoo.hf_names_llama import IGNORED, PLAIN, sizes
from homezoo.zoo.hf_recipe import Half, Recipe, Rule

_LAYER = "model.layers.{layer}."
_OURS = "blk.{layer}."
_EXPERTS = _LAYER + "mlp.experts."
Tensors = dict[str, Rule | str | tuple[Rule, ...]]


def _gate_and_up(kind: str, transposed: bool = False) -> tuple[Rule, ...]:
    """Rows of gate and up stand in turn."""
    return tuple(
        Rule(f"{_OURS}ffn_{part}_exps.{kind}", transposed=transposed, stacked=True, half=half)
        for part, half in (("gate", Half.EVEN), ("up", Half.ODD))
    )


_TENSORS: Tensors = {
    **{name: rule for name, rule in PLAIN.items() if ".mlp." not in name},
    _LAYER + "post_attention_layernorm.weight": _OURS + "post_attention_norm.weight",
    _LAYER + "self_attn.sinks": _OURS + "attn_sinks.weight",
    _LAYER + "mlp.router.weight": _OURS + "ffn_gate_inp.weight",
    _LAYER + "mlp.router.bias": _OURS + "ffn_gate_inp.bias",
    _EXPERTS + "gate_up_proj": _gate_and_up("weight", transposed=True),
    _EXPERTS + "gate_up_proj_blocks": _gate_and_up("weight"),
    _EXPERTS + "gate_up_proj_bias": _gate_and_up("bias"),
    _EXPERTS + "down_proj": Rule(_OURS + "ffn_down_exps.weight", transposed=True, stacked=True),
    _EXPERTS + "down_proj_blocks": Rule(_OURS + "ffn_down_exps.weight", stacked=True),
    _EXPERTS + "down_proj_bias": _OURS + "ffn_down_exps.bias",
}


def _gpt_oss(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("swiglu_alpha", ALPHA)
    config.refuse_unless("swiglu_limit", LIMIT)
    refuse_other_layers(config, "gpt-oss")
    rope = config.rope()
    if rope.text("rope_type", "default") == "yarn" and rope.flag("truncate", True):
        raise UnsupportedError(
            "config.json: the yarn scaling has not truncate false, as gpt-oss has; with truncate "
            "it cannot be converted"
        )
    return sizes(config) | {
        "attention.sliding_window": config.integer("sliding_window"),
        "expert_count": config.integer("num_local_experts"),
        "expert_used_count": config.integer("num_experts_per_tok"),
        "expert_feed_forward_length": config.integer("intermediate_size"),
    }


RECIPES: dict[str, Recipe] = {
    "GptOssForCausalLM": Recipe("gpt-oss", _TENSORS, _gpt_oss, IGNORED, packed="mxfp4")
}
