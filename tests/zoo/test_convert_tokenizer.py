"""Tokenizers of Hugging Face folders: faithful for every kind, an error for what GGUF lacks."""

import json
import struct
from pathlib import Path
from typing import Any

import hf_folders
import pytest
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from homezoo.errors import CheckpointError, UnsupportedError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.pretokenizers import known_names, pretokenizer
from homezoo.text.tokenizer import Tokenizer
from homezoo.zoo.hf_pretokenizer import PROBE, cut, recognise
from homezoo.zoo.hf_tokenizer import read_tokenizer

ROWS = 400
TEXTS = [*hf_folders.CORPUS, "  two  spaces", "\n\n\t\r\n", "<s>not special</s>", ""]


def folder_of(
    path: Path, library: tokenizers.Tokenizer, settings: dict[str, Any] | None = None
) -> Path:
    library.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps(settings or {}))
    return path


def same_kind(rule_name: str) -> str:
    """The first known name with the same patterns: rules that only differ in spelling are one."""
    patterns = pretokenizer(rule_name).patterns
    return next(n for n in known_names() if pretokenizer(n).patterns == patterns)


def test_the_probe_tells_all_rules_apart() -> None:
    cuts: dict[tuple[str, ...], set[str]] = {}
    for name in known_names():
        if pretokenizer(name).byte_level:
            cuts.setdefault(tuple(cut(pretokenizer(name), PROBE)), set()).add(same_kind(name))
    # bailingmoe's pattern is Qwen's in another spelling: possessive where it does not matter.
    alike = {same_kind("qwen2"), same_kind("bailingmoe")}
    assert [names for names in cuts.values() if len(names) > 1] == [alike]


@pytest.mark.parametrize("name", ["llama-bpe", "qwen2", "gpt-2", "smollm", "bloom"])
def test_rules_are_recognised_as_files_spell_them(name: str) -> None:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    with_regex = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)

    def split(pattern: str) -> pre_tokenizers.Split:
        return pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")

    sequences = {
        "llama-bpe": [split(hf_folders.LLAMA3), byte_level],
        "qwen2": [split(hf_folders.QWEN2), byte_level],
        "gpt-2": [with_regex],
        "smollm": [pre_tokenizers.Digits(individual_digits=True), with_regex],
        "bloom": [split(" ?[^(\\s|[.,!?…。，、।۔،])]+"), byte_level],
    }
    found = recognise(pre_tokenizers.Sequence(sequences[name]), {}, name == "llama-bpe")
    assert same_kind(found) == same_kind(name)


FALCON = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(tokenizers.Regex("[0-9][0-9][0-9]"), "isolated"),
    ]
)  # as Falcon's own tokenizer.json has it


def test_falcon_in_its_own_form(shared_data: Path, tmp_path: Path) -> None:
    """The real vocabulary with the real rule gives the reference ids, and so does what is made."""
    path = shared_data / "vocab" / "ggml-vocab-falcon.gguf"
    with GGUFFile.open(path) as file:
        texts = list(file.metadata["tokenizer.ggml.tokens"])
        merges = [tuple(merge.split(" ", 1)) for merge in file.metadata["tokenizer.ggml.merges"]]
    library = tokenizers.Tokenizer(
        tokenizers.models.BPE({text: id for id, text in enumerate(texts)}, merges)
    )
    library.pre_tokenizer = FALCON
    made = read_tokenizer(folder_of(tmp_path, library), {}, len(texts))
    assert made.keys["tokenizer.ggml.pre"] == "falcon"
    mine = Tokenizer.from_metadata(made.keys)
    cases = Path(f"{path}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    wanted = Path(f"{path}.out").read_text("utf-8").splitlines()
    for text, line in zip(cases, wanted, strict=False):
        ids = [int(id) for id in line.split()]
        assert library.encode(text, add_special_tokens=False).ids == ids, text
        assert mine.encode(text) == ids, text


def test_falcon_with_merges_across_its_cuts_is_refused(tmp_path: Path) -> None:
    library = hf_folders.byte_level(pretokenizer("gpt-2").patterns[0])
    described = json.loads(library.to_str())
    described["model"]["merges"].insert(0, ["Ġ", "1"])
    described["model"]["vocab"]["Ġ1"] = max(described["model"]["vocab"].values()) + 1
    described["added_tokens"] = []
    library = tokenizers.Tokenizer.from_str(json.dumps(described))
    library.pre_tokenizer = FALCON
    with pytest.raises(CheckpointError, match="cannot be converted faithfully"):
        read_tokenizer(folder_of(tmp_path, library), {}, ROWS)


def test_unknown_rule_is_named() -> None:
    odd = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(tokenizers.Regex("[aeiou]"), "isolated"), pre_tokenizers.ByteLevel()]
    )
    with pytest.raises(UnsupportedError, match=r"none that GGUF has a name for.*aeiou"):
        recognise(odd, {"pattern": "[aeiou]"}, False)


