"""From rows to tokens: templates to the letter, and labels on the answers alone."""

import numpy as np
import pytest
from text.vocabularies import byte_level, sentencepiece

from homezoo.errors import TemplateError
from homezoo.text.prompt import encode_chat
from homezoo.text.template import ChatTemplate
from homezoo.text.tokenizer import Tokenizer
from homezoo.train.data_files import PlacedRow
from homezoo.train.documents import Document, Encoder, continuation
from homezoo.train.rows import Completion, Conversation, Instruction, Row, Text
from homezoo.train.templates import default_template, make_example

BPE = Tokenizer.from_metadata(byte_level())
SPM = Tokenizer.from_metadata(sentencepiece())
CHATML = ChatTemplate(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "<s>",
    "</s>",
)
# As Qwen3's: thoughts of earlier answers are taken away.
FORGETFUL = ChatTemplate(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if loop.last else m.content.split('!')[0] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "<s>",
    "</s>",
)


def encode(
    row: Row, template: str = "raw", tokenizer: Tokenizer = BPE, chat: ChatTemplate | None = None
) -> list[Document]:
    found = Encoder(tokenizer, template, chat, 512).encode([PlacedRow("here", row)])
    assert not found.bad, found.bad
    return found.documents


def learned(document: Document, tokenizer: Tokenizer = BPE) -> str:
    return tokenizer.decode(document.tokens[document.labelled].tolist(), special=True)


def given(document: Document, tokenizer: Tokenizer = BPE) -> str:
    return tokenizer.decode(document.tokens[~document.labelled].tolist(), special=True)


def test_prompts_are_those_of_stanford_and_of_alpaca_lora() -> None:
    with_input = make_example("alpaca", Instruction("a", "b", "c"))
    without = make_example("alpaca", Instruction("a", "", "c"))
    assert with_input.prompt.startswith("Below is an instruction that describes a task, paired")
    assert with_input.prompt.endswith("\n\n### Instruction:\na\n\n### Input:\nb\n\n### Response:")
    assert without.prompt.startswith("Below is an instruction that describes a task. Write a")
    assert "Input" not in without.prompt
    for row in (Instruction("a", "b", "c"), Instruction("a", "", "c")):
        lora = make_example("alpaca-lora", row)
        assert lora.prompt == make_example("alpaca", row).prompt + "\n"
        assert lora.answer == "c"


def test_braces_in_a_task_are_text() -> None:
    example = make_example("alpaca", Instruction("{input} {0}", "{instruction}", "c"))
    assert "Instruction:\n{input} {0}\n" in example.prompt
    assert "Input:\n{instruction}\n" in example.prompt


@pytest.mark.parametrize("tokenizer", [BPE, SPM], ids=["bpe", "spm"])
@pytest.mark.parametrize("template", ["alpaca", "alpaca-lora"])
def test_only_the_answer_and_its_end_are_learned(tokenizer: Tokenizer, template: str) -> None:
    row = Instruction("hello", "world", "hello world")
    (document,) = encode(row, template, tokenizer)
    prompt = make_example(template, row).prompt
    ids = tokenizer.encode(prompt, bos=tokenizer.adds_bos)
    assert document.tokens[: len(ids)].tolist() == ids  # the very tokens of run time
    assert not document.labelled[: len(ids)].any() and document.labelled[len(ids) :].all()
    assert learned(document, tokenizer) == "hello world</s>"


def test_the_first_token_of_the_answer_differs_between_the_templates() -> None:
    """After a colon SentencePiece sees no new line: what the two templates are kept apart for."""
    row = Completion("he:", "llo")
    assert continuation(SPM, "hello") != SPM.encode("hello")
    assert SPM.decode(continuation(SPM, "hello")) == "hello"
    assert learned(encode(row, "raw", SPM)[0], SPM) == "llo</s>"


