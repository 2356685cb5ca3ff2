"""`homezoo adapter info | merge | convert` on the bundled model."""

import json
from pathlib import Path

import numpy as np
import pytest
from adapters import random_adapter

from homezoo.commands.main import main
from homezoo.formats.adapter_file import Adapter, read_adapter, write_adapter
from homezoo.formats.adapter_origin import Licences, identify_base, origin_keys
from homezoo.run.bundled import STORIES
from homezoo.run.model import Model

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapter") / "lesson.gguf"
    with Model.open(STORIES) as model:
        made = random_adapter(model.engine.model, alpha=0.6, ending="attn_output")
        keys = origin_keys(
            base=identify_base(model.tensors),
            base_name="karpathy/tinyllamas",
            data_name="my notes",
            licences=Licences("mit", "cc-by-4.0", "mit AND cc-by-4.0"),
            template="alpaca",
            settings={"rank": 3},
        )
    write_adapter(path, Adapter("llama", 0.6, made.deltas, keys))
    return path


def test_info_says_what_it_is_and_for_whom(capsys: Capture, lesson: Path) -> None:
    assert main(["adapter", "info", str(lesson), "--model", "stories"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "changes      5 weights in 5 layers, 0 to 4: attn_output",
        "rank         3; alpha 0.6",
        "model        this very file",
        "data licence cc-by-4.0",
        "licence      mit AND cc-by-4.0",
        "template     alpaca",
        "settings     rank 3",
    ):
        assert part in shown
    assert main(["adapter", "info", str(lesson), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 5 * 3 * (64 + 64)
    assert found["base"] == "karpathy/tinyllamas" and len(found["base_hash"]) == 64


def test_convert_goes_both_ways(capsys: Capture, lesson: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "peft", tmp_path / "back.gguf"
    base = ["--model", "stories"]
    assert main(["adapter", "convert", str(lesson), "-o", str(there), *base]) == 0
    settings = json.loads((there / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "karpathy/tinyllamas"
    card = (there / "README.md").read_text()
    assert 'license: other\nlicense_name: "mit AND cc-by-4.0"\n' in card
    assert main(["adapter", "convert", str(there), "-o", str(back), *base]) == 0
    first, second = read_adapter(lesson), read_adapter(back)
    assert dict(first.metadata) == dict(second.metadata) and first.alpha == second.alpha
    for name, (a, b) in first.deltas.items():
        np.testing.assert_array_equal(second.deltas[name][0], a)
        np.testing.assert_array_equal(second.deltas[name][1], b)
    capsys.readouterr()
    assert main(["adapter", "convert", str(there), "-o", str(tmp_path / "x"), *base]) == 1
    assert "from a folder a .gguf file is made" in capsys.readouterr().err
    assert main(["adapter", "info", str(there)]) == 1
    assert "need --model MODEL" in capsys.readouterr().err


def test_merge_prints_what_it_costs(capsys: Capture, lesson: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged.gguf"
    arguments = ["adapter", "merge", "stories", f"{lesson}:0.5", "-o", str(out)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changed"] == 5 and found["types"] == {"F32": 5}
    assert 0 <= found["quality"]["mean_kl"] < 1e-4
    (tmp_path / "text.txt").write_text("Once upon a time there was a cat. " * 20)
    text = ["--text", str(tmp_path / "text.txt")]
    assert main([*arguments, "--type", "q4_0", *text]) == 0
    shown = capsys.readouterr().out
    assert "5 weights changed (5 as Q4_0)" in shown
    assert "tokens of the text: KL" in shown
    assert main([*arguments, "--type", "Q9"]) == 1
    assert "--type is Q9; expected one of F32" in capsys.readouterr().err


def test_words_of_the_word_are_listed(capsys: Capture) -> None:
    assert main(["adapter"]) == 2
    assert main(["adapter", "--help"]) == 0
    assert "  merge    Make a model file with adapters" in capsys.readouterr().out
    assert main(["adapter", "mrege"]) == 2
    assert "did you mean `merge`?" in capsys.readouterr().err
