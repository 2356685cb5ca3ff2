"""Checks of a chat template: it renders, ends turns, lets answers begin, and begins texts once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from homezoo.errors import HomezooError, TemplateError
from homezoo.text.template import KEY, ChatTemplate
from homezoo.text.tokenizer import Tokenizer
from homezoo.text.vocabulary import PREFIX
from homezoo.zoo.finding import Finding

_ASKED, _SAID, _AGAIN = "QQQ what is it?", "AAA it is that.", "RRR and then?"
_TALK = (
    {"role": "user", "content": _ASKED},
    {"role": "assistant", "content": _SAID},
    {"role": "user", "content": _AGAIN},
)
_BOS = re.compile(r"\{\{-?\s*bos_token\s*-?\}\}")
_MARK = re.compile(r"<\|[a-z_]{2,24}\|>|<(?:start|end)_of_turn>")
_AGAIN_LATER = "convert the model again, or give the family's template with --template FILE"
# What begins an answer in the families of templates, beside the mark of their turns.
FAMILIES = {
    "ChatML": ("<|im_start|>", "<|im_end|>", "<|im_start|>assistant\n"),
    "Llama 3": ("<|start_header_id|>", "<|eot_id|>",
                "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "Gemma": ("<start_of_turn>", "<end_of_turn>", "<start_of_turn>model\n"),
    "Phi-3": ("<|user|>", "<|end|>", "<|assistant|>"),
    "Llama 2": ("[INST]", "</s>", "[/INST]"),
}  # fmt: skip


def check_template(
    metadata: Mapping[str, Any], tokenizer: Tokenizer | None = None
) -> Iterator[Finding]:
    """Findings about the chat template; none for a file without one (a base model).

    `tokenizer`: the file's, if it is open already.
    """
    if KEY not in metadata or PREFIX + "model" not in metadata:
        return
    try:
        template = ChatTemplate.from_metadata(metadata)
        tokenizer = tokenizer or Tokenizer.from_metadata(metadata)
        talk = template.render(_TALK)
        waiting = template.render(_TALK[:1])
        silent = template.render(_TALK[:1], add_generation_prompt=False)
    except TemplateError as error:
        yield Finding(
            "template",
            f"the chat template fails on an ordinary talk: {error}",
            "chat does not work",
            _AGAIN_LATER,
        )
        return
    except HomezooError:
        return  # the vocabulary's own check says it
    yield from _forgets(talk)
    yield from _never_answers(template.source, waiting, silent)
    yield from _never_ends(template, tokenizer, talk)
    yield from _begins_twice(template.source, tokenizer, waiting)
    yield from _unknown_marks(tokenizer, talk)


def _forgets(talk: str) -> Iterator[Finding]:
    lost = [text for text in (_ASKED, _SAID, _AGAIN) if text not in talk]
    if lost:
        yield Finding(
            "template",
            f"the chat template leaves out what was said: {len(lost)} of three messages",
            "the model answers a talk it has not seen",
            _AGAIN_LATER,
        )


def _family(text: str) -> str | None:
    return next((name for name, (mark, _, _) in FAMILIES.items() if mark in text), None)


def _never_answers(source: str, waiting: str, silent: str) -> Iterator[Finding]:
    """Without a generation prompt the model goes on as the user. Some forms need none."""
    family = _family(waiting)
    if family is None:
        return
    begin = FAMILIES[family][2]
    if begin.strip() not in waiting[waiting.rfind(_ASKED) :]:
        yield Finding(
            "template",
            f"the chat template ({family}) does not begin the answer with {begin!r}",
            "the model writes the user's next words, or a role, before it answers",
            _AGAIN_LATER,
            _with_generation_prompt(source, begin) if waiting == silent else {},
        )


def _with_generation_prompt(source: str, begin: str) -> dict[str, str]:
    if "add_generation_prompt" in source:
        return {}
    escaped = begin.replace("\n", "\\n")
    return {KEY: source + "{% if add_generation_prompt %}{{ '" + escaped + "' }}{% endif %}"}


def _never_ends(template: ChatTemplate, tokenizer: Tokenizer, talk: str) -> Iterator[Finding]:
    """An answer in the talk must be followed by a token that also ends one."""
    after = talk[talk.find(_SAID) + len(_SAID) : talk.find(_AGAIN)]
    family = _family(talk)
    if family is not None:
        after = after.partition(FAMILIES[family][0])[0]  # up to where the next turn begins
    ids = tokenizer.encode(after, special=True)
    if tokenizer.end_ids.intersection(ids):
        return
    marks = _marks(tokenizer, ids)
    if family is None and not marks:
        return  # a plain form, as Alpaca's: lines alone part the turns
    if not marks:
        named = f" ({family})" if family else ""
        yield Finding(
            "template",
            f"the chat template{named} does not end a turn: {after[:40]!r} follows an answer",
            "the model does not know where answers end, and talks on",
            _AGAIN_LATER,
        )
        return
    yield Finding(
        "special tokens",
        f"{tokenizer.tokens[marks[0]]!r} ends turns in the chat template, but not an answer: "
        f"{PREFIX}eot_token_id does not name it",
        "answers go on after their end, and the model talks to itself",
        f"set {PREFIX}eot_token_id to {marks[0]}",
        {PREFIX + "eot_token_id": marks[0]},
    )


def _marks(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    control = set(tokenizer.control_ids)
    return [id for id in ids if id in control]


def _begins_twice(source: str, tokenizer: Tokenizer, waiting: str) -> Iterator[Finding]:
    ids, bos = tokenizer.encode(waiting, special=True), tokenizer.bos_id
    if bos is not None and ids[:2] == [bos, bos]:
        yield Finding(
            "template",
            f"the chat template begins a text twice with {tokenizer.tokens[bos]!r}",
            "the model reads a beginning it was never trained on, and answers get worse",
            _AGAIN_LATER,
        )
    elif tokenizer.adds_bos and bos is not None and ids[:1] == [bos]:
        yield Finding(
            "template",
            f"the chat template writes {tokenizer.tokens[bos]!r}, and the vocabulary adds it too",
            "programs that do not look begin every talk with two of them; homezoo keeps one",
            "take bos_token out of the chat template",
            _without_bos(source),
        )


def _without_bos(source: str) -> dict[str, str]:
    """The template without the one place where it only writes BOS, if there is just one."""
    found = _BOS.findall(source)
    return {KEY: _BOS.sub("", source)} if len(found) == 1 else {}


def _unknown_marks(tokenizer: Tokenizer, talk: str) -> Iterator[Finding]:
    """Marks such as <|im_end|> that are no tokens of this vocabulary."""
    lost = sorted(mark for mark in set(_MARK.findall(talk)) if mark not in tokenizer.tokens)
    if lost:
        yield Finding(
            "template",
            f"the chat template writes {lost[0]!r}, which is no token of the vocabulary",
            "the template is of another model: the mark is read letter by letter",
            _AGAIN_LATER,
        )
