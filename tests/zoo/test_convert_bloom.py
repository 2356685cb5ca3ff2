"""BLOOM folders: the same tensors as the model that was compared with transformers itself."""

from pathlib import Path

import hf_folders
import numpy as np
import pytest
from zoo_cases import hf_states, zoo_file

from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.zoo.convert import convert


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_bloom(tmp_path: Path, prefix: str) -> None:
    model = zoo_file("bloom")
    width = model.arrays["token_embd.weight"].shape[1]
    random = np.random.default_rng(0)
    for name in model.arrays:  # BLOOM's feed-forward is four times as wide as the model, always
        if "ffn_up" in name or name.endswith("ffn_down.weight"):
            shape = {"up": (4 * width, width), "down": (width, 4 * width)}[name.split(".")[2][4:]]
            shape = shape[:1] if name.endswith("bias") else shape
            model.arrays[name] = random.standard_normal(shape).astype(np.float32)
    states = {name.replace("transformer.", prefix): w for name, w in hf_states(model).items()}
    facts = {key.removeprefix("bloom."): value for key, value in model.metadata.items()}
    rows = model.arrays["token_embd.weight"].shape[0]
    padded = np.zeros((hf_folders.VOCAB, width), np.float32)
    padded[:rows] = model.arrays["token_embd.weight"][: hf_folders.VOCAB]
    states[f"{prefix}word_embeddings.weight"] = padded
    config = {
        "architectures": ["BloomForCausalLM"],
        "n_layer": facts["block_count"],
        "n_head": facts["attention.head_count"],
        "hidden_size": width,
        "vocab_size": hf_folders.VOCAB,
    }
    tokenizer = hf_folders.byte_level(" ?[^(\\s|[.,!?…。，、।۔،])]+")
    shapes = {name: np.ascontiguousarray(values) for name, values in states.items()}
    folder = hf_folders.make_folder(tmp_path / "hf", config, shapes, tokenizer, type="F32")
    convert(folder, tmp_path / "out.gguf")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.metadata["tokenizer.ggml.pre"] == "bloom"
        assert file.tensors.keys() == model.arrays.keys()
        for name, values in model.arrays.items():
            if name != "token_embd.weight":
                tensor = file.tensors[name]
                found = dequantize(tensor.type, tensor.data).reshape(values.shape)
                assert np.array_equal(found, values), name
