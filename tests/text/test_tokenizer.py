"""Tokenizers give the ids that the models were trained with, and their text back."""

import random
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text.vocabularies import CONTROL_TEXTS, byte_level, sentencepiece, wordpiece

from homezoo.errors import TokenizerError, UnsupportedError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.tokenizer import Tokenizer

NAMES = ["llama-spm", "llama-bpe", "gpt-2", "qwen2", "falcon"]
LONG = 10**9  # characters without the library: all of them


@pytest.fixture(scope="session")
def tokenizers(shared_data: Path) -> dict[str, Tokenizer]:
    """One tokenizer per reference vocabulary."""
    files = {name: shared_data / "vocab" / f"ggml-vocab-{name}.gguf" for name in NAMES}
    return {name: Tokenizer.from_metadata(GGUFFile.open(path).metadata)
            for name, path in files.items()}  # fmt: skip


@pytest.fixture(scope="module")
def stories(stories_path: Path) -> Tokenizer:
    return Tokenizer.from_metadata(GGUFFile.open(stories_path).metadata)


BPE = Tokenizer.from_metadata(byte_level())
SPM = Tokenizer.from_metadata(sentencepiece())


def use_library(tokenizer: Tokenizer, library: bool) -> None:
    tokenizer._encoder._short_left = -1 if library else LONG
    if not library:
        tokenizer._encoder._library = None


@pytest.mark.parametrize("library", [False, True], ids=["short", "library"])
@pytest.mark.parametrize("name", NAMES)
def test_reference_cases(
    name: str, library: bool, tokenizers: dict[str, Tokenizer], shared_data: Path
) -> None:
    path = shared_data / "vocab" / f"ggml-vocab-{name}.gguf"
    texts = Path(f"{path}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    wanted = [[int(id) for id in line.split()]
              for line in Path(f"{path}.out").read_text().split("\n")]  # fmt: skip
    assert len(texts) == len(wanted) == 47
    tokenizer = tokenizers[name]
    use_library(tokenizer, library)
    for text, ids in zip(texts, wanted, strict=True):
        assert tokenizer.encode(text) == ids, text
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("name", NAMES)
def test_short_and_library_agree_on_any_text(name: str, tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers[name]
    chance = random.Random(5)
    ranges = [(32, 127), (9, 11), (160, 0x2000), (0x3000, 0xD7FF), (0x1F300, 0x1F700)]
    texts = [
        "".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(chance.randrange(40)))
        for _ in range(150)
    ]
    use_library(tokenizer, False)
    short = [tokenizer.encode(text) for text in texts]
    use_library(tokenizer, True)
    assert [tokenizer.encode(text) for text in texts] == short
    assert [tokenizer.decode(ids) for ids in short] == texts


@given(st.text())
def test_decoding_undoes_encoding_byte_level(text: str) -> None:
    assert BPE.decode(BPE.encode(text)) == text
    assert BPE.decode(BPE.encode(text, special=True), special=True) == text


@given(st.text(st.characters(exclude_characters="▁", exclude_categories=["Cs"])))
def test_decoding_undoes_encoding_sentencepiece(text: str) -> None:
    assert SPM.decode(SPM.encode(text)) == text
    assert SPM.decode(SPM.encode(text, bos=True)) == text


@given(st.text(st.sampled_from("<|>s/im_endIST[]▁ hello\n") | st.characters(codec="utf-8")))
def test_plain_text_never_gives_control_tokens(text: str) -> None:
    for tokenizer in (BPE, SPM):
        assert not set(tokenizer.encode(text)) & set(tokenizer.control_ids)


@given(st.lists(st.integers(0, 350), max_size=40), st.booleans())
def test_stream_equals_decode_and_never_splits_a_character(ids: list[int], special: bool) -> None:
    for tokenizer in (BPE, SPM):
        known = [id for id in ids if id < tokenizer.vocab_size]
        stream = tokenizer.stream(special)
        shown = [stream.push(id) for id in known] + [stream.finish()]
        assert "".join(shown) == tokenizer.decode(known, special)
        if special and tokenizer is BPE:
            raw = b"".join(map(tokenizer.token_bytes, known))
            assert "".join(shown) == raw.decode(errors="replace")


