"""From a conversation to token ids, such that nobody but the template can write control tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

from homezoo.text.template import ChatTemplate
from homezoo.text.tokenizer import Tokenizer


def encode_chat(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    **variables: Any,
) -> list[int]:
    """Token ids of a conversation, up to where its answer begins if `add_generation_prompt`.

    Whatever messages, tools and variables contain, it is plain text: a control token is formed
    only by characters that are all the template's own. BOS stands at the start once where the
    model wants it, whether the template writes it or not. Raises TemplateError for a template that
    fails or refuses the conversation, TokenizerError for text that cannot be spelt.
    """
    text = template.render_marked(messages, tools, add_generation_prompt, **variables)
    ids = tokenizer.encode(text, special=True)
    if tokenizer.adds_bos and tokenizer.bos_id is not None and ids[:1] != [tokenizer.bos_id]:
        ids.insert(0, tokenizer.bos_id)
    return ids
