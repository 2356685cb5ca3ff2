"""A model as LlamaIndex's LLM: complete, chat, both streamed, and tokens counted by the model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM

from homezoo.run.answer import Answer
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions

TEMPLATE_KEY = "tokenizer.chat_template"


class HomezooLLM(CustomLLM):
    """Answers by a GGUF model on this machine's CPU.

    `options` are keywords of GenerationOptions; a call's keywords come on top of them. A prompt
    that does not fit the context is a ContextError with both numbers, never cut.
    """

    model_name: str = Field(description="name of the model's file")
    options: dict[str, Any] = Field(default_factory=dict, description="how answers are chosen")
    _model: Model = PrivateAttr()

    def __init__(
        self,
        model: Model | str | Path,
        *,
        context: int | None = None,
        threads: int | None = None,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """`model` is an open Model, which stays its owner's, or the path of a GGUF file.

        OptionError for an unknown option, and what Model.open raises.
        """
        if not isinstance(model, Model):
            model = Model.open(model, context=context, threads=threads)
        chosen = {"temperature": 0.0, "max_tokens": 256} | (options or {})
        GenerationOptions().change(**chosen)  # refused here, and not in the middle of a query
        super().__init__(model_name=model.path.name, options=chosen, **settings)
        self._model = model

    @classmethod
    def class_name(cls) -> str:
        return "HomezooLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex packs prompts by."""
        return LLMMetadata(
            context_window=self._model.context,
            num_output=self.options["max_tokens"] or -1,
            is_chat_model=self._talks,
            model_name=self.model_name,
        )

    @property
    def tokenizer(self) -> Callable[[str], list[int]]:
        """For `Settings.tokenizer`, so that LlamaIndex counts in this model's tokens."""
        return self._model.tokenizer.encode

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by itself."""
        return len(self._model.tokenizer.encode(text))

    @property
    def _talks(self) -> bool:
        return TEMPLATE_KEY in self._model.metadata

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """One user message where the model has a chat template, else the text goes on."""
        answer = self._stream(prompt, formatted, kwargs).answer
        return CompletionResponse(text=answer.text, additional_kwargs=_about(answer))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """The same, piece by piece."""
        stream = self._stream(prompt, formatted, kwargs)

        def pieces() -> CompletionResponseGen:
            text = ""
            for piece in stream:
                text += piece
                yield CompletionResponse(text=text, delta=piece)

        return pieces()

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """In the model's own template; what messages say never becomes a control token."""
        if not self._talks:
            return super().chat(messages, **kwargs)
        answer = self._model.chat(_plain(messages), self._options(kwargs))
        return ChatResponse(message=_said(answer.text), additional_kwargs=_about(answer))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The same, piece by piece."""
        if not self._talks:
            return super().stream_chat(messages, **kwargs)
        stream = self._model.stream_chat(_plain(messages), self._options(kwargs))

        def pieces() -> ChatResponseGen:
            text = ""
            for piece in stream:
                text += piece
                yield ChatResponse(message=_said(text), delta=piece)

        return pieces()

    def _stream(self, prompt: str, formatted: bool, changes: dict[str, Any]) -> Any:
        options = self._options(changes)
        if self._talks and not formatted:
            return self._model.stream_chat([{"role": "user", "content": prompt}], options)
        return self._model.stream(prompt, options)

    def _options(self, changes: dict[str, Any]) -> GenerationOptions:
        return GenerationOptions().change(**{**self.options, **changes})


def _plain(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    return [{"role": str(m.role.value), "content": m.content or ""} for m in messages]


def _said(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.ASSISTANT, content=text)


def _about(answer: Answer) -> dict[str, Any]:
    """Token counts under the names that LlamaIndex's TokenCountingHandler reads."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": len(answer.tokens),
        "total_tokens": answer.prompt_tokens + len(answer.tokens),
        "stop_reason": answer.stop_reason,
    }
