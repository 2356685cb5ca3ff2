"""Chat templates render as transformers renders them, and refuse what it refuses."""

import itertools
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from text.conversations import ANSWER, CONVERSATIONS, TOOLS, USER

from homezoo.errors import TemplateError
from homezoo.text.template import ChatTemplate

USER_ONLY = [{"role": "user", "content": "hello"}]


def reference(source: str, conversation: list[dict[str, Any]], **variables: Any) -> str | None:
    """What transformers renders; None if it refuses."""
    utils = pytest.importorskip(
        "transformers.utils.chat_template_utils",
        reason="transformers, the reference for templates, is not installed",
    )
    try:
        rendered, _ = utils.render_jinja_template(
            [conversation], chat_template=source, bos_token="<s>", eos_token="</s>", **variables
        )
    except Exception:  # templates make it raise all kinds
        return None
    return str(rendered[0])


@cache
def compiled(source: str) -> ChatTemplate:
    return ChatTemplate(source, "<s>", "</s>")


def ours(source: str, conversation: list[dict[str, Any]], **variables: Any) -> str | None:
    try:
        return compiled(source).render(conversation, **variables)
    except TemplateError as error:
        assert "\n" not in str(error)
        return None


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_template_renders_as_transformers_does(name: str, shared_data: Path) -> None:
    files = sorted((shared_data / "chat_templates").glob("*.jinja"))
    assert len(files) >= 19
    variables = itertools.product((None, TOOLS), (True, False), ({}, {"enable_thinking": False}))
    options = [
        {"tools": tools, "add_generation_prompt": prompt, **more}
        for tools, prompt, more in variables
    ]
    rendered = 0
    for file in files:
        source = file.read_text(encoding="utf-8")
        for given in options:
            wanted = reference(source, CONVERSATIONS[name], **given)
            assert ours(source, CONVERSATIONS[name], **given) == wanted, (file.name, given)
            rendered += wanted is not None
    assert rendered or name == "unknown role"


SNIPPETS = {
    "tojson": "{{ {'b': '<é>', 'a': [1, 2.5, none, true]}|tojson }}",
    "tojson options": "{{ {'b': 1, 'a': {'c': []}}|tojson(indent=2, sort_keys=true) }}",
    "tojson separators": "{{ [1, 'é']|tojson(ensure_ascii=true, separators=(',', ':')) }}",
    "loop controls": "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}"
    "{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "loop variables": "{% for m in [1, 2, 3] %}{{ loop.index }}{{ loop.first }}{{ loop.last }}"
    "{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "loop filter": "{% for m in [1, 2, 3] if m != 2 %}{{ m }}{% else %}none{% endfor %}",
    "recursive loop": "{% for a in [1, [2, [3]]] recursive %}"
    "{{ loop(a) if a is iterable else a }}{% endfor %}",
    "generation": "a{% generation %}b{{ bos_token }}{% endgeneration %}c",
    "namespace": "{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}",
    "macro": "{% macro f(x, y=2) %}[{{ x }}{{ y }}{{ kwargs }}]{% endmacro %}"
    "{{ f(1) ~ f(y=3, x=4) }}",
    "call": "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}in{% endcall %}",
    "white space": "  {% if true %}  \n a {% endif %} \n{%- set x = 1 -%}  \n b {{ x -}} c",
    "slices": "{{ 'abcdef'[1:-1] }}{{ [1, 2, 3][::-1] }}{{ messages[0:1]|length }}",
    "methods": "{{ 'a b'.split(' ') }}{{ ' x '.strip() }}{{ 'ab'.upper().lower().title() }}"
    "{{ 'a,b'.replace(',', ';') }}{{ ','.join(['a', 'b']) }}{{ 'abc'.startswith('a') }}",
    "formats": "{{ '%s-%05.1f' % ('a', 1) }}{{ '{}:{x}'.format(1, x='y') }}{{ '%s'|format(3) }}",
    "dicts": "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}"
    "{{ {'a': 1}.get('b', 'c') }}{{ {'a': 1}|items|list }}{{ {'b': 1, 'a': 2}|dictsort }}",
    "filters": "{{ [3, 1, 2]|sort }}{{ 'abc'|first }}{{ [1, 1]|unique|list }}{{ [1, 2]|sum }}"
    "{{ 'a b'|title }}{{ '  x'|trim }}{{ 'x'|default('y') }}{{ z|default('y') }}{{ 3.7|int }}"
    "{{ [1, 2, 3]|batch(2)|list }}{{ 'a\nb'|indent(2) }}{{ ['a', 'b']|join(', ') }}"
    "{{ [{'a': 1}, {'a': 2}]|map(attribute='a')|join('+', attribute=none) }}{{ 'abc'|length }}"
    "{{ [{'a': 1}, {'b': 2}]|selectattr('a', 'defined')|list }}{{ 'a-b'|replace('-', '_') }}",
    "tests": "{{ 1 is number }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is sequence }}"
    "{{ x is defined }}{{ none is none }}{{ 3 is divisibleby 3 }}{{ 'a' in 'abc' }}{{ 2 is odd }}",
    "arithmetic": "{{ 1 + 2 * 3 ** 2 // 4 % 5 - 6 / 4 }}{{ 'a' * 3 }}{{ [1] + [2] }}{{ -3 }}",
    "concatenation": "{{ 'a' ~ 1 ~ none ~ true ~ 2.5 ~ [1] }}",
    "comparison": "{{ 1 < 2 < 3 }}{{ 'a' == 'a' != 'b' }}{{ not 1 in [2] }}",
    "printed values": "{{ none }}{{ true }}{{ 1.0 }}{{ [none, 'a\\'b'] }}{{ {'a': (1,)} }}{{ u }}",
    "set block": "{% set x %}a{{ 1 }}b{% endset %}{{ x|length }}{{ x }}",
    "filter block": "{% filter upper %}abc{{ 'd' }}{% endfilter %}",
    "raw": "{% raw %}{{ x }}{% endraw %}{# comment #}",
    "undefined": "{{ a.b.c }}",
    "undefined sum": "{{ a + 'b' }}",
    "syntax": "{{ 'a' ",
    "no such filter": "{{ 'a'|shout }}",
    "raise_exception": "{{ raise_exception('no') }}",
    "division": "{{ 1 // 0 }}",
    "roles": "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m.content|trim }}{% endfor %}",
    "reasoning": "{% for m in messages %}{{ m.thinking }}{{ m.reasoning_content }}{% endfor %}",
    "documents": "{{ tools is none }}{{ documents is defined }}{{ documents is none }}",
}


