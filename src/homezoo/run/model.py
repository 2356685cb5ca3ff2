"""The public Model: a GGUF file and what runs it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from homezoo.errors import HomezooError, OptionError
from homezoo.formats.adapter_file import Adapter
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.tensor import Tensor
from homezoo.models.cache import CacheType
from homezoo.models.config import ModelConfig
from homezoo.run.adapters import open_for
from homezoo.run.answer import Answer
from homezoo.run.backend import BackendName
from homezoo.run.constrain import Constraint, ConstraintCompiler, ConstraintMatcher
from homezoo.run.draft import Draft
from homezoo.run.encode import encode_text, mean_states
from homezoo.run.engine import Engine
from homezoo.run.generate import Generation
from homezoo.run.job import Request
from homezoo.run.opening import open_engine
from homezoo.run.options import GenerationOptions, options_for_each
from homezoo.run.stream import Stream
from homezoo.text.prompt import encode_chat
from homezoo.text.template import ChatTemplate
from homezoo.text.tokenizer import Tokenizer

Prompt = str | Sequence[int]  # text as it is, or token ids
Message = Mapping[str, Any]  # role and content, and what a template knows besides


class Model:
    """An open model. Close it, or use it in a `with` block; the file is mapped meanwhile.

    Options of generation are those of GenerationOptions: as an object, as keywords, or both.
    """

    def __init__(self, gguf: GGUFFile, engine: Engine, draft: Draft | None = None) -> None:
        """Use `open`."""
        self._draft = draft
        self._gguf: GGUFFile | None = gguf
        self._engine: Engine | None = engine

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        threads: int | None = None,
        context: int | None = None,
        cache: CacheType = "f16",
        backend: BackendName = "native",
        parallel: int = 1,
        draft: str | Path | None = None,
        memory: float | None = None,
    ) -> "Model":
        """Opens a GGUF file; nothing of it is copied, and memory of the cache is taken when used.

        `context` is the most tokens of prompt and answer: by default what the model was trained on,
        but at most 4096. `cache` is how keys and values are stored; q8_0 takes about half of f16.
        `parallel` is how many answers of full context can be computed side by side. `threads` is by
        default the number of cores of this process. `draft` is a smaller model of the same
        vocabulary that guesses ahead; the answers stay the same. `memory` is the most bytes to
        take, by default what the machine or container has but a reserve: a longer context than
        fits is refused. Raises GGUFError for a damaged file, UnsupportedError for a model that
        cannot run, OptionError for a value out of its range or a draft of another vocabulary.
        """
        gguf = GGUFFile.open(path)
        try:
            engine = open_engine(gguf, context, cache, backend, threads, parallel, memory)
            helper = draft and Draft.open(draft, gguf.metadata, engine, threads)
        except BaseException:
            gguf.close()
            raise
        return cls(gguf, engine, helper or None)

    def attach(
        self, adapter: Adapter | str | Path, strength: float = 1.0, name: str | None = None
    ) -> str:
        """Attaches an adapter, or that of a file; it counts for every answer that chooses none.

        Gives its name: by default the file's without its ending. The option `adapters` of an answer
        chooses by name, such as {"pirate": 0.5}; {} uses none. Raises AdapterError when it does not
        fit, or was made for another base; warns when it was made for another file of this model.
        """
        name, opened = open_for(self.tensors, adapter, name)
        self.engine.attach(name, opened, strength)
        return name

    def detach(self, name: str) -> None:
        """Takes an adapter away: the base computes as before, bit for bit. OptionError."""
        self.engine.detach(name)

    def generate(
        self,
        prompt: Prompt,
        options: GenerationOptions | None = None,
        *,
        special: bool = False,
        **changes: Any,
    ) -> Answer:
        """Continues a text as it is, without the chat template.

        The token that begins a text is put before it where the model wants one. With `special`,
        names of control tokens in the text become those tokens. Raises ContextError when the prompt
        does not fit, with both numbers; OptionError and ConstraintError for options that cannot be
        followed.
        """
        return self.stream(prompt, options, special=special, **changes).answer

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        options: GenerationOptions | Sequence[GenerationOptions] | None = None,
        *,
        special: bool = False,
        **changes: Any,
    ) -> list[Answer]:
        """Continues several texts side by side: the answers of `generate`, but sooner.

        `options` are those of all, or a list of each one's own (with other adapters, for example).
        Every answer has room set aside for `max_tokens` tokens; what does not fit waits its turn.
        """
        if isinstance(prompts, str):
            raise OptionError("prompts is one text; expected a list of them")
        each = options_for_each(options, len(prompts), **changes)
        requests = [
            Request(self.encode_prompt(prompt, special), chosen, continues=True)
            for prompt, chosen in zip(prompts, each, strict=True)
        ]
        return self._generation(requests).answers()

    def stream(
        self,
        prompt: Prompt,
        options: GenerationOptions | None = None,
        *,
        special: bool = False,
        **changes: Any,
    ) -> Stream:
        """Like `generate`, but an iterator of pieces of text; its `answer` is the whole."""
        chosen = (options or GenerationOptions()).change(**changes)
        request = Request(self.encode_prompt(prompt, special), chosen, continues=True)
        return Stream(self._generation([request]))

    def chat(
        self,
        messages: Sequence[Message],
        options: GenerationOptions | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **changes: Any,
    ) -> Answer:
        """Answers a conversation, a list of {"role": …, "content": …}, in the model's template.

        What an earlier call computed of the same conversation is not computed again; Chat keeps one
        for you. Raises TemplateError when the model has no template or the template refuses.
        """
        return self.stream_chat(messages, options, tools=tools, **changes).answer

    def stream_chat(
        self,
        messages: Sequence[Message],
        options: GenerationOptions | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **changes: Any,
    ) -> Stream:
        """Like `chat`, but an iterator of pieces of text; its `answer` is the whole."""
        chosen = (options or GenerationOptions()).change(**changes)
        request = Request(self.encode_chat(messages, tools), chosen, continues=False)
        return Stream(self._generation([request]))

    def embed(self, text: str) -> np.ndarray:
        """The mean of the last layer's states, final-normed, over a text's tokens: float32 [D].

        An encoder's own pooling instead, with length 1.
        """
        if not self.config.causal:
            return encode_text(self.engine, self.tokenizer, self.metadata, text)
        return mean_states(self.engine, self.encode_prompt(text))

    def logits(self, token_ids: Sequence[int]) -> np.ndarray:
        """The logits after every token: float32 [T, vocabulary]. Nothing is put before the tokens.

        Raises ContextError when they do not fit, OptionError for none or an id outside the
        vocabulary.
        """
        tokens = [int(token) for token in token_ids]
        self.engine.check_prompt(tokens)
        out = np.empty((len(tokens), self.engine.vocab_size), np.float32)
        done = 0
        for rows in self.engine.logits(tokens):  # [some, V]
            out[done : done + len(rows)] = rows
            done += len(rows)
        return out

    def encode_prompt(self, prompt: Prompt, special: bool = False) -> list[int]:
        """Token ids of a text, with the one that begins a text where the model wants it; ids as
        they are.
        """
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt, bos=self.tokenizer.adds_bos, special=special)
        return [int(token) for token in prompt]

    def encode_chat(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> list[int]:
        """Token ids of a conversation in the model's template, up to where its answer begins."""
        return encode_chat(self.template, self.tokenizer, messages, tools=tools)

    @property
    def engine(self) -> Engine:
        """What computes; HomezooError once the model is closed."""
        if self._engine is None:
            raise HomezooError("the model is closed; open it again")
        return self._engine

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The file's metadata, key to value."""
        return self._file.metadata

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The file's tensors, by name."""
        return self._file.tensors

    @property
    def adapters(self) -> Mapping[str, float]:
        """The adapters attached: name to strength."""
        return self.engine.adapters

    @property
    def config(self) -> ModelConfig:
        """The model's sizes."""
        return self.engine.model.config

    @property
    def context(self) -> int:
        """The most tokens of prompt and answer together."""
        return self.engine.context

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """From text to token ids and back; TokenizerError when the vocabulary is not known."""
        return Tokenizer.from_metadata(self.metadata)

    @cached_property
    def template(self) -> ChatTemplate:
        """The file's chat template; TemplateError when it has none."""
        return ChatTemplate.from_metadata(self.metadata)

    @cached_property
    def _compiler(self) -> ConstraintCompiler:
        return ConstraintCompiler.for_tokenizer(self.tokenizer)

    @property
    def _file(self) -> GGUFFile:
        if self._gguf is None:
            raise HomezooError("the model is closed; open it again")
        return self._gguf

    def _generation(self, requests: list[Request]) -> Generation:
        return Generation(self.engine, self.tokenizer, requests, self._start_matcher, self._draft)

    def _start_matcher(self, constraint: Constraint) -> ConstraintMatcher:
        return self._compiler.start(constraint)

    def close(self) -> None:
        """Lets go of file, cache and threads."""
        self._engine = None
        if self._draft is not None:
            self._draft.close()
            self._draft = None
        if self._gguf is not None:
            self._gguf.close()
            self._gguf = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
