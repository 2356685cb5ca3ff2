"""Training runs on the package's real small model: they learn, stop, go on, and leave the base."""

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homezoo.commands.main import main
from homezoo.errors import OptionError, TrainingError
from homezoo.formats.adapter_file import read_adapter
from homezoo.formats.adapter_origin import read_settings
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_types import ValueType
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.run.model import Model
from homezoo.train.job import Files, Job
from homezoo.train.journal import read_journal
from homezoo.train.options import TrainingOptions

torch: Any = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")

from homezoo.train.muon import orthogonalized  # noqa: E402
from homezoo.train.optimizers import make_optimizers  # noqa: E402
from homezoo.train.teach import Outcome, teaching  # noqa: E402
from homezoo.train.trainer import StepReport  # noqa: E402

torch.set_num_threads(1)  # on busy cores more threads than one take many times as long

NAMES = ["Tom", "Lily", "Max", "Sue", "Ben", "Mia", "Sam", "Amy"]
PETS = ["cat", "dog", "bird", "fish", "cow", "pig", "frog", "bear"]


@pytest.fixture(scope="module")
def base_path(stories_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's small model, ending its answers with <s>, between whose stories it stands.

    Its own </s> was never seen in training, so that no delta of its layers can make it likely: the
    loss of answers that end with it stays at 1.2.
    """
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    key = "tokenizer.ggml.eos_token_id"
    with GGUFFile.open(stories_path) as file, GGUFWriter(path) as writer:
        writer.copy_metadata(file.metadata, skip=[key])
        writer.add(key, 1, ValueType.UINT32)
        writer.write_tensors(file.tensors.values())
    return path


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Pairs to learn by heart."""
    rows = [{"prompt": f"{name} has a", "completion": f" {pet}."}
            for name, pet in zip(NAMES, PETS, strict=True)]  # fmt: skip
    file = tmp_path / "pets.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return file


def train(
    model: Path,
    data: Path,
    out: Path,
    report: Callable[[StepReport], None] = lambda step: None,
    resume: bool = False,
    **changes: Any,
) -> Outcome:
    options = TrainingOptions(**({"steps": 8, "lr": 5e-3, "length": 64} | changes))
    with Job(model, data, options) as job, teaching(job, 1) as taught:
        return taught.train(Files(out), report, resume)


def test_one_command_teaches_and_leaves_the_base_alone(
    base_path: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashlib.sha256(base_path.read_bytes()).hexdigest()
    out = tmp_path / "pets.gguf"
    with examples.open("a") as file:
        file.write('\n{"prompt": "no answer"}\n')
    words = [
        "train",
        str(base_path),
        str(examples),
        "-o",
        str(out),
        "--steps",
        "30",
        "--lr",
        "5e-3",
    ]
    assert main([*words, "--threads", "1", "--json"]) == 0
    printed = capsys.readouterr()
    outcome = json.loads(printed.out)
    assert outcome["loss"] < 0.05 and outcome["steps"] == 30
    assert "not used: pets.jsonl line 9 completion is None" in printed.err
    assert "1 rows not used" in printed.err and " left" in printed.err
    assert hashlib.sha256(base_path.read_bytes()).hexdigest() == before
    adapter = read_adapter(out)
    assert len(adapter.deltas) == 5 * 7 and adapter.rank_of("blk.0.attn_q") == 16
    settings = read_settings(adapter.metadata)
    assert settings["steps"] == 30 and adapter.metadata["homezoo.template"] == "raw"
    assert adapter.metadata["general.license"] == "unknown"  # of these pairs, as nobody states it
    assert adapter.metadata["homezoo.base.licence"] == "mit"
    entries = read_journal(Files(out).log)
    assert len(entries) == 30 and entries[0]["loss"] > 2 > entries[-1]["loss"]
    assert not Files(out).checkpoint.exists()
    with Model.open(base_path, threads=1) as model:
        before_it = _answers(model)
        name = model.attach(out)
        assert _right(_answers(model)) >= 7 > _right(before_it)
        model.detach(name)
        assert _answers(model) == before_it


def _answers(model: Model) -> list[str]:
    return [model.generate(f"{name} has a", max_tokens=8, temperature=0.0).text for name in NAMES]


def _right(answers: list[str]) -> int:
    return sum(f" {pet}." in text for pet, text in zip(PETS, answers, strict=True))


def test_the_same_seed_gives_the_same_adapter_bit_for_bit(
    base_path: Path, examples: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{n}.gguf" for n in range(3)]
    for out, seed in zip(files, (0, 0, 1), strict=True):
        train(base_path, examples, out, seed=seed, steps=3)
    contents = [file.read_bytes() for file in files]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("full", [False, True])
def test_a_stopped_run_goes_on_bit_for_bit(
    base_path: Path, examples: Path, tmp_path: Path, full: bool
) -> None:
    """Ctrl-C after the third step; then the same command with --resume."""
    settings = {"validation": 0.3, "validate_every": 3, "patience": 9, "batch": 1, "length": 24}
    settings |= {"full": True, "optimizer": "muon"} if full else {"lora_plus": 16.0}
    whole, halted = tmp_path / "whole.gguf", tmp_path / "halted.gguf"
    expected: list[float] = []
    train(base_path, examples, whole, lambda step: expected.append(step.loss), **settings)
    seen: list[float] = []

    def stop(step: StepReport) -> None:
        seen.append(step.loss)
        if step.step == 3:
            signal.raise_signal(signal.SIGINT)

    outcome = train(base_path, examples, halted, stop, **settings)
    assert outcome.out is None and outcome.ended == "stopped" and outcome.steps == 3
    assert Files(halted).checkpoint.exists() and not halted.exists()
    with pytest.raises(OptionError, match="go on with --resume, or delete it"):
        train(base_path, examples, halted, **settings)
    with pytest.raises(OptionError, match="was saved with seed 0, and now it is 7"):
        train(base_path, examples, halted, resume=True, **(settings | {"seed": 7}))
    outcome = train(
        base_path, examples, halted, lambda s: seen.append(s.loss), resume=True, **settings
    )
    assert outcome.steps == 8 and seen == expected
    assert halted.read_bytes() == whole.read_bytes()
    assert [entry["step"] for entry in read_journal(Files(halted).log)] == list(range(1, 9))


def test_it_stops_early_and_keeps_the_best(base_path: Path, examples: Path, tmp_path: Path) -> None:
    """Pairs learned by heart make held-out ones worse."""
    settings = {"validation": 0.4, "validate_every": 2, "patience": 2, "steps": 100, "lr": 1e-2}
    outcome = train(base_path, examples, tmp_path / "a.gguf", **settings)
    assert outcome.steps < 100 and "no better step than" in outcome.ended
    assert outcome.validation is not None and outcome.best_validation is not None
    assert outcome.best_validation < outcome.validation


def test_only_the_last_layers_learn_and_those_below_are_read_from_disk(
    base_path: Path, examples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.gguf"
    outcome = train(base_path, examples, out, layers=2, steps=20, lr=1e-2)
    assert {name.split(".")[1] for name in read_adapter(out).deltas} == {"3", "4"}
    assert outcome.loss < 0.1 and not Files(out).states.exists()


def test_training_that_comes_apart_is_an_error(
    base_path: Path, examples: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="try a smaller --lr"):
        train(base_path, examples, tmp_path / "a.gguf", lr=1e30, clip=0.0, steps=50)
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    "settings", [{}, {"scratch": True, "optimizer": "muon", "muon_lr": 0.02, "steps": 90}]
)
def test_every_weight_of_a_small_model(
    base_path: Path, examples: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    out = tmp_path / "model.gguf"
    losses: list[float] = []
    chosen = {"full": True, "steps": 40, "lr": 3e-3} | settings
    train(base_path, examples, out, lambda step: losses.append(step.loss), **chosen)
    assert losses[-1] < 0.3
    with Model.open(out) as model:
        answers = _answers(model)
        assert model.metadata["general.dataset.0.name"] == "pets.jsonl"
    assert _right(answers) >= 7


def test_a_dry_run_prints_memory_tokens_time_and_money(
    base_path: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(base_path), str(examples), "--dry-run", "--threads", "1"]
    assert main(words) == 0
    text = capsys.readouterr().out
    for part in ("memory:", "tokens/s", "kWh", "rented RTX 4090", "of which"):
        assert part in text
    assert main([*words, "--json", "--epochs", "5", "--watts", "100"]) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert estimate["tokens"] == 5 * estimate["tokens"] // 5 > 0
    assert estimate["memory"]["total"] < 1e9 and estimate["watts"] == 100
    assert list(tmp_path.glob("*.gguf*")) == []


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "say with -o"),
        (["-o", "base.gguf"], "is the model itself"),
        (["-o", "nowhere/a.gguf"], "does not exist"),
        (["-o", "a.gguf", "--rank", "0"], "rank is 0"),
        (["-o", "a.gguf", "--memory", "0.1"], "0.1 GB are to be used"),
        (["-o", "a.gguf", "--template", "chat"], "no chat template"),
    ],
)
def test_wrong_commands_say_what_to_do(
    base_path: Path,
    examples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(base_path, "base.gguf")
    assert main(["train", "base.gguf", str(examples), *words]) == 1
    assert message in capsys.readouterr().err


def test_gradients_lie_in_one_piece_from_the_first_step_to_the_last() -> None:
    trained = {
        name: torch.ones(shape, requires_grad=True)
        for name, shape in {"blk.0.attn_q.lora_a": (4, 32), "blk.0.attn_q.lora_b": (48, 4)}.items()
    }
    optimizers = make_optimizers(trained, TrainingOptions(rank=4, lora_plus=16.0))
    places = [parameter.grad.data_ptr() for parameter in trained.values()]
    assert places[1] - places[0] == 4 * 32 * 4  # bytes of the first
    for _ in range(2):
        sum(parameter.square().sum() for parameter in trained.values()).backward()
        assert all(float(parameter.grad.abs().min()) > 0 for parameter in trained.values())
        optimizers.step(0.01)
        assert [parameter.grad.data_ptr() for parameter in trained.values()] == places
        assert not any(parameter.grad.any() for parameter in trained.values())


def test_muon_brings_singular_values_near_one() -> None:
    for shape in ((64, 64), (96, 32), (32, 96)):
        matrix = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))
        values = torch.linalg.svdvals(orthogonalized(matrix))
        assert float(values.min()) > 0.3 and float(values.max()) < 1.3
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        inner = torch.linalg.norm(u @ v) * torch.linalg.norm(orthogonalized(matrix))
        assert float(((u @ v) * orthogonalized(matrix)).sum() / inner) > 0.95


@pytest.mark.slow
def test_64_short_pairs_are_learned_by_heart(base_path: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = [
        f"{name} {verb} the {pet}" for name in NAMES for verb in ("saw", "fed") for pet in PETS
    ]
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": text, "completion": f" {PETS[random.integers(8)]}."} for text in words[::2]]
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert len(rows) == 64
    losses: list[float] = []
    train(base_path, file, tmp_path / "a.gguf", lambda step: losses.append(step.loss),
          steps=200, lr=5e-3, length=512)  # fmt: skip
    assert np.mean(losses[-5:]) < 0.1
