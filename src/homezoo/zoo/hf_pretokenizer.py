"""Finds the GGUF name of a byte-level BPE tokenizer's rule for cutting text, by what the rule does.

The file's own pre-tokeniser and every rule of text/pretokenizers.py cut one probe text; the rule
that cuts it in the same places is taken. Spelling of patterns does not matter then, and a rule
that is not known is an error, as a near one would give wrong tokens silently.
"""

import json
from typing import TYPE_CHECKING, Any

from homezoo.errors import UnsupportedError
from homezoo.text.pretokenizers import PreTokenizer, known_names, pretokenizer

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer as LibraryPreTokenizer

# Text on which every two rules of the table that differ cut differently (a test holds that):
# contractions in both cases, camel case, digits in runs of 1 to 8, signs before words, slashes and
# line ends behind signs, runs of spaces, tabs and lines, marks of their own, and many scripts.
PROBE = (
    "I'm we'LL YOU'RE they'd x'y x'sorry 'sorry ''S HelloWorld helloWORLDtoday HTTPServer"
    " fooBar2000 ǅungla"
    " 1 12  3   4 123 1234 12345 123456 1234567 12345678 3.14 1,000 ²³ ٣٤٥٦ x1y22z333w4444\n"
    "a/b // c /// d/\n e./\r\n f!\n\n g!? \t\n  h\r\n\r\n\r\n  i   \n\n\n   j \u00a0 k\u3000l   m"
    " (n) [o] {p} <q> $r €s @t #u %v ^w &x *y -z _under_score __init__ ~tilde |pipe `tick`"
    ' "quote" “curly” ‘single’ it’s … – — • ™ © ½ №'
    " naïve cafe\u0301 re\u0301sume\u0301 Ünïcödé ÉCOLE İstanbul ß ﬁ"
    " Привет МИРмир Ελλάδα שָׁלוֹם مرحبا، العالم۔ हिन्दी में भाषा। ไทยภาษา ລາວ ភាសា မြန်မာ 한국어 조선말ㄱ"
    " 中文字符，测试。 中文English混合123 日本語のテキスト カタカナ ﾊﾝｶｸ ㄅㄆㄇ 㐀 ！？：；"
    " 😀👍🏽 👨\u200d👩\u200d👧 🇩🇪 \u200b\ufeff x\u0300y \u0300 a\u0300\u0301b"
    " <sentinel:12> IMGIMGABCZ\t    \tindent        eight                 many\n\n  two\n"
    " def f(x):\n\treturn x**2  # it's\n\n\n\nend 'Twas !word ?Word .dot ..dots\n,comma\nnew \r\r 9"
    " a  b"
    + " " * 40
    + "c 'd 'l 'LL 've !!\n/x :/\n/ é'S\n A'B aBc ABc aBC 1a a1 ١a 漢1字 漢A a漢 \n"
)
# Names that say most; the others follow by the alphabet.
_PREFERRED = (
    "llama-bpe", "qwen2", "gpt-2", "smollm", "bloom", "falcon", "tekken", "gpt-4o", "deepseek-v3",
    "deepseek-llm", "deepseek-coder", "glm4",
)  # fmt: skip
# Rules that cut finer than their GGUF names do, at places that no merge of such files crosses, as
# they were trained with the same cuts: Falcon's last two steps see bytes, and part a space from
# few digits. Whoever takes such a name proves it on texts (hf_tokenizer.prove).
_FINER: dict[str, list[dict[str, Any]]] = {
    "falcon": [
        {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        {"type": "Digits", "individual_digits": False},
        {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated"},
    ],
}
_FALLBACK = "default"  # the rule of files that name none; no model was made with it
SHOWN = 300  # characters of an unknown rule in the error


def recognise(library: "LibraryPreTokenizer", described: object, ignore_merges: bool) -> str:
    """The name for `tokenizer.ggml.pre` of a file's pre-tokeniser.

    `described` is its JSON, shown in the UnsupportedError for one that is not in the table.
    """
    wanted = [piece for piece, _ in library.pre_tokenize_str(PROBE)]
    near: list[str] = []
    for name in _names():
        rule = pretokenizer(name)
        if rule.byte_level and cut(rule, PROBE) == wanted:
            if rule.ignore_merges == ignore_merges:
                return name
            near.append(name)
    for name, steps in _FINER.items():
        if _has_steps(described, steps) and pretokenizer(name).ignore_merges == ignore_merges:
            return name
    text = json.dumps(described, ensure_ascii=False)[:SHOWN]
    if near:
        raise UnsupportedError(
            f"the pre-tokeniser cuts text as {near[0]!r} does, but with ignore_merges "
            f"{ignore_merges} that is no rule that GGUF has a name for: {text}"
        )
    raise UnsupportedError(
        f"the pre-tokeniser of tokenizer.json is none that GGUF has a name for, and another one "
        f"would give wrong tokens: {text}"
    )


def _has_steps(described: object, steps: list[dict[str, Any]]) -> bool:
    """Whether a file's JSON is a sequence of these steps, whatever else it says of them."""
    given = described.get("pretokenizers") if isinstance(described, dict) else None
    return (
        isinstance(given, list)
        and len(given) == len(steps)
        and all(
            isinstance(found, dict) and found | step == found
            for found, step in zip(given, steps, strict=True)
        )
    )


def cut(rule: PreTokenizer, text: str) -> list[str]:
    """The pieces of a text by a rule of the table, spelt in GPT-2's alphabet of bytes."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    steps = [Split(Regex(pattern), "isolated") for pattern in rule.patterns]
    both = Sequence([*steps, ByteLevel(add_prefix_space=False, use_regex=False)])
    return [piece for piece, _ in both.pre_tokenize_str(text)]


def _names() -> list[str]:
    others = [name for name in known_names() if name not in (*_PREFERRED, _FALLBACK)]
    return [*_PREFERRED, *others]
