"""PEFT folders: what an adapter does to each weight is the same in both forms, layouts included."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapters import random_adapter
from hf_folders import write_safetensors
from peft_folders import ALPHA, PREFIX, RANK, base_of, module_weights, random_pairs, write_folder
from random_models import RandomModel

from homezoo.errors import CheckpointError, HomezooError, OptionError, UnsupportedError
from homezoo.formats.adapter_file import Adapter, read_adapter, write_adapter
from homezoo.models.config import ModelConfig
from homezoo.models.load import load_model
from homezoo.zoo.peft_read import read_peft
from homezoo.zoo.peft_write import write_peft

KINDS = ["llama", "qwen2", "bloom", "phi3"]


def config_of(file: RandomModel) -> ModelConfig:
    return ModelConfig.from_metadata(file.metadata, file.tensors)


def changes_of(file: RandomModel, adapter: Adapter) -> dict[str, np.ndarray]:
    """What an adapter adds to each module's weight, by the tests' own table of names."""
    arrays = {name: np.zeros_like(values) for name, values in file.arrays.items()}
    for name, (a, b) in adapter.deltas.items():
        arrays[f"{name}.weight"] = (adapter.scale_of(name) * (b @ a)).astype(np.float32)
    return module_weights(RandomModel(file.metadata, file.tensors, arrays))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("settings", "ranks"),
    [
        ({}, {}),
        ({"use_rslora": True}, {}),
        ({"rank_pattern": {"o_proj": 2, "dense": 6}}, {"o_proj": 2, "dense": 6}),
        ({"alpha_pattern": {"down_proj": 3, ".*dense_4h_to_h": 3, "v_proj": 20}}, {}),
        (
            {
                "use_rslora": True,
                "rank_pattern": {r"layers\.\d\.self_attn\.o_proj": 2, "dense": 2},
                "alpha_pattern": {"q_proj|up_proj": 5, "dense_h_to_4h": 5, "qkv_proj": 1},
            },
            {"o_proj": 2, "dense": 2},
        ),
    ],
    ids=["plain", "rslora", "rank_pattern", "alpha_pattern", "all"],
)
def test_every_delta_is_pefts(
    kind: str, settings: dict[str, Any], ranks: dict[str, int], tmp_path: Path
) -> None:
    file = base_of(kind)
    pairs = random_pairs(file, ranks)
    adapter, notes = read_peft(write_folder(tmp_path / "a", pairs, settings), config_of(file))
    assert notes == []
    found = changes_of(file, adapter)
    for module, (a, b) in pairs.items():
        rank = len(a)
        alpha: float = ALPHA
        for pattern, value in settings.get("alpha_pattern", {}).items():
            if module.rpartition(".")[2] in pattern.removeprefix(".*").split("|"):
                alpha = value
        scale = alpha / (np.sqrt(rank) if settings.get("use_rslora") else rank)
        expected = scale * (b.astype(np.float64) @ a)
        np.testing.assert_allclose(found[module], expected, atol=1e-6, err_msg=module)
    touched = {module for module, values in found.items() if np.abs(values).max() > 0}
    assert touched == set(pairs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [6.0, 0.0])
def test_there_and_back_is_bit_exact(kind: str, alpha: float, tmp_path: Path) -> None:
    file = base_of(kind)
    model = load_model(file)
    made = random_adapter(model, rank=3, alpha=alpha)
    deltas = {name: pair for name, pair in made.deltas.items() if name != "output"}
    for number, name in enumerate(deltas):  # ranks of their own, one as high as a weight is wide
        a, b = deltas[name]
        deltas[name] = a[: 1 + number % 3], np.ascontiguousarray(b[:, : 1 + number % 3])
    metadata = {"homezoo.template": "alpaca", "general.base_model.0.name": "x", "homezoo.n": 3}
    ours = Adapter(model.config.architecture, alpha, deltas, metadata)
    write_peft(tmp_path / "peft", ours, model.config, "owner/base")
    found, _ = read_peft(tmp_path / "peft", model.config)
    write_adapter(tmp_path / "again.gguf", found)
    again = read_adapter(tmp_path / "again.gguf")
    assert again.deltas.keys() == deltas.keys() and dict(again.metadata) == metadata
    for name, (a, b) in deltas.items():
        np.testing.assert_array_equal(again.deltas[name][0].view(np.uint32), a.view(np.uint32))
        np.testing.assert_array_equal(again.deltas[name][1].view(np.uint32), b.view(np.uint32))
        assert again.scale_of(name) == ours.scale_of(name)
    assert not list(tmp_path.glob("**/*.part"))


def test_settings_that_are_written_say_what_is_changed(tmp_path: Path) -> None:
    model = load_model(base_of("llama"))
    write_peft(tmp_path / "all", random_adapter(model), model.config, "owner/base")
    settings = json.loads((tmp_path / "all" / "adapter_config.json").read_text())
    assert settings["target_modules"] == sorted(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"]
    )
    assert (settings["r"], settings["lora_alpha"], settings["rank_pattern"]) == (3, 6, {})
    part = random_adapter(model, ending="1.attn_q")
    write_peft(tmp_path / "part", part, model.config, "owner/base")
    settings = json.loads((tmp_path / "part" / "adapter_config.json").read_text())
    assert settings["target_modules"] == ["model.layers.1.self_attn.q_proj"]
    with pytest.raises(OptionError, match="part exists already"):
        write_peft(tmp_path / "part", part, model.config, "owner/base")


def test_the_licence_of_a_folders_card_is_kept(tmp_path: Path) -> None:
    file = base_of("llama")
    folder = write_folder(tmp_path / "lesson", random_pairs(file))
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\ndatasets: [owner/data]\n---\n")
    keys = read_peft(folder, config_of(file))[0].metadata
    assert keys["general.license"] == "cc-by-nc-4.0"
    assert keys["general.dataset.0.name"] == "data"
    assert keys["general.base_model.0.name"] == "owner/base"
    assert keys["general.name"] == "lesson"


OLD_CONFIG = {  # as PEFT 0.3 of March 2023 wrote them
    "base_model_name_or_path": "bigscience/bloom-7b1",
    "bias": "none",
    "enable_lora": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "merge_weights": False,
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": 16,
    "target_modules": ["query_key_value"],
    "task_type": "CAUSAL_LM",
}


def old_pairs(file: RandomModel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    pairs = random_pairs(file, {"query_key_value": 16})
    return {module: pair for module, pair in pairs.items() if module.endswith("query_key_value")}


def test_alpacoom_style_folders_load(tmp_path: Path) -> None:
    file = base_of("bloom")
    folder = write_folder(tmp_path / "a", old_pairs(file))
    (folder / "adapter_config.json").write_text(json.dumps(OLD_CONFIG))
    adapter, notes = read_peft(folder, config_of(file))
    assert (adapter.alpha, notes) == (32.0, [])
    assert list(adapter.deltas) == ["blk.0.attn_qkv", "blk.1.attn_qkv"]
    assert adapter.metadata["general.base_model.0.name"] == "bigscience/bloom-7b1"


def test_old_pickled_weights_load_safely(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
    file = base_of("bloom")
    pairs = old_pairs(file)
    folder = write_folder(tmp_path / "a", pairs)
    (folder / "adapter_config.json").write_text(json.dumps(OLD_CONFIG))
    expected = read_peft(folder, config_of(file))[0]
    (folder / "adapter_model.safetensors").unlink()
    tensors = {
        f"{PREFIX}{module}.lora_{letter}.weight": torch.from_numpy(values)
        for module, pair in pairs.items()
        for letter, values in zip("AB", pair, strict=True)
    }
    torch.save(tensors, folder / "adapter_model.bin")
    found = read_peft(folder, config_of(file))[0]
    for name, (a, b) in expected.deltas.items():
        np.testing.assert_array_equal(found.deltas[name][0], a)
        np.testing.assert_array_equal(found.deltas[name][1], b)

    torch.save({"a": Evil()}, folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"adapter_model.bin cannot be read"):
        read_peft(folder, config_of(file))


class Evil:
    """What a pickle may do when it is loaded carelessly."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, ("1 / 0",)


