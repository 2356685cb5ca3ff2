"""Settings, schedule, memory plan and prices: what can be known before anything is computed."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from homezoo.errors import OptionError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.train.energy import EnergyMeter
from homezoo.train.journal import Journal, draw_losses, read_journal
from homezoo.train.memory import GB, free_memory, layer_floats, plan_memory
from homezoo.train.options import TrainingOptions
from homezoo.train.price import RENTED, electricity, rent
from homezoo.train.schedule import learning_rate

LINEARS = [f"blk.{n}.{name}" for n in range(12) for name in ("attn_q", "attn_v", "ffn_up")]


def test_the_rate_rises_then_falls() -> None:
    rates = [learning_rate(step, 100, 1.0, 0.1, "cosine") for step in range(100)]
    assert rates[0] == 0.1 and max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5) and 0 < rates[-1] < 0.001
    assert learning_rate(55, 100, 1.0, 0.1, "linear") == pytest.approx(0.5)
    assert learning_rate(99, 100, 1.0, 0.1, "constant") == 1.0
    assert learning_rate(0, 1, 1.0, 0.03, "cosine") == 1.0
    with pytest.raises(OptionError, match="expected one of cosine"):
        learning_rate(0, 1, 1.0, 0.0, "steps")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 3, "epochs": 1}, "exclude each other"),
        ({"rank": 0}, "rank is 0"),
        ({"warmup": 1.0}, "warmup is 1.0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"length": 1}, "at least 2"),
        ({"schedule": "steps"}, "schedule is 'steps'"),
        ({"template": "chatml"}, "template 'chatml'; expected one of chat, alpaca"),
        ({"patience": 3}, "needs a --validation"),
        ({"scratch": True}, "needs --full"),
        ({"full": True, "layers": 3}, "choose deltas"),
        ({"optimizer": "muon"}, "whole matrices"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainingOptions(**changes)


def test_which_weights_are_taught() -> None:
    names = [*LINEARS, "output"]
    assert TrainingOptions().chosen(names) == LINEARS
    assert TrainingOptions(layers=2).chosen(names) == LINEARS[-6:]
    chosen = TrainingOptions(targets="qv", layers=1).chosen(names)
    assert chosen == ["blk.11.attn_q", "blk.11.attn_v"]
    assert TrainingOptions(targets="ffn_up", layers=1).chosen(names) == ["blk.11.ffn_up"]
    with pytest.raises(OptionError, match="ffn_gate; a layer of this model has attn_q, attn_v"):
        TrainingOptions(targets="ffn_gate,attn_q").chosen(names)
    with pytest.raises(OptionError, match="layers is 13; the model has 12"):
        TrainingOptions(layers=13).chosen(names)


def test_the_scale_of_deltas() -> None:
    assert TrainingOptions().scale_alpha / 16 == 2.0
    rslora = TrainingOptions(rank=64, alpha=16, rslora=True)
    assert rslora.scale_alpha / 64 == pytest.approx(16 / math.sqrt(64))


def llama_7b() -> ModelConfig:
    """Sizes of LLaMA-7B, from metadata alone."""
    sizes = {
        "context_length": 2048, "embedding_length": 4096, "block_count": 32,
        "feed_forward_length": 11008, "attention.head_count": 32,
        "attention.layer_norm_rms_epsilon": 1e-5, "vocab_size": 32000,
    }  # fmt: skip
    metadata: dict[str, Any] = {f"llama.{key}": value for key, value in sizes.items()}

    class Table:
        rows = 32000

    tables: Any = {"token_embd.weight": Table(), "output.weight": Table()}
    return ModelConfig.from_metadata(metadata | {"general.architecture": "llama"}, tables)


def test_the_memory_plan_of_7b_is_within_the_specification() -> None:
    """r 16 on all linears (40.0 M parameters), 512 tokens: at most 6.0 GB, 8.2 to 10.7 without
    computing anything again (specification of training, sections 4.3 and 6.2)."""
    config = llama_7b()
    trained = 16 * (4 * (4096 + 4096) + 3 * (4096 + 11008)) * 32
    assert trained == 39_976_960
    least = plan_memory(config, 3_830_000_000, trained, 512, 32, 6.0 * GB)
    assert least.total < 6.0 * GB and 1 <= least.kept_layers < 8
    roomy = plan_memory(config, 3_830_000_000, trained, 512, 32, 24 * GB)
    assert roomy.kept_layers == 32 and 8.2 * GB < roomy.total < 12 * GB
    assert plan_memory(config, 3_830_000_000, trained, 512, 32, None).kept_layers == 1
    with pytest.raises(OptionError, match=r"needs 5\.\d GB and 4.0 GB"):
        plan_memory(config, 3_830_000_000, trained, 512, 32, 4 * GB)
    assert 250_000 < layer_floats(config) * 4 < 450_000


def test_memory_of_this_machine_is_found() -> None:
    found = free_memory()
    assert found is None or found > 10_000_000


def test_costs() -> None:
    cost = electricity(36_000, 120, 0.25)
    assert cost.kilowatt_hours == pytest.approx(1.2) and cost.dollars == pytest.approx(0.3)
    hours, least, most = rent(RENTED[0], 20_000_000, 7_000_000_000)
    assert hours == pytest.approx(2.30, abs=0.01) and 0.7 < least < most < 1.5
    assert rent(RENTED[0], 20_000_000, 1_000_000_000)[0] == pytest.approx(hours / 7)


def test_energy_is_counted_over_the_end_of_the_counter(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    part = tmp_path / "intel-rapl:0:0"  # of the package, so counted in it
    for folder in (zone, part):
        folder.mkdir()
        (folder / "max_energy_range_uj").write_text("999999999\n")
        (folder / "energy_uj").write_text("900000000\n")
    meter = EnergyMeter(tmp_path)
    (zone / "energy_uj").write_text("950000000\n")
    assert meter.joules() == pytest.approx(50)
    (zone / "energy_uj").write_text("50000000\n")
    assert meter.joules() == pytest.approx(150)
    silent = EnergyMeter(tmp_path / "nothing")
    assert not silent.works and silent.joules() is None


def test_the_journal_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    for step in range(1, 6):
        journal.add({"step": step, "loss": 1 / step})
    with journal.path.open("a") as file:
        file.write('{"step": 6, "lo')  # a crash while it was written
    resumed = Journal(journal.path, keep_steps=3)
    resumed.add({"step": 4, "loss": 0.5})
    entries = read_journal(journal.path)
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4]
    assert json.loads(journal.path.read_text().splitlines()[-1])["loss"] == 0.5


def test_a_picture_of_the_losses(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib, the extra `plot`, is not installed")
    journal = Journal(tmp_path / "log.jsonl")
    journal.add({"step": 1, "loss": 2.0})
    journal.add({"step": 2, "loss": 1.0, "validation": 1.5})
    draw_losses(journal.path, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"


def test_the_bundled_model_needs_little(stories_path: Path) -> None:
    with GGUFFile.open(stories_path) as file:
        config = ModelConfig.from_metadata(file.metadata, file.tensors)
    plan = plan_memory(config, 1_000_000, 30_000, 512, config.layers, None)
    assert plan.total < 0.5 * GB
