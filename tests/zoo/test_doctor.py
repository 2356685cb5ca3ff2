"""Planted faults, one at a time, in a copy of the bundled model: each is found, and only then."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homezoo.commands.main import main
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.run.bundled import STORIES
from homezoo.zoo.doctor import examine, repairs, write_fixed

CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
START, END = 510, 511  # ids whose tokens become marks of the template

Changes = dict[str, Any]
Arrays = dict[str, np.ndarray]


def healthy() -> Changes:
    """What makes a ChatML model of the storyteller."""
    with GGUFFile.open(STORIES) as file:
        tokens = list(file.metadata["tokenizer.ggml.tokens"])
        types = np.array(file.metadata["tokenizer.ggml.token_type"])
    tokens[START], tokens[END] = "<|im_start|>", "<|im_end|>"
    types[[START, END]] = 3
    return {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.eot_token_id": END,
        "tokenizer.chat_template": CHATML,
    }


def write(path: Path, changes: Changes, arrays: Arrays | None = None) -> Path:
    """The storyteller with other metadata (None: without the key) and other tensors."""
    with GGUFFile.open(STORIES) as file, GGUFWriter(path) as writer:
        writer.copy_metadata(file.metadata, skip=list(changes))
        for key, value in changes.items():
            if value is not None:
                writer.add(key, value)
        for tensor in file.tensors.values():
            writer.declare(tensor.name, tensor.type, tensor.shape)
        for name, tensor in file.tensors.items():
            writer.write(name, (arrays or {}).get(name, tensor.data))
    return path


def array(name: str) -> np.ndarray:
    with GGUFFile.open(STORIES) as file:
        tensor = file.tensors[name]
        assert tensor.type is BlockType.F32
        return tensor.data.copy().view(np.float32).reshape(tensor.shape)


def test_the_good_model_has_no_finding(tmp_path: Path) -> None:
    path = write(tmp_path / "good.gguf", healthy())
    with GGUFFile.open(path) as file:
        assert examine(file) == []
    assert main(["doctor", str(path)]) == 0  # with the canary


def types_with(id: int, type: int) -> np.ndarray:
    types = np.array(healthy()["tokenizer.ggml.token_type"])
    types[id] = type
    return types


TEMPLATE = "tokenizer.chat_template"
METADATA_FAULTS: dict[str, tuple[Changes, str, str]] = {
    "a mark of the template is plain text": (
        {"tokenizer.ggml.token_type": types_with(START, 1)}, "special tokens", "marked as ordinary",
    ),
    "EOS is plain text": (
        {"tokenizer.ggml.token_type": types_with(2, 1)}, "special tokens", "ends a text",
    ),
    "the end of a turn ends no answer": (
        {"tokenizer.ggml.eot_token_id": None,
         "tokenizer.ggml.tokens": [*healthy()["tokenizer.ggml.tokens"][:END], "<|over|>"],
         TEMPLATE: CHATML.replace("<|im_end|>", "<|over|>")},
        "special tokens", "but not an answer",
    ),
    "turns do not end": (
        {TEMPLATE: CHATML.replace("<|im_end|>", "")}, "template", "does not end a turn",
    ),
    "answers do not begin": (
        {TEMPLATE: CHATML.partition("{% if")[0]}, "template", "does not begin the answer",
    ),
    "texts begin twice": (
        {TEMPLATE: "{{ bos_token }}" + CHATML}, "template", "the vocabulary adds it too",
    ),
    "the template begins a text twice itself": (
        {TEMPLATE: "{{ bos_token }}{{ bos_token }}" + CHATML}, "template", "begins a text twice",
    ),
    "the template forgets answers": (
        {TEMPLATE: CHATML.replace("%}{{", "%}{% if m['role'] == 'user' %}{{", 1).replace(
            "{% endfor", "{% endif %}{% endfor")}, "template", "leaves out what was said",
    ),
    "the template fails": ({TEMPLATE: "{{ messages[0].nothing.more }}"}, "template", "fails on"),
    "the template is of another model": (
        {TEMPLATE: CHATML.replace("<|im_start|>", "<|turn|>")}, "template", "no token of the voc",
    ),
    "tokens stand there twice": (
        {"tokenizer.ggml.tokens": [*healthy()["tokenizer.ggml.tokens"][:509], "a",
                                   *healthy()["tokenizer.ggml.tokens"][510:]]},
        "tokenizer", "in the vocabulary twice",
    ),
    "the vocabulary is cut": (
        {"tokenizer.ggml.scores": np.zeros(100, np.float32)}, "tokenizer", "scores",
    ),
    "the width is wrong": ({"llama.embedding_length": 128}, "sizes", "embedding_length says 128"),
    "layers are missing": ({"llama.block_count": 6}, "sizes", "block_count says 6"),
    "the feed-forward width is wrong": (
        {"llama.feed_forward_length": 256}, "sizes", "feed_forward_length says 256",
    ),
    "no context length": ({"llama.context_length": 0}, "sizes", "context_length is 0"),
}  # fmt: skip


@pytest.mark.parametrize("fault", METADATA_FAULTS)
def test_planted_faults_of_metadata_are_found(fault: str, tmp_path: Path) -> None:
    changes, check, said = METADATA_FAULTS[fault]
    path = write(tmp_path / "bad.gguf", healthy() | changes)
    with GGUFFile.open(path) as file:
        found = examine(file)
    assert any(f.check == check and said in f.what for f in found), found
    assert all(f.leads_to and f.repair for f in found)


def test_planted_faults_of_numbers_are_found(tmp_path: Path) -> None:
    up, norm, down = (array(f"blk.1.{n}.weight") for n in ("ffn_up", "attn_norm", "ffn_down"))
    up[3, 5] = np.nan
    norm[0] = 1e30
    down[7] = 0
    arrays = {"blk.1.ffn_up.weight": up, "blk.1.attn_norm.weight": norm,
              "blk.1.ffn_down.weight": down}  # fmt: skip
    with GGUFFile.open(write(tmp_path / "bad.gguf", healthy(), arrays)) as file:
        found = {f.what.split()[0]: f.what for f in examine(file)}
    assert "no numbers (NaN or infinite), the first in row 3" in found["blk.1.ffn_up.weight"]
    assert "a weight of 1e+30" in found["blk.1.attn_norm.weight"]
    assert "1 rows of zeros" in found["blk.1.ffn_down.weight"]


def test_the_canary_sings_when_weights_and_tokens_do_not_belong_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = array("token_embd.weight")
    shuffled = table[np.random.default_rng(0).permutation(len(table))]
    path = write(tmp_path / "bad.gguf", healthy(), {"token_embd.weight": shuffled})
    assert main(["doctor", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [f["check"] for f in found] == ["canary"]


MENDED = (
    "a mark of the template is plain text", "EOS is plain text", "the width is wrong",
    "the end of a turn ends no answer", "answers do not begin", "texts begin twice",
)  # fmt: skip


@pytest.mark.parametrize("fault", MENDED)
def test_a_fixed_copy_has_no_finding_and_the_same_tensors(fault: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.gguf", healthy() | METADATA_FAULTS[fault][0])
    out = tmp_path / "fixed.gguf"
    with GGUFFile.open(path) as file:
        changes = repairs(examine(file))
        assert changes
        write_fixed(file, changes, out)
    with GGUFFile.open(out) as fixed, GGUFFile.open(path) as before:
        assert examine(fixed) == []
        for name, tensor in before.tensors.items():
            assert tensor.data.tobytes() == fixed.tensors[name].data.tobytes()


def test_a_file_that_cannot_be_opened_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(STORIES.read_bytes()[:300_000])
    assert main(["doctor", str(path)]) == 1
    assert "1 finding" in capsys.readouterr().out


def test_run_warns_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path / "bad.gguf", healthy() | METADATA_FAULTS["turns do not end"][0])
    arguments = ["--max-tokens", "1", "--temperature", "0", "--quiet"]
    assert main(["run", str(bad), "Hello", *arguments]) == 0
    warned = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning: template")]
    assert len(warned) == 1 and "does not end a turn" in warned[0]
    good = write(tmp_path / "good.gguf", healthy())
    assert main(["run", str(good), "Hello", *arguments]) == 0
    assert "warning" not in capsys.readouterr().err
