"""Tiny Hugging Face folders with random weights, written without PyTorch, for conversion tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = [
    "Once upon a time, there was a little girl named Lily. She loved to play outside.",
    "It's 12345 o'clock; we'll see what they've done: x = y + 3.14 * (a - b)!\n\n  def f():\n",
    "Ünïcödé Ελληνικά Русский العربية हिन्दी 中文字符 日本語 한국어 😀",
]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
VOCAB = 400  # rows of the embedding: more than the tokens, as real models have it


def byte_level(pattern: str, ignore_merges: bool = False) -> tokenizers.Tokenizer:
    """A byte-level BPE of 300 tokens that cuts by a pattern, with two control tokens."""
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    made.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    made.add_tokens([AddedToken("<think>", normalized=False)])
    return made


def sentencepiece_like() -> tokenizers.Tokenizer:
    """LLaMA 2's kind: spaces are ▁, unknown characters are bytes, merges have ranks."""
    made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=390, special_tokens=special, show_progress=False)
    made.train_from_iterator(CORPUS[:1], trainer)
    described = json.loads(made.to_str())
    described["added_tokens"] = described["added_tokens"][:3]
    return tokenizers.Tokenizer.from_str(json.dumps(described))


def gemma_like() -> tokenizers.Tokenizer:
    """Gemma's kind: like LLaMA 2's, but no space is put before a text."""
    made = sentencepiece_like()
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return made


def word_pieces() -> tokenizers.Tokenizer:
    """BERT's kind."""
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    return made


def write_safetensors(
    path: Path, tensors: dict[str, np.ndarray], types: dict[str, str] | None = None
) -> None:
    """float32 arrays as F32, or as the type that `types` gives for their name: F16 or BF16.

    Bytes are U8.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, values in tensors.items():
        type = (types or {}).get(name, "U8" if values.dtype == np.uint8 else "F32")
        raw = _stored(values, type)
        header[name] = {
            "dtype": type,
            "shape": list(values.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def bf16(values: np.ndarray) -> np.ndarray:
    """float32 cut to the upper 16 bits of each: what BF16 keeps, as float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


def _stored(values: np.ndarray, type: str) -> bytes:
    if type == "BF16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16
        return bits.astype("<u2").tobytes()
    dtype = {"F32": "<f4", "F16": "<f2", "U8": "u1"}[type]
    return np.ascontiguousarray(values).astype(dtype).tobytes()


def llama_config(architecture: str = "LlamaForCausalLM", **more: Any) -> dict[str, Any]:
    """config.json of a model of two layers."""
    return {
        "architectures": [architecture],
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": VOCAB,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    } | more


def llama_weights(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights in Hugging Face's names, of values that BF16 holds exactly."""
    random = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or width // config["num_attention_heads"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, width)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        parts: dict[str, tuple[int, ...]] = {
            "input_layernorm": (width,),
            "self_attn.q_proj": (queries, width),
            "self_attn.k_proj": (keys, width),
            "self_attn.v_proj": (keys, width),
            "self_attn.o_proj": (width, queries),
            "post_attention_layernorm": (width,),
            "mlp.gate_proj": (inner, width),
            "mlp.up_proj": (inner, width),
            "mlp.down_proj": (width, inner),
        }
        if config["architectures"] == ["Qwen3ForCausalLM"]:
            parts |= {"self_attn.q_norm": (head,), "self_attn.k_norm": (head,)}
        shapes |= {f"{prefix}{name}.weight": shape for name, shape in parts.items()}
        if config["architectures"] == ["Qwen2ForCausalLM"]:
            for part, size in (("q", queries), ("k", keys), ("v", keys)):
                shapes[f"{prefix}self_attn.{part}_proj.bias"] = (size,)
    shapes["model.norm.weight"] = (width,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (VOCAB, width)
    weights = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        values = 1 + values / 8 if "norm" in name else values / np.sqrt(np.float32(shape[-1]))
        weights[name] = bf16(values)
    return weights


def make_folder(
    folder: Path,
    config: dict[str, Any],
    weights: dict[str, np.ndarray],
    tokenizer: tokenizers.Tokenizer,
    *,
    type: str = "BF16",
    settings: dict[str, Any] | None = None,
) -> Path:
    """A whole folder in one safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", weights, dict.fromkeys(weights, type))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings or {}))
    return folder