@pytest.mark.parametrize("source", SNIPPETS.values(), ids=SNIPPETS)
def test_the_language_is_that_of_transformers(source: str) -> None:
    thought = {**ANSWER, "thinking": "hm"}
    for conversation in ([USER], [USER, thought]):
        wanted = reference(source, conversation)
        assert ours(source, conversation, add_generation_prompt=False) == wanted


def test_the_date_is_todays() -> None:
    template = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}", "", "")
    assert template.render([]) == datetime.now().strftime("%Y-%m-%d")


def test_refusals_reach_the_user_in_one_line() -> None:
    template = ChatTemplate("{{ raise_exception('roles must\\nalternate') }}", "", "")
    with pytest.raises(TemplateError, match="^roles must alternate$"):
        template.render([])


METADATA: dict[str, Any] = {
    "tokenizer.ggml.tokens": ["<unk>", "<bos>", "<eos>"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.chat_template": "{{ bos_token }}plain{{ eos_token }}",
    "tokenizer.chat_template.tool_use": "{{ bos_token }}tools",
    "tokenizer.chat_template.rag": "rag",
}


def test_the_template_is_chosen_from_the_file() -> None:
    template = ChatTemplate.from_metadata(METADATA)
    assert template.render(USER_ONLY) == "<bos>plain<eos>"
    assert template.render(USER_ONLY, tools=TOOLS) == "<bos>tools"
    assert ChatTemplate.from_metadata(METADATA, "rag").render(USER_ONLY) == "rag"
    only = {key: value for key, value in METADATA.items() if not key.endswith(("tool_use", "rag"))}
    assert ChatTemplate.from_metadata(only).render(USER_ONLY, tools=TOOLS) == "<bos>plain<eos>"


def test_a_file_without_template_says_what_else_can_be_done() -> None:
    with pytest.raises(TemplateError, match=r"--raw.*--template"):
        ChatTemplate.from_metadata({})
    with pytest.raises(TemplateError, match="'poem'; it has rag, tool_use"):
        ChatTemplate.from_metadata(METADATA, "poem")
    with pytest.raises(TemplateError, match="expected a text"):
        ChatTemplate.from_metadata({"tokenizer.chat_template": 7})


def test_only_plain_data_reaches_a_template() -> None:
    template = ChatTemplate("{{ messages }}", "", "")
    for conversation in ([{"role": "user", "content": object()}], ["hello"], [None]):
        with pytest.raises(TemplateError):
            template.render(conversation)
    nested: list[Any] = []
    for _ in range(200):
        nested = [nested]
    with pytest.raises(TemplateError, match="nested deeper"):
        template.render([{"role": "user", "content": nested}])


def test_a_conversation_is_not_changed() -> None:
    conversation = [{"role": "user", "content": "a"}, {"role": "assistant", "thinking": "b"}]
    ChatTemplate("{% for m in messages %}{{ m.role }}{% endfor %}", "", "").render(conversation)
    assert conversation == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "thinking": "b"},
    ]
