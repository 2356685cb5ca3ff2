"""Every pre-tokeniser that GGUF files name cuts text as its model's own tokenizer does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text.vocabularies import byte_level

from homezoo.errors import UnsupportedError
from homezoo.text.bpe import BpeEncoder
from homezoo.text.pretokenizers import PreTokenizer, known_names, pretokenizer
from homezoo.text.vocabulary import Vocabulary

# Names of llama.cpp's table; one that goes missing here would make a family of models unusable.
NAMES = [
    "a.x-4.0", "afmoe", "bailingmoe", "bailingmoe2", "bloom", "chameleon", "chatglm-bpe",
    "codeshell", "cohere2moe", "command-r", "dbrx", "deepseek-coder", "deepseek-llm",
    "deepseek-r1-qwen", "deepseek-v3", "default", "exaone", "exaone-moe", "exaone4", "f2llmv2",
    "falcon", "falcon-h1", "falcon3", "gemma4", "gigachat", "glm4", "glm5", "gpt-2", "gpt-4o",
    "gpt3-finnish", "granite-docling", "granite-embed-multi-311m", "granite-embed-multi-97m",
    "grok-2", "hunyuan", "hunyuan-dense", "hy_v4", "jais", "jais-2", "jina-de", "jina-es",
    "jina-v1-en", "jina-v2-code", "jina-v2-de", "jina-v2-es", "jina-v5-nano", "joyai-llm",
    "kanana2", "kimi-k2", "kormo", "laguna", "lfm2", "llada-moe", "llama-bpe", "llama-v3",
    "llama3", "llama4", "megrez", "mellum", "mellum2", "midm-2.0", "minerva-7b", "minicpm5",
    "minimax-m2", "modern-bert", "mpt", "olmo", "phi-2", "pixtral", "poro-chat", "qwen2",
    "qwen35", "refact", "roberta-bpe", "sarvam-moe", "seed-coder", "smaug-bpe", "smollm",
    "solar-open", "spark2_5", "stablelm2", "starcoder", "superbpe", "talkie", "tekken",
    "tiny_aya", "trillion", "ufakzeka", "viking", "youtu",
]  # fmt: skip

VOCABULARY = Vocabulary.from_metadata(byte_level(), "gpt2", {})


def pieces(name: str, text: str) -> list[str]:
    """The pieces of an ASCII text, with spaces as spaces."""
    rule = pretokenizer(name)
    spelt = BpeEncoder(VOCABULARY, rule)._pieces.pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in spelt]


def test_every_name_is_known() -> None:
    assert known_names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(text=st.text(st.sampled_from("aÉя你カ한1٣ .,'s\n\r\t_-é́🚀$") | st.characters(codec="utf-8")))
def test_pieces_make_up_the_text(name: str, text: str) -> None:
    assert "".join(pieces(name, text)) == text


TEXT = "I'LL buy 12345 Apples,  ok?!\n\n x=1;"
# The pieces, divided by ¦.
CUTS: dict[str, str] = {
    "gpt-2": "I¦'¦LL¦ buy¦ 12345¦ Apples¦,¦ ¦ ok¦?!¦\n\n¦ x¦=¦1¦;",
    "llama3": "I¦'LL¦ buy¦ ¦123¦45¦ Apples¦,¦ ¦ ok¦?!\n\n¦ x¦=¦1¦;",
    "qwen2": "I¦'LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦,¦ ¦ ok¦?!\n\n¦ x¦=¦1¦;",
    "starcoder": "I¦'¦LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦,¦ ¦ ok¦?!¦\n\n¦ x¦=¦1¦;",
    "falcon": "I¦'¦LL¦ buy¦ ¦123¦45¦ Apples¦,¦ ¦ ok¦?!¦\n\n¦ x¦=¦1¦;",
    "deepseek-llm": "I¦'¦LL¦ buy¦ ¦12345¦ Apples¦,¦ ¦ ok¦?!¦\n¦\n¦ x¦=¦1¦;",
    "deepseek-coder": "I¦'¦LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦,¦ ¦ ok¦?!¦\n¦\n¦ x¦=¦1¦;",
    "deepseek-v3": "I¦'LL¦ buy¦ ¦123¦45¦ Apples¦,¦ ¦ ok¦?!\n\n¦ x¦=¦1¦;",
    "gpt-4o": "I'LL¦ buy¦ ¦123¦45¦ Apples¦,¦ ¦ ok¦?!\n\n¦ x¦=¦1¦;",
    "tekken": "I¦'LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦,¦ ¦ ok¦?!\n\n¦ x¦=¦1¦;",
    "bloom": "I'LL¦ buy¦ 12345¦ Apples¦, ¦ ok¦?!\n\n¦ x=1;",
    "viking": "I'LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦, ¦ ok¦?!\n\n¦ x=¦1¦;",
    "superbpe": "I'LL buy ¦12¦345¦ Apples,  ok?!\n\n x=¦1¦;",
    "afmoe": "I¦'LL¦ buy¦ ¦12¦345¦ Apples¦,¦ ¦ ok¦?!\n\n¦ x¦=¦1¦;",
    "gemma4": "I'LL buy 12345 Apples,  ok?!¦\n\n¦ x=1;",
    "laguna": "I¦'LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦,¦ ¦ ok¦?!¦\n\n¦ x¦=¦1¦;",
    "seed-coder": "I¦'LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦,¦ ¦ ok¦?!¦\n\n¦ x¦=¦1¦;",
    "bailingmoe": "I¦'LL¦ buy¦ ¦1¦2¦3¦4¦5¦ Apples¦,¦ ¦ ok¦?!\n\n¦ x¦=¦1¦;",
    "default": "I¦'¦LL¦ buy¦ ¦123¦45¦ Apples¦,¦ ¦ ok¦?!¦\n\n¦ x¦=¦1¦;",
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts(name: str) -> None:
    assert "¦".join(pieces(name, TEXT)) == CUTS[name]


def test_cuts_beyond_ascii() -> None:
    assert pieces("qwen35", "हिन्दी x") == ["हिन्दी", " x"], "marks stay with their letters"
    assert pieces("qwen2", "हिन्दी x") == ["ह", "िन", "्द", "ी", " x"]
    assert pieces("tekken", "straßeÉCOLE") == ["straße", "ÉCOLE"], "case turns, not only in ASCII"
    assert pieces("kimi-k2", "你好abc") == ["你好", "abc"], "Han apart from other letters"
    assert pieces("deepseek-v3", "你好カabc") == ["你好カ", "abc"]
    assert pieces("tiny_aya", "a 1234567") == ["a", " ", "1", "234", "567"], "digits from the right"
    assert pieces("chameleon", "a <sentinel:12>")[-1] == ">", "signs are cut apart"


def test_families_differ_where_their_models_do() -> None:
    assert pretokenizer("llama-bpe").ignore_merges and pretokenizer("llama-bpe").adds_bos
    assert pretokenizer("tekken").adds_bos and not pretokenizer("qwen2").adds_bos
    assert not pretokenizer("smaug-bpe").ignore_merges
    assert not pretokenizer("gemma4").byte_level
    assert all(isinstance(pretokenizer(name), PreTokenizer) for name in NAMES)


def test_an_unknown_name_is_an_error_that_says_it_and_what_is_known() -> None:
    with pytest.raises(UnsupportedError, match=r"'bert-2030'.*known are a\.x-4\.0, afmoe, "):
        pretokenizer("bert-2030")
