"""Random tiny models of every supported kind give the logits of `transformers` (needs torch)."""

from typing import Any

import numpy as np
import pytest
from random_models import RandomModel, random_model

from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.models.rope import RopeConfig
from homezoo.ops.reference import compile_reference

TORCH = "torch is not installed; this proof needs it and transformers"
torch = pytest.importorskip("torch", reason=TORCH)
transformers = pytest.importorskip("transformers", reason=TORCH)

HALF_CACHE = "eager_with_a_float16_cache"
QKV = ("attn_q", "attn_k", "attn_v")
ALL = (*QKV, "attn_output", "ffn_gate", "ffn_up", "ffn_down")
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
YARN_KEYS = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
HF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# name: our maker's options, the transformers class, its extra settings
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "llama_grouped_heads": ({}, "Llama", {}),
    "llama_tied_one_kv_head": ({"tied": True, "kv_heads": 1}, "Llama", {}),
    "llama_biases": (
        {"biases": ALL, "kv_heads": 4},
        "Llama",
        {"attention_bias": True, "mlp_bias": True},
    ),
    "llama_linear": (
        {"keys": {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}},
        "Llama",
        {"rope": {"rope_type": "linear", "factor": 4.0}},
    ),
    "llama_yarn": ({"keys": YARN_KEYS}, "Llama", {"rope": YARN}),
    "llama3": ({"head_width": 32}, "Llama", {"rope": LLAMA3}),
    "mistral_window": ({"keys": {"attention.sliding_window": 9}}, "Mistral", {"sliding_window": 9}),
    "qwen2": ({"architecture": "qwen2", "biases": QKV, "tied": True}, "Qwen2", {}),
    "qwen3": ({"architecture": "qwen3", "head_width": 32}, "Qwen3", {}),
    "qwen3_yarn": ({"architecture": "qwen3", "keys": YARN_KEYS}, "Qwen3", {"rope": YARN}),
}


@pytest.fixture(scope="module", autouse=True)
def half_cache() -> None:
    """Teaches transformers to keep keys and values as float16, as our cache does."""
    from transformers.masking_utils import AttentionMaskInterface, eager_mask
    from transformers.models.llama.modeling_llama import eager_attention_forward

    def attend(module: Any, query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> Any:
        halved = key.half().float(), value.half().float()
        return eager_attention_forward(module, query, *halved, *rest, **options)

    transformers.AttentionInterface.register(HALF_CACHE, attend)
    AttentionMaskInterface.register(HALF_CACHE, eager_mask)


def hf_config(file: RandomModel, kind: str, settings: dict[str, Any]) -> Any:
    """The transformers configuration that describes the same model."""
    sizes = {key.split(".", 1)[1]: value for key, value in file.metadata.items() if "." in key}
    settings = dict(settings)
    rope = {"rope_theta": 10000.0, "rope_type": "default"} | settings.pop("rope", {})
    return getattr(transformers, f"{kind}Config")(
        vocab_size=len(file.arrays["token_embd.weight"]),
        hidden_size=sizes["embedding_length"],
        intermediate_size=sizes["feed_forward_length"],
        num_hidden_layers=sizes["block_count"],
        num_attention_heads=sizes["attention.head_count"],
        num_key_value_heads=sizes["attention.head_count_kv"],
        head_dim=sizes["attention.key_length"],
        max_position_embeddings=sizes["context_length"],
        rms_norm_eps=sizes["attention.layer_norm_rms_epsilon"],
        tie_word_embeddings="output.weight" not in file.arrays,
        rope_parameters=rope,
        attn_implementation=HALF_CACHE,
        **settings,
    )


def halves_from_pairs(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of attn_q or attn_k in a llama file, pairs as neighbours, to transformers' halves."""
    split = values.reshape(heads, -1, 2, *values.shape[1:])
    return split.swapaxes(1, 2).reshape(values.shape)


def hf_model(file: RandomModel, config: Any, kind: str) -> Any:
    """The transformers model with the same weights."""
    state = {}
    for name, values in file.arrays.items():
        *place, part, kind_of = name.split(".")
        if part in ("attn_q", "attn_k") and file.metadata["general.architecture"] == "llama":
            heads = config.num_attention_heads if part == "attn_q" else config.num_key_value_heads
            values = halves_from_pairs(values, heads)
        prefix = f"model.layers.{place[1]}." if place else ""
        state[f"{prefix}{HF_NAMES[part]}.{kind_of}"] = torch.from_numpy(values.copy())
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert missing == (["lm_head.weight"] if config.tie_word_embeddings else [])
    return model


def rope_init(config: Any) -> tuple[np.ndarray, float]:
    """transformers' own frequencies and magnitude for a configuration."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    name = config.rope_parameters["rope_type"]
    frequencies, magnitude = ROPE_INIT_FUNCTIONS[name](config, torch.device("cpu"))
    return frequencies.double().numpy(), magnitude


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_transformers(name: str) -> None:
    options, kind, settings = CASES[name]
    file = random_model(**options)
    config = hf_config(file, kind, settings)
    if name == "llama3":  # converters write its scaling as divisors of the plain frequencies
        plain = RopeConfig(dimensions=32).frequencies()
        divisors = (plain / rope_init(config)[0]).astype(np.float32)
        file = random_model(**options, rope_factors=divisors)
        assert divisors.max() > 7.9 and divisors.min() == pytest.approx(1)
    tokens = np.random.default_rng(1).integers(0, 100, 90).tolist()  # crosses a block of 64
    with torch.no_grad():
        expected = hf_model(file, config, kind)(torch.tensor([tokens])).logits[0].numpy()
    model = load_model(file)
    cache = KVCache.for_model(model.config, 128)
    found = compile_reference(model, cache, exact=True)(
        build_batch([(Sequence(cache), tokens)], every_row=True)
    )
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.abs(expected).max() > 1
    # sums in float32 and float64 round a few cached values differently: up to 5e-4 was found
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("theta", "original", "factor", "fast", "slow"),
    [
        (10000.0, 4096, 16.0, 32.0, 1.0),
        (1e6, 32768, 4.0, 32.0, 1.0),
        (500000.0, 8192, 8.0, 16.0, 2.0),
    ],
)
def test_yarn_equals_transformers(
    theta: float, original: int, factor: float, fast: float, slow: float
) -> None:
    config = transformers.LlamaConfig(
        hidden_size=256,
        num_attention_heads=2,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": theta,
            "factor": factor,
            "original_max_position_embeddings": original,
            "beta_fast": fast,
            "beta_slow": slow,
        },
    )
    expected, magnitude = rope_init(config)
    rope = RopeConfig(
        dimensions=128,
        base=theta,
        scaling="yarn",
        factor=factor,
        original_context=original,
        beta_fast=fast,
        beta_slow=slow,
    )
    np.testing.assert_allclose(rope.frequencies(), expected, rtol=2e-6)  # theirs are float32
    assert rope.magnitude() == pytest.approx(magnitude, rel=1e-12)