@pytest.mark.parametrize(
    "library",
    [
        hf_folders.byte_level(hf_folders.LLAMA3, ignore_merges=True),
        hf_folders.byte_level(hf_folders.QWEN2),
        hf_folders.sentencepiece_like(),
        hf_folders.word_pieces(),
    ],
    ids=["llama3", "qwen2", "sentencepiece", "wordpiece"],
)
def test_same_ids_as_the_library(tmp_path: Path, library: tokenizers.Tokenizer) -> None:
    made = read_tokenizer(folder_of(tmp_path, library), {}, ROWS)
    mine = Tokenizer.from_metadata(made.keys)
    assert mine.vocab_size == ROWS
    for text in TEXTS:
        if "<s>" not in text:  # the library takes names of control tokens for the tokens
            assert mine.encode(text) == library.encode(text, add_special_tokens=False).ids, text


def test_added_tokens_keep_their_kind(tmp_path: Path) -> None:
    library = hf_folders.byte_level(hf_folders.QWEN2)
    settings = {"eos_token": {"content": "<|im_end|>"}, "pad_token": "<|endoftext|>"}
    keys = read_tokenizer(folder_of(tmp_path, library, settings), {}, ROWS).keys
    mine = Tokenizer.from_metadata(keys)
    end, think = library.token_to_id("<|im_end|>"), library.token_to_id("<think>")
    assert mine.eos_id == end and keys["tokenizer.ggml.padding_token_id"] == 300
    assert end not in mine.encode("<|im_end|>") and mine.encode("<think>") == [think]
    assert keys["tokenizer.ggml.add_bos_token"] is False


def test_bos_is_added_as_the_tokenizer_itself_does(tmp_path: Path) -> None:
    library = hf_folders.sentencepiece_like()
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    given = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    keys = read_tokenizer(folder_of(tmp_path, library, given), {}, ROWS).keys
    assert keys["tokenizer.ggml.add_bos_token"] is True
    assert keys["tokenizer.ggml.add_eos_token"] is False
    keys = read_tokenizer(
        folder_of(tmp_path, library, given | {"add_bos_token": False}), {}, ROWS
    ).keys
    assert keys["tokenizer.ggml.add_bos_token"] is False


def test_a_tokenizer_that_would_change_is_refused(tmp_path: Path) -> None:
    library = hf_folders.byte_level(hf_folders.QWEN2)
    library.normalizer = normalizers.Lowercase()
    with pytest.raises(UnsupportedError, match="Lowercase"):
        read_tokenizer(folder_of(tmp_path, library), {}, ROWS)
    library = hf_folders.sentencepiece_like()
    library.normalizer = normalizers.Sequence([normalizers.Lowercase(), library.normalizer])
    with pytest.raises(CheckpointError, match="cannot be converted faithfully: 'Hello, world!'"):
        read_tokenizer(folder_of(tmp_path, library), {}, ROWS)


def test_more_tokens_than_rows_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither tokenizer.json nor tokenizer.model"):
        read_tokenizer(tmp_path, {}, ROWS)
    folder_of(tmp_path, hf_folders.byte_level(hf_folders.QWEN2))
    with pytest.raises(CheckpointError, match="304 tokens .*embedding 300 rows"):
        read_tokenizer(tmp_path, {}, 300)


def test_templates_of_both_files(tmp_path: Path) -> None:
    library = hf_folders.byte_level(hf_folders.QWEN2)
    listed = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    folder_of(tmp_path, library, {"chat_template": listed})
    keys = read_tokenizer(tmp_path, {}, ROWS).keys
    assert keys["tokenizer.chat_template"] == "a"
    assert keys["tokenizer.chat_template.tool_use"] == "b"
    assert keys["tokenizer.chat_templates"] == ["tool_use"]
    (tmp_path / "chat_template.jinja").write_text("ünï", "utf-8")
    assert read_tokenizer(tmp_path, {}, ROWS).keys["tokenizer.chat_template"] == "ünï"


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def sentencepiece_file(kind: int = 2) -> bytes:
    """A tokenizer.model that merges `ab` before `bc`, with all bytes."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    pieces += [("ab", -1.0, 1), ("bc", -2.0, 1), ("▁ab", -3.0, 1)]
    pieces += [(text, -10.0, 1) for text in "▁abc"]
    data = b""
    for text, score, type in pieces:
        piece = (
            message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(type)
        )
        data += message(1, piece)
    no_pad = varint(43 << 3) + varint((1 << 64) - 1)
    return data + message(2, b"\x18" + varint(kind) + no_pad) + message(3, b"\x18\x01")


def test_sentencepiece_model(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_file())
    keys = read_tokenizer(tmp_path, {}, 300).keys
    mine = Tokenizer.from_metadata(keys)
    spelled = [mine.tokens[id] for id in mine.encode("abc bc é")]
    assert spelled == ["▁ab", "c", "▁", "bc", "▁", "<0xC3>", "<0xA9>"]
    assert (mine.bos_id, mine.eos_id) == (1, 2)


def test_damaged_sentencepiece_models(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(sentencepiece_file(kind=1))
    with pytest.raises(UnsupportedError, match="Unigram"):
        read_tokenizer(tmp_path, {}, 300)
    whole = sentencepiece_file()
    for data in (b"", whole[:-3], b"\x0f" + whole, b"\xff" * 20, b"\x0a\x03\x0a\x01\xff"):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"tokenizer\.model"):
            read_tokenizer(tmp_path, {}, 300)
