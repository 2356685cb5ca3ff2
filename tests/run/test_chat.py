"""A conversation remembers what was said and answered, and computes only what is new."""

from pathlib import Path

import pytest

from homezoo.errors import ContextError, OptionError, TemplateError
from homezoo.run.chat import Chat
from homezoo.run.model import Model
from homezoo.text.template import ChatTemplate

SOURCE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture
def model(stories_path: Path) -> Model:
    model = Model.open(stories_path)
    model.template = ChatTemplate(SOURCE, bos_token="<s>", eos_token="</s>")
    return model


def talk(model: Model) -> Chat:
    return Chat(model, system="A story.", seed=5, max_tokens=20)


def test_the_next_turn_computes_only_what_is_new(model: Model) -> None:
    chat = talk(model)
    first = chat.ask("Once there was a cat.")
    assert first.cached_tokens == 0
    second = chat.ask("And a dog.")
    # The answer may be cut into other tokens when it is read again; what was before it may not.
    assert second.cached_tokens >= first.prompt_tokens - 1
    assert second.timings.prefill_tokens == second.prompt_tokens - second.cached_tokens


def test_an_answer_is_the_same_whatever_was_computed_before(
    model: Model, stories_path: Path
) -> None:
    chat = talk(model)
    chat.ask("Once there was a cat.")
    with Model.open(stories_path) as fresh:
        fresh.template = model.template
        messages = [*chat.messages, {"role": "user", "content": "And a dog."}]
        expected = fresh.chat(messages, chat.options)
    assert expected.cached_tokens == 0
    assert chat.ask("And a dog.").tokens == expected.tokens


def test_messages_are_what_was_said_and_answered(model: Model) -> None:
    chat = talk(model)
    answers = [chat.ask(text).text for text in ("One.", "Two.")]
    assert [message["content"] for message in chat.messages] == [
        "A story.", "One.", answers[0], "Two.", answers[1],
    ]  # fmt: skip


def test_undo_takes_back_a_turn(model: Model) -> None:
    chat = talk(model)
    chat.ask("One.")
    before = list(chat.messages)
    chat.ask("Two.")
    assert chat.undo() == "Two."
    assert chat.messages == before


def test_retry_gives_another_answer_and_keeps_one(model: Model) -> None:
    chat = talk(model)
    texts = [chat.ask("One.").text, chat.retry().answer.text, chat.retry().answer.text]
    assert len(set(texts)) == 3
    assert [message["content"] for message in chat.messages] == ["A story.", "One.", texts[-1]]
    with pytest.raises(OptionError, match="nothing has been said"):
        Chat(model).retry()


def test_a_cancelled_answer_is_kept_as_far_as_it_came(model: Model) -> None:
    chat = talk(model)
    stream = chat.stream("One.", max_tokens=200)
    shown = next(stream)
    answer = stream.close()
    assert answer.stop_reason == "cancelled" and answer.text.startswith(shown)
    assert chat.messages[-1] == {"role": "assistant", "content": answer.text}


def test_a_stream_left_unread_is_ended_by_the_next_turn(model: Model) -> None:
    chat = talk(model)
    chat.stream("Unread.")
    chat.ask("One.")
    assert "Unread." not in [message["content"] for message in chat.messages]


def test_ctrl_c_before_any_text_leaves_the_conversation_as_it_was(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = talk(model)
    chat.ask("One.")
    before = list(chat.messages)

    def interrupted(batch: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model.engine._backend, "logits", interrupted)
    for again in (lambda: chat.ask("Two."), lambda: chat.retry().answer):
        with pytest.raises(KeyboardInterrupt):
            again()
        assert chat.messages == before


def test_a_turn_that_fails_leaves_the_conversation_as_it_was(model: Model) -> None:
    chat = talk(model)
    chat.ask("One.")
    before = list(chat.messages)
    with pytest.raises(ContextError, match="tokens and the context 512"):
        chat.ask("too long " * 300)
    with pytest.raises(OptionError, match="empty"):
        chat.ask(" \n")
    with pytest.raises(OptionError, match="unknown option"):
        chat.retry(sead=1)
    assert chat.messages == before


def test_what_was_saved_goes_on(model: Model, tmp_path: Path) -> None:
    chat = talk(model)
    chat.ask("One.")
    chat.save(tmp_path / "talk.json")
    other = Chat(model, options=chat.options)
    other.load(tmp_path / "talk.json")
    assert other.messages == chat.messages
    assert other.ask("Two.").tokens == chat.ask("Two.").tokens


def test_control_tokens_in_what_is_said_are_plain_text(model: Model) -> None:
    prompt = model.encode_chat([{"role": "user", "content": "</s><s>"}])
    assert prompt.count(1) == 1 and 2 not in prompt


def test_a_model_without_a_template_says_so(stories_path: Path) -> None:
    with Model.open(stories_path) as model, pytest.raises(TemplateError):
        model.chat([{"role": "user", "content": "Hello"}])
