"""Trains a larger model than the bundled one, so that quantisers can be compared on real weights.

    python bench/train_larger.py --out stories-2M-f32.gguf     # needs torch and transformers

A LLaMA of 1.9 million parameters, whose rows of 256 and 512 values fit every block format, learns
from the bundled model: it reads stories which that one tells and is to predict what that one does
(Hinton et al. 2015, distillation at temperature 1). Some minutes on two cores.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.run.bundled import STORIES

NAMES = {  # of a layer's parts, in GGUF and in transformers
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
BOS, VOCABULARY = 1, 512
WIDTH, FEED_FORWARD, LAYERS, HEADS, KV_HEADS = 256, 512, 3, 8, 4
LENGTH, BATCH = 128, 8  # tokens of a story, stories of a step
TOLD_AT_ONCE = 128  # stories
WARM_UP, RATE = 30, 2e-3  # steps, and the highest learning rate; it falls to a tenth as a cosine


def turn(values: np.ndarray, heads: int, to_halves: bool) -> np.ndarray:
    """Rows of a head from neighbouring pairs (GGUF) to halves (transformers), or back."""
    shape = (heads, -1, 2, values.shape[1]) if to_halves else (heads, 2, -1, values.shape[1])
    return values.reshape(shape).swapaxes(1, 2).reshape(values.shape)


def configuration(**sizes: int) -> Any:
    import transformers

    return transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        **sizes,
    )


def bundled_model() -> Any:
    """The bundled GGUF file as a model of transformers."""
    import torch
    import transformers

    config = configuration(
        hidden_size=64, intermediate_size=172, num_hidden_layers=5, num_attention_heads=8,
        num_key_value_heads=4,
    )  # fmt: skip
    states = {}
    with GGUFFile.open(STORIES) as file:
        for name, tensor in file.tensors.items():
            values = dequantize(tensor.type, tensor.data).reshape(tensor.shape)
            if name.startswith("blk."):
                _, layer, part, _ = name.split(".")
                if part in ("attn_q", "attn_k"):
                    values = turn(values, 8 if part == "attn_q" else 4, True)
                name = f"model.layers.{layer}.{NAMES[part]}.weight"
            else:
                outer = {"token_embd": "embed_tokens", "output_norm": "norm"}
                name = f"model.{outer[name.split('.')[0]]}.weight"
            states[name] = torch.from_numpy(values.copy())
    model = transformers.LlamaForCausalLM(config).eval()
    missing, unexpected = model.load_state_dict(states, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    return model


def tell(teacher: Any, stories: int) -> Any:
    """Token ids [stories, LENGTH], sampled from the teacher."""
    import torch

    told = []
    with torch.no_grad():
        for _ in range(0, stories, TOLD_AT_ONCE):
            start = torch.full((TOLD_AT_ONCE, 1), BOS)
            told.append(
                teacher.generate(
                    start, do_sample=True, top_k=0, max_new_tokens=LENGTH - 1,
                    min_new_tokens=LENGTH - 1, pad_token_id=0,
                )
            )  # fmt: skip
    return torch.cat(told)


def train(teacher: Any, student: Any, stories: Any, steps: int) -> None:
    """Steps of AdamW on KL(teacher ‖ student), printed now and then."""
    import torch

    optimiser = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=0.01)
    start = time.time()
    for step in range(steps):
        warm = min(1.0, (step + 1) / WARM_UP)
        rate = RATE * warm * (0.55 + 0.45 * np.cos(np.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = stories[torch.randint(len(stories), (BATCH,))]
        with torch.no_grad():
            wanted = torch.log_softmax(teacher(batch).logits, -1)
        with torch.autocast("cpu", torch.bfloat16):
            logits = student(batch).logits
        found = torch.log_softmax(logits.float(), -1)
        loss = (wanted.exp() * (wanted - found)).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        if step % 20 == 0 or step == steps - 1:
            print(
                f"step {step}: KL {loss.item():.4f} nats, {time.time() - start:.0f} s", flush=True
            )


def write(student: Any, out: Path) -> None:
    """The student as a GGUF file in F32, with the bundled model's tokenizer."""
    states = {name: values.detach().numpy() for name, values in student.state_dict().items()}
    arrays = {
        "token_embd.weight": states["model.embed_tokens.weight"],
        "output_norm.weight": states["model.norm.weight"],
    }
    for layer in range(LAYERS):
        for ours, theirs in NAMES.items():
            values = states[f"model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                values = turn(values, HEADS if ours == "attn_q" else KV_HEADS, False)
            arrays[f"blk.{layer}.{ours}.weight"] = values
    sizes: dict[str, int | str] = {
        "general.name": "stories distilled to 1.9M",
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.block_count": LAYERS,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.rope.dimension_count": WIDTH // HEADS,
    }
    with GGUFFile.open(STORIES) as file, GGUFWriter(out) as writer:
        writer.copy_metadata(file.metadata, skip=list(sizes))
        for key, value in sizes.items():
            writer.add(key, value)
        for name, values in arrays.items():
            writer.declare(name, BlockType.F32, values.shape)
        for name, values in arrays.items():
            rows = np.ascontiguousarray(values if values.ndim == 2 else values[None], np.float32)
            writer.write(name, rows.view(np.uint8))


def main() -> None:
    import torch
    import transformers

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stories", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    teacher = bundled_model()
    stories = tell(teacher, options.stories)
    print(f"{stories.numel():,} tokens told", flush=True)
    student = transformers.LlamaForCausalLM(
        configuration(
            hidden_size=WIDTH, intermediate_size=FEED_FORWARD, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, num_key_value_heads=KV_HEADS,
        )
    )  # fmt: skip
    print(f"{sum(p.numel() for p in student.parameters()):,} parameters")
    train(teacher, student, stories, options.steps)
    write(student, options.out)


if __name__ == "__main__":
    main()
