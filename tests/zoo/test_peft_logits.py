"""The same logits as transformers with the same adapter, and as PEFT itself where it is there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zoo_cases
from peft_folders import ALPHA, RANK, random_pairs, write_folder
from random_models import RandomModel
from transformers_cases import CASES, TOKENS, _keep_the_cache_in_float16, hf_config, hf_model
from transformers_cases import random_file as llama_file

from homezoo.models.load import load_model
from homezoo.run.engine import Engine
from homezoo.zoo.peft_read import read_peft
from homezoo.zoo.peft_write import write_peft

torch: Any = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
SIZE = np.float32(
    0.25
)  # small enough that no logit jumps where a half of the cache rounds otherwise
KINDS = ["llama_grouped_heads", "qwen2", "bloom"]  # permuted, plain, de-interleaved


def file_and_model(kind: str) -> tuple[RandomModel, Any]:
    """Ours and that of transformers, which keeps its cache in float16 as we do."""
    if kind == "bloom":
        return zoo_cases.zoo_file(kind), zoo_cases.hf_model(kind)
    file = llama_file(kind)
    _keep_the_cache_in_float16()
    return file, hf_model(file, hf_config(file, *CASES[kind][1:]), CASES[kind][1])


def logits_of(model: Any) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model(torch.tensor([TOKENS])).logits[0].numpy())


def our_logits(file: RandomModel, adapter: Any) -> np.ndarray:
    engine = Engine(load_model(file), 128, backend="exact")
    engine.attach("lesson", adapter)
    return np.concatenate([rows.copy() for rows in engine.logits(TOKENS)])


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    file, model = file_and_model(kind)
    before = logits_of(model)
    pairs = {module: (a, SIZE * b) for module, (a, b) in random_pairs(file).items()}
    folder = write_folder(tmp_path / "a", pairs)
    for module, (a, b) in pairs.items():
        weight = model.get_submodule(module).weight
        with torch.no_grad():
            weight += torch.from_numpy(ALPHA / RANK * (b @ a))
    expected = logits_of(model)
    adapter, _ = read_peft(folder, load_model(file).config)
    assert np.abs(expected - before).max() > 0.1
    np.testing.assert_allclose(our_logits(file, adapter), expected, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stabilised", [False, True])
def test_peft_itself_computes_the_same(kind: str, stabilised: bool, tmp_path: Path) -> None:
    peft: Any = pytest.importorskip("peft", reason="PEFT, the peer, is not installed")
    file, model = file_and_model(kind)
    last = [module.rpartition(".")[2] for module in random_pairs(file)]
    config = peft.LoraConfig(
        r=RANK, lora_alpha=7, target_modules=sorted(set(last)), use_rslora=stabilised,
        rank_pattern={last[0]: 2}, alpha_pattern={last[1]: 3}, init_lora_weights=False,
    )  # fmt: skip
    torch.manual_seed(0)
    taught = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, values in taught.named_parameters():
            if "lora_B" in name:
                values *= SIZE
    expected = logits_of(taught)
    taught.save_pretrained(tmp_path / "theirs")
    adapter, notes = read_peft(tmp_path / "theirs", load_model(file).config)
    assert notes == []
    np.testing.assert_allclose(our_logits(file, adapter), expected, atol=1e-3)
    write_peft(tmp_path / "ours", adapter, load_model(file).config, "owner/base")
    _, fresh = file_and_model(kind)
    again = peft.PeftModel.from_pretrained(fresh, tmp_path / "ours").eval()
    np.testing.assert_allclose(logits_of(again), expected, atol=1e-3)