def test_stream_holds_back_half_characters_only() -> None:
    stream = BPE.stream()
    pieces = [stream.push(id) for id in BPE.encode("é→🚀!")]
    assert "".join(pieces) == "é→🚀!" and "\ufffd" not in "".join(pieces)
    assert sorted(filter(None, pieces)) == sorted("é→🚀!")


def test_stream_shows_bytes_that_are_no_text_once_that_is_certain() -> None:
    ids = [BPE.encode(character)[0] for character in "é("]  # 0xC3 can go on; "(" cannot follow it
    stream = BPE.stream()
    assert [stream.push(ids[0]), stream.push(ids[1])] == ["", "\ufffd("]
    assert stream.push(ids[0]) == "" and stream.finish() == "\ufffd"


def test_sentencepiece_space_is_the_texts_own_only_where_it_goes_on() -> None:
    world = SPM.encode("world")
    assert SPM.token_bytes(world[0]).startswith(b" ")
    new, after_bos, going_on = SPM.stream(), SPM.stream(after=[1]), SPM.stream(after=world)
    assert [stream.push(world[0]) for stream in (new, after_bos)] == ["world", "world"]
    assert going_on.push(world[0]) == " world"


def test_special_tokens_are_parsed_where_asked_and_longest_first() -> None:
    start, end = (BPE.tokens.index(text) for text in ("<|im_start|>", "<|im_end|>"))
    assert BPE.encode("<|im_start|>hello<|im_end|>", special=True) == [
        start, BPE.tokens.index("hello"), end
    ]  # fmt: skip
    assert start not in BPE.encode("<|im_start|>")
    think = BPE.tokens.index("<think>")
    assert think in BPE.encode("a<think>b") and think in BPE.encode("a<think>b", special=True)
    newlines = BPE.tokens.index("\n\n\n")
    assert BPE.encode("\n" * 7).count(newlines) == 2


def test_space_prefix_comes_again_behind_a_special_token() -> None:
    ids = SPM.encode("hello[INST]hello")
    hello = SPM.tokens.index("▁hello")
    assert ids == [hello, SPM.tokens.index("[INST]"), hello]
    without = Tokenizer.from_metadata(sentencepiece(add_space_prefix=False))
    assert without.tokens[without.encode("hello")[0]] == "h"
    assert without.decode(without.encode(" hello")) == " hello"


def test_white_space_behind_control_tokens_goes_with_phi_3() -> None:
    phi = Tokenizer.from_metadata({**byte_level(), "general.name": "Phi-3 mini"})
    end = phi.tokens.index("<|end|>")
    assert phi.encode("<|end|>\n hello", special=True) == [end, phi.tokens.index("hello")]


def test_bos_and_end_tokens() -> None:
    assert SPM.adds_bos and (SPM.bos_id, SPM.eos_id) == (1, 2)
    assert SPM.encode("", bos=True) == [1] and SPM.encode("") == []
    assert not BPE.adds_bos
    texts = {BPE.tokens[id] for id in BPE.end_ids}
    assert {"</s>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>"} <= texts
    assert "<|end|>" not in texts, "beside <|return|> and <|call|> it ends only a message"
    assert "<|channel|>" in BPE.decode([BPE.tokens.index("<|channel|>")])
    assert BPE.decode([BPE.tokens.index("<|im_end|>")]) == ""


def test_html_tag_is_no_end_of_an_answer() -> None:
    tokens = [*byte_level()["tokenizer.ggml.tokens"]]
    types = byte_level()["tokenizer.ggml.token_type"].copy()
    types[tokens.index("</s>")] = 1
    changed = Tokenizer.from_metadata(byte_level(token_type=types, eos_token_id=None))
    assert tokens.index("</s>") not in changed.end_ids


def test_word_pieces() -> None:
    tokenizer = Tokenizer.from_metadata(wordpiece())
    words = [tokenizer.tokens[id] for id in tokenizer.encode("Hello, unaffable world a?")]
    assert words == ["▁hello", "▁,", "▁un", "aff", "able", "▁wor", "ld", "▁a", "[UNK]"]
    assert tokenizer.encode("[SEP]") == [1, 1, 1]
    assert tokenizer.encode("[SEP]", special=True) == [3]
    assert tokenizer.decode(tokenizer.encode("hello world")) == "hello world"