def test_names_with_the_adapters_name_load(tmp_path: Path) -> None:
    file = base_of("llama")
    pairs = random_pairs(file)
    one = read_peft(write_folder(tmp_path / "a", pairs), config_of(file))[0]
    two = read_peft(write_folder(tmp_path / "b", pairs, name="default"), config_of(file))[0]
    assert one.deltas.keys() == two.deltas.keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "use_dora is True: DoRA cannot be carried"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save.*whole modules"),
        ({"lora_bias": True}, "lora_bias is True: biases"),
        ({"bias": "all"}, "bias is 'all': trained biases"),
        ({"layer_replication": [[0, 2]]}, "layer_replication.*several times"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices.*embedding"),
        ({"target_parameters": ["x"]}, "target_parameters"),
        ({"alora_invocation_tokens": [1]}, "activated LoRA"),
        ({"use_qalora": True}, "QA-LoRA"),
        ({"enable_lora": [True, False, True]}, "merged linear layers"),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', which changed the base"),
        ({"init_lora_weights": "loftq"}, "'loftq', which changed the base"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; only LORA"),
        ({"rank_pattern": {"(a+)+b": 2}}, r"rank_pattern has the pattern"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = base_of("llama")
    folder = write_folder(tmp_path / "a", random_pairs(file), settings)
    with pytest.raises(UnsupportedError, match=message):
        read_peft(folder, config_of(file))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight", r"\(DoRA\)"),
        ("model.embed_tokens.lora_embedding_A", "a change of the embedding"),
        ("lm_head.modules_to_save.weight", "a whole module"),
        ("model.layers.0.self_attn.q_proj.lora_B.bias", "lora_bias"),
        ("model.layers.0.mlp.experts.3.up_proj.lora_A.weight", "changes model.layers.0.mlp.exp"),
        ("something.else", r"\(unknown\)"),
    ],
)
def test_other_tensors_are_refused_by_name(name: str, message: str, tmp_path: Path) -> None:
    file = base_of("llama")
    folder = write_folder(tmp_path / "a", {})
    tensors = {f"{PREFIX}{name}": np.zeros((RANK, 64), np.float32)}
    if name.endswith("lora_A.weight"):
        tensors[f"{PREFIX}{name}".replace("_A", "_B")] = np.zeros((96, RANK), np.float32)
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    with pytest.raises(UnsupportedError, match=message):
        read_peft(folder, config_of(file))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": 5}, "has rank 4, its settings say 5"),
        ({"r": 0}, "r is 0; expected a number, from 1"),
        ({"r": None}, "r is None"),
        ({"lora_alpha": 0}, "lora_alpha is 0; expected a number not 0"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'"),
        ({"alpha_pattern": [1]}, r"alpha_pattern is \[1\]"),
        ({"rank_pattern": {"(": 2}}, "'\\(' is wrong"),
    ],
)
def test_damaged_folders_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = base_of("llama")
    folder = write_folder(tmp_path / "a", random_pairs(file), settings)
    with pytest.raises(HomezooError, match=message):
        read_peft(folder, config_of(file))


def test_rows_of_another_model_are_refused(tmp_path: Path) -> None:
    file = base_of("llama")
    a, b = np.ones((RANK, 64), np.float32), np.ones((63, RANK), np.float32)
    folder = write_folder(tmp_path / "a", {"model.layers.0.self_attn.q_proj": (a, b)})
    with pytest.raises(CheckpointError, match="has 63 rows, which do not fit the model"):
        read_peft(folder, config_of(file))


def test_unknown_settings_are_noted(tmp_path: Path) -> None:
    file = base_of("llama")
    settings = {"use_something_new": True, "another_new": None}
    folder = write_folder(tmp_path / "a", random_pairs(file), settings)
    assert read_peft(folder, config_of(file))[1] == [
        "adapter_config.json: not known and ignored: use_something_new"
    ]