def test_a_token_across_the_border_leaves_the_prompt_as_it_is_at_run_time() -> None:
    (document,) = encode(Completion("he", "llo"))  # together they would be `hello`
    assert given(document) == "he" and learned(document) == "llo</s>"
    assert BPE.encode("hello") != BPE.encode("he") + BPE.encode("llo")


def test_plain_text_is_learned_but_for_its_first_token() -> None:
    (document,) = encode(Text("hello world"))
    assert document.labelled.tolist() == [False] + [True] * (len(document) - 1)
    found = Encoder(BPE, "raw", None, 8).encode([PlacedRow("here", Text("hello " * 20))])
    assert found.windows == len(found.documents) > 1
    assert max(map(len, found.documents)) <= 8
    text = "".join(BPE.decode(d.tokens.tolist()) for d in found.documents)
    assert text == "hello " * 20


def turns(*contents: str) -> Conversation:
    roles = ["user", "assistant"] * len(contents)
    pairs = zip(roles, contents, strict=False)
    return Conversation(tuple({"role": role, "content": content} for role, content in pairs))


def test_every_answer_of_a_conversation_is_learned_with_its_end() -> None:
    (document,) = encode(turns("hello", "world", "in", "st"), "chat", BPE, CHATML)
    assert learned(document) == "world<|im_end|>st<|im_end|>"
    messages = turns("hello", "world", "in").messages
    prompt = encode_chat(CHATML, BPE, messages)
    assert document.tokens[: len(prompt)].tolist() == prompt


def test_a_template_that_rewrites_earlier_turns_gives_a_document_for_each_answer() -> None:
    first, second = encode(turns("hello", "world!he", "in", "st!ll"), "chat", BPE, FORGETFUL)
    assert learned(first) == "world!he<|im_end|>"
    assert learned(second) == "st!ll<|im_end|>"
    prompt = encode_chat(FORGETFUL, BPE, turns("hello", "world!he", "in").messages)
    assert second.tokens[: len(prompt)].tolist() == prompt
    assert "world<|im_end|>" in given(second)


def test_what_users_write_never_becomes_a_control_token() -> None:
    (document,) = encode(turns("<|im_end|>", "<|im_end|>"), "chat", BPE, CHATML)
    end = BPE.encode("<|im_end|>", special=True)[0]
    assert (document.tokens == end).sum() == 2  # those of the template: one for each turn
    assert learned(document) == "<|im_end|>" * 2


def test_a_task_in_the_models_own_template() -> None:
    (document,) = encode(Instruction("hello", "world", "in"), "chat", BPE, CHATML)
    assert learned(document) == "in<|im_end|>"
    assert "hello\n\nworld" in given(document)


def test_rows_that_do_not_fit_are_reported() -> None:
    rows = [
        PlacedRow("line 1", Instruction("a", "", "b" * 600)),
        PlacedRow("line 2", turns("a", "b", "a", "b")),
        PlacedRow("line 3", Instruction("a", "", "b")),
    ]
    found = Encoder(BPE, "alpaca", None, 512).encode(rows)
    assert [bad.place for bad in found.bad] == ["line 1", "line 2"]
    assert "--length is 512" in found.bad[0].reason
    assert "messages of user, assistant, user, assistant" in found.bad[1].reason
    assert len(found.documents) == 1 and found.labels == 2
    with pytest.raises(TemplateError, match="no chat template"):
        Encoder(BPE, "chat", None, 512)


def test_the_default_template() -> None:
    assert default_template([Text("a"), Completion("a", "b")], True) == "raw"
    assert default_template([Instruction("a", "", "b")], True) == "chat"
    assert default_template([Instruction("a", "", "b")], False) == "alpaca"


def test_nothing_is_learned_of_a_lone_first_token() -> None:
    document = Document(np.array([1], np.int32), np.array([False]))
    assert len(document) == 1
    tokenizer = Tokenizer.from_metadata(byte_level(eos_token_id=None))
    found = Encoder(tokenizer, "raw", None, 8).encode([PlacedRow("here", Text("h"))])
    assert not found.documents or found.labels > 0
