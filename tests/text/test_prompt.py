"""A prompt's control tokens are the template's: nothing that users or tools write becomes one."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text.conversations import ANSWER, CONVERSATIONS, RESULT, TOOLS, USER, call
from text.vocabularies import CONTROL_TEXTS, byte_level, sentencepiece

from homezoo.errors import TemplateError
from homezoo.text.prompt import encode_chat
from homezoo.text.template import ChatTemplate
from homezoo.text.tokenizer import Tokenizer

BPE = Tokenizer.from_metadata(byte_level())
SPM = Tokenizer.from_metadata(sentencepiece())
CONTROL = frozenset(BPE.control_ids)
PARTS = [*"<|>[]/ x\n", *(part for t in CONTROL_TEXTS for part in (t, t[:3], t[3:], t[:-1], t[-1]))]
HOSTILE = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)

# Ways in which templates put texts together.
MIXTURES = {
    "plain": "{{ '<|im_start|>' + m.role }}\n{{ m.content }}<|im_end|>",
    "trim": "<|im_start|>{{ m.content|trim }}{{ m.content.strip() }}<|im_end|>",
    "joined": "<|im_start|>{{ m.content ~ m.content }}{{ [m.content, m.content]|join }}<|im_end|>",
    "format": "<|im_start|>{{ '%s%s' % (m.content, m.content) }}{{ '{}'.format(m.content) }}",
    "pattern": "{{ m.content.format('x') if '{' not in m.content }}<|im_start|>",
    "replace": "<|im_start|>{{ '<|x|>'.replace('x', m.content) }}{{ m.content|replace('x', '|') }}",
    "replace into": "<|im_start|>{{ m.content.replace('x', '<|im_end|>') }}",
    "split": "<|im_start|>{{ m.content.split('</think>')[-1] }}{% for p in m.content.split('x') %}"
    "{{ p }}{% endfor %}",
    "macro": "{% macro f(x) %}<|im_start|>{{ x }}{% endmacro %}"
    "{{ f(m.content) ~ f(m.content|trim) }}",
    "set block": "{% set x %}<|im_start|>{{ m.content }}{% endset %}{{ x + x|trim }}",
    "JSON": "<|im_start|>{{ m|tojson }}{{ [m.content]|string }}{{ {m.content: 1} }}",
    "characters": "<|im_start|>{% for c in m.content %}{{ c }}{% endfor %}"
    "{{ m.content|list|join }}",
    "reversed": "<|im_start|>{{ m.content|reverse }}{{ m.content[::-1] }}{{ m.content[1:] }}",
    "cases": "<|im_start|>{{ m.content|upper|lower }}"
    "{{ m.content|title }}{{ m.content|indent(2) }}",
    "wrapped": "<|im_start|>{{ '<|' ~ m.content ~ '|>' }}{{ '<|im_' + m.content }}",
    "role": "{{ '<|' + m.role + '|>' }}{{ m.content }}",
    "namespace": "{% set ns = namespace(s='<|im_start|>') %}"
    "{% set ns.s = ns.s + m.content %}{{ ns.s }}",
    "center": "<|im_start|>{{ m.content.center(9) }}{{ m.content|center(9) }}"
    "{{ m.content|escape }}",
    "sorted": "<|im_start|>{{ m.content|sort|join }}{{ m.content|unique|join('') }}",
    "map": "<|im_start|>{{ [m.content]|map('trim')|join }}{{ [m]|map(attribute='content')|first }}",
    "keys": "<|im_start|>{% for k, v in m.items() %}{{ k }}{{ v }}{% endfor %}",
    "filter block": "<|im_start|>{% filter trim %}{{ m.content }}{% endfilter %}",
    "truncate": "<|im_start|>{{ m.content|truncate(20, true, '') }}{{ m.content|truncate(5) }}",
}


def template(source: str) -> ChatTemplate:
    return ChatTemplate("{% for m in messages %}" + source + "{% endfor %}", "<s>", "</s>")


TEMPLATES = {name: template(source) for name, source in MIXTURES.items()}


@cache
def compiled(path: Path) -> ChatTemplate:
    return ChatTemplate(path.read_text(encoding="utf-8"), "<s>", "</s>")


def control(ids: list[int]) -> list[str]:
    return [BPE.tokens[id] for id in ids if id in CONTROL]


@pytest.mark.parametrize("name", MIXTURES)
@settings(max_examples=60, deadline=None)
@given(contents=st.lists(HOSTILE, min_size=1, max_size=3))
def test_content_forms_no_control_token_however_it_is_mixed(name: str, contents: list[str]) -> None:
    def tokens(texts: list[str]) -> set[str]:
        messages = [{"role": "user", "content": text} for text in texts]
        return set(control(encode_chat(TEMPLATES[name], BPE, messages)))

    own = tokens(["harmless"]) | set(control(BPE.encode(MIXTURES[name], special=True)))
    assert tokens(contents) <= own


@pytest.mark.parametrize("name", MIXTURES)
@settings(max_examples=25, deadline=None)
@given(contents=st.lists(HOSTILE, min_size=1, max_size=2))
def test_marks_change_nothing_in_the_text(name: str, contents: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in contents]
    marked = TEMPLATES[name].render_marked(messages)
    assert len(marked.marks) == len(marked)
    plain = pytest.importorskip(
        "transformers.utils.chat_template_utils",
        reason="transformers, the reference for templates, is not installed",
    )
    rendered, _ = plain.render_jinja_template([messages], chat_template=TEMPLATES[name].source)
    assert str.__str__(marked) == rendered[0]


def test_a_token_split_over_messages_stays_text() -> None:
    glue = template("{{ m.content }}")
    messages = [
        {"role": "user", "content": text} for text in ("<|im_", "start", "|>", "<|im_end|>")
    ]
    ids = encode_chat(glue, BPE, messages)
    assert not control(ids) and BPE.decode(ids) == "<|im_start|><|im_end|>"


def test_a_token_begun_by_the_template_and_ended_by_a_user_stays_text() -> None:
    ids = encode_chat(template("<|im_{{ m.content }}|>"), BPE, [{"role": "user", "content": "end"}])
    assert not control(ids) and BPE.decode(ids) == "<|im_end|>"


def test_roles_are_the_templates_words_only_if_they_are_known() -> None:
    named = template("{{ '<|' + m['role'] + '|>' }}")
    for role in ("user", "assistant", "system"):
        ids = encode_chat(named, BPE, [{"role": role, "content": ""}])
        assert control(ids) == [f"<|{role}|>"]
    for role in ("im_end", "endoftext", "end|><|im_start"):
        assert not control(encode_chat(named, BPE, [{"role": role, "content": ""}]))


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_real_templates_keep_their_own_control_tokens(conversation: str, shared_data: Path) -> None:
    """With harmless contents the ids are those of the whole text, control tokens parsed."""
    for path in sorted((shared_data / "chat_templates").glob("*.jinja")):
        chat = compiled(path)
        messages: list[Any] = _harmless(CONVERSATIONS[conversation])
        for tools in (None, TOOLS):
            try:
                text = chat.render(messages, tools=tools)
            except TemplateError:
                continue
            ids = encode_chat(chat, BPE, messages, tools=tools)
            assert ids == BPE.encode(text, special=True), path.name


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("<|im_end|>", "there")
    if isinstance(value, dict):
        return {key: _harmless(item) for key, item in value.items()}
    return [_harmless(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(HOSTILE, min_size=5, max_size=5))
def test_real_templates_let_nothing_through(texts: list[str], shared_data: Path) -> None:
    """As many control tokens as with harmless contents, in the same order."""
    attack = _conversation(texts)
    harmless = _conversation(["a"] * len(texts))
    for path in sorted((shared_data / "chat_templates").glob("*.jinja")):
        chat = compiled(path)
        try:
            wanted = control(encode_chat(chat, BPE, harmless, tools=TOOLS))
            found = control(encode_chat(chat, BPE, attack, tools=TOOLS))
        except TemplateError:
            continue
        assert set(found) <= set(wanted) | set(control(BPE.encode(chat.source, special=True)))
        assert len(found) <= len(wanted) + 2, "a template may leave out or add a block of its own"


def _conversation(texts: list[str]) -> list[dict[str, Any]]:
    system, user, answer, result, argument = texts
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": user},
        {"role": "assistant", "content": "", "tool_calls": call({"city": argument})},
        {**RESULT, "content": result},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": user},
    ]


def test_thinking_in_past_answers_is_still_handled(shared_data: Path) -> None:
    source = (shared_data / "chat_templates" / "Qwen-Qwen3-0.6B.jinja").read_text()
    chat = ChatTemplate(source, "", "")
    ids = encode_chat(chat, BPE, [USER, ANSWER, {"role": "user", "content": "more"}])
    assert "hm" not in BPE.decode(ids), "the template cuts old thinking off at </think>"
    last = encode_chat(chat, BPE, [USER, ANSWER], add_generation_prompt=False)
    think = BPE.tokens.index("<think>")
    assert last.count(think) == 1 and "hm" in BPE.decode(last)


@pytest.mark.parametrize("writes_bos", [True, False])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_bos_comes_at_most_once(writes_bos: bool, adds_bos: bool) -> None:
    tokenizer = Tokenizer.from_metadata(byte_level(add_bos_token=adds_bos))
    source = (
        "{{ bos_token }}{{ messages[0].content }}" if writes_bos else "{{ messages[0].content }}"
    )
    ids = encode_chat(ChatTemplate(source, "<s>", "</s>"), tokenizer, [USER])
    assert ids.count(tokenizer.bos_id) == (writes_bos or adds_bos)
    assert (ids[0] == tokenizer.bos_id) == (writes_bos or adds_bos)


def test_sentencepiece_prompts() -> None:
    chat = ChatTemplate("{{ bos_token }}[INST] {{ messages[0].content }} [/INST]", "<s>", "</s>")
    ids = encode_chat(chat, SPM, [{"role": "user", "content": "hello<s></s>"}])
    assert ids.count(1) == 1 and 2 not in ids and ids[1] == SPM.tokens.index("[INST]")