def test_missing_pretokenizer_is_the_default_with_a_warning() -> None:
    tokenizer = Tokenizer.from_metadata(byte_level(pre=None))
    assert len(tokenizer.warnings) == 1 and "tokenizer.ggml.pre" in tokenizer.warnings[0]
    assert not BPE.warnings
    default = Tokenizer.from_metadata(byte_level(pre="default"))
    assert tokenizer.encode("hello world 12345!") == default.encode("hello world 12345!")


def bad(metadata: dict[str, object], text: str = "hello") -> str:
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.from_metadata(metadata).encode(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_errors_name_what_is_wrong_with_a_vocabulary() -> None:
    tokens = list(byte_level()["tokenizer.ggml.tokens"])
    assert "scores is missing" in bad(sentencepiece(scores=None))
    assert "2 items for 285 tokens" in bad(sentencepiece(scores=np.zeros(2, np.float32)))
    assert "merges is missing" in bad(byte_level(merges=None))
    assert "tokens is missing" in bad(byte_level(tokens=None))
    assert "is empty" in bad(byte_level(tokens=[], token_type=None))
    assert "'hello' is in the vocabulary twice" in bad(
        byte_level(tokens=[*tokens, "hello"], token_type=None)
    )
    assert "999999" in bad(byte_level(bos_token_id=999999))
    assert "add_bos_token is true" in bad(byte_level(bos_token_id=None, add_bos_token=True))
    assert "'maybe'" in bad(byte_level(add_bos_token="maybe"))
    assert "token_type has 3 items" in bad(byte_level(token_type=np.ones(3, np.int32)))
    assert "model is missing" in bad({})
    assert "no token for byte 0x68" in bad(
        byte_level(tokens=["x" * 99 if t == "h" else t for t in tokens], merges=["i n"])
    )


@pytest.mark.parametrize("merge", ["h zz", "zz h", "h o", "h", "", " "])
@pytest.mark.parametrize("library", [False, True], ids=["short", "library"])
def test_a_merge_that_needs_an_absent_token_is_an_error(merge: str, library: bool) -> None:
    tokenizer = Tokenizer.from_metadata(byte_level(merges=[merge]))
    use_library(tokenizer, library)
    if library or merge == "h o":
        with pytest.raises(TokenizerError, match="merge 0 of tokenizer.ggml.merges"):
            tokenizer.encode("ho")


def test_unknown_kinds_are_named() -> None:
    for model in ("t5", "rwkv", "plamo2", "nonsense"):
        with pytest.raises(UnsupportedError, match=f"tokenizer '{model}'"):
            Tokenizer.from_metadata(byte_level(model=model))


def test_half_a_surrogate_pair_is_an_error() -> None:
    with pytest.raises(TokenizerError, match="character 1"):
        BPE.encode("a\udc80")
    with pytest.raises(TokenizerError, match="token 100000 is out of range"):
        BPE.decode([100000])


def test_encoding_from_many_threads() -> None:
    tokenizer = Tokenizer.from_metadata(byte_level())
    texts = [f"hello world {number} <|im_end|>" * 5 for number in range(200)]
    wanted = [BPE.encode(text) for text in texts]
    found: dict[int, list[list[int]]] = {}

    def work(number: int) -> None:
        found[number] = [tokenizer.encode(text) for text in texts]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == wanted for number in range(4))


def test_strings_in_one_go_equal_strings_one_by_one(stories_path: Path) -> None:
    tokens = GGUFFile.open(stories_path).metadata["tokenizer.ggml.tokens"]
    assert tokens.tolist() == list(tokens)


@settings(max_examples=30, deadline=None)
@given(st.text(st.sampled_from("Once upon a time, there was\n Lily's")))
def test_real_model_round_trip(stories: Tokenizer, text: str) -> None:
    assert stories.decode(stories.encode(text, bos=True)) == text


def test_the_test_vocabulary_has_its_control_tokens() -> None:
    assert {BPE.tokens[id] for id in BPE.control_ids} == set(CONTROL_TEXTS)
