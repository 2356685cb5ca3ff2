"""The peer's side of a comparison: computes what worker_loop.py is asked to, with llama.cpp.

Runs in the peer's own environment, on llama-cpp-python's low-level API, so that its Python costs
no more than ours:

    ENV/bin/python bench/llama_worker.py                        # requests on standard input
    ENV/bin/python bench/llama_worker.py MODEL THREADS PROMPT   # prints one token's text and ends
"""

import ctypes
import sys
import time

import numpy as np
from worker_loop import private_bytes, serve

CHUNK = 512  # tokens of one pass through a prompt, on both sides
Q8_0 = 8  # ggml's type number


class Llama:
    """An open model and its context."""

    def __init__(self) -> None:
        import llama_cpp

        self.api = llama_cpp
        self.keep = llama_cpp.llama_log_callback(_show_warnings)  # else it would be collected
        llama_cpp.llama_log_set(self.keep, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = self.context = self.batch = None
        self.lengths: list[int] = []
        self.loaded: dict[str, object] = {}  # adapters of the open model, by path

    def version(self) -> dict[str, str]:
        return {
            "llama-cpp-python": self.api.__version__,
            "system": self.api.llama_print_system_info().decode().strip(),
        }

    def open(
        self,
        path: str,
        threads: int,
        context: int,
        sequences: int = 1,
        cache: str = "f16",
        states: bool = False,
    ) -> float:
        """Opens a model for `sequences` of `context` tokens; seconds until it can take a prompt.

        With `states` an encoder's last states are computed instead of logits.
        """
        self.close()
        api = self.api
        start = time.perf_counter()
        self.model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        if not self.model:
            raise ValueError(f"llama.cpp cannot open {path}")
        options = api.llama_context_default_params()
        options.n_ctx = context * sequences
        options.n_seq_max = sequences
        options.n_batch = options.n_ubatch = CHUNK
        options.n_threads = options.n_threads_batch = threads
        if cache == "q8_0":
            options.type_k = options.type_v = Q8_0
        if states:
            options.embeddings, options.pooling_type = True, api.LLAMA_POOLING_TYPE_NONE
        self.context = api.llama_init_from_model(self.model, options)
        if not self.context:
            raise ValueError(f"llama.cpp makes no context of {options.n_ctx} tokens for {path}")
        seconds = time.perf_counter() - start
        self.vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.batch = api.llama_batch_init(CHUNK, 0, 1)
        self.lengths = [0] * sequences
        return seconds

    def adapters(self, files: list[tuple[str, float]]) -> None:
        """Uses these adapters from now on, each with its scale, and no others: --lora-scaled."""
        api, found = self.api, []
        for path, _ in files:
            if path not in self.loaded:
                self.loaded[path] = api.llama_adapter_lora_init(self.model, path.encode())
            if not self.loaded[path]:
                raise ValueError(f"llama.cpp cannot use the adapter {path}")
            found.append(self.loaded[path])
        pointers = (api.llama_adapter_lora_p_ctypes * len(found))(*found)
        scales = (ctypes.c_float * len(found))(*[scale for _, scale in files])
        status = api.llama_set_adapters_lora(self.context, pointers, len(found), scales)
        if status:
            raise ValueError(f"llama_set_adapters_lora gives {status}")

    def close(self) -> None:
        self.loaded = {}  # they go with the model
        if self.batch is not None:
            self.api.llama_batch_free(self.batch)
        if self.context is not None:
            self.api.llama_free(self.context)
        if self.model is not None:
            self.api.llama_model_free(self.model)
        self.model = self.context = self.batch = None

    def tokenize(self, text: str) -> list[int]:
        """Token ids, with BOS where the model wants it."""
        vocabulary = self.api.llama_model_get_vocab(self.model)
        data = text.encode()
        room = (self.api.llama_token * (len(data) + 8))()
        count = self.api.llama_tokenize(vocabulary, data, len(data), room, len(room), True, False)
        return list(room[:count])

    def prefill(self, tokens: list[int], sequence: int = 0) -> float:
        """Begins a sequence anew with these tokens; seconds until the last one's logits."""
        memory = self.api.llama_get_memory(self.context)
        self.api.llama_memory_seq_rm(memory, sequence, -1, -1)
        self.lengths[sequence] = 0
        start = time.perf_counter()
        for at in range(0, len(tokens), CHUNK):
            part = tokens[at : at + CHUNK]
            self._compute(part, [sequence] * len(part), [len(part) - 1])
        return time.perf_counter() - start

    def decode(self, steps: list[list[int]]) -> float:
        """Gives each sequence one token a step; seconds for all steps."""
        order = list(range(len(self.lengths)))
        start = time.perf_counter()
        for step in steps:
            self._compute(step, order, order)
        return time.perf_counter() - start

    def greedy(self, tokens: list[int], count: int) -> list[int]:
        """The `count` likeliest tokens after these, one after another."""
        self.prefill([])
        found, new = [], tokens
        for _ in range(count):
            new = [int(self._compute(new, [0] * len(new), [len(new) - 1])[0].argmax())]
            found += new
        return found

    def logits(self, tokens: list[int], path: str) -> None:
        """Writes the logits after every token, float32 [T, V], to a .npy file."""
        self.prefill([])
        out = []
        for at in range(0, len(tokens), CHUNK):
            part = tokens[at : at + CHUNK]
            rows = self._compute(part, [0] * len(part), list(range(len(part))))
            out.append(np.stack(rows).copy())
        np.save(path, np.concatenate(out))

    def states(self, tokens: list[int], path: str) -> None:
        """Writes an encoder's states of the tokens, float32 [T, D], to a .npy file."""
        self.lengths[0] = 0
        self._compute(tokens, [0] * len(tokens), list(range(len(tokens))), logits=False)
        shape = (self.api.llama_model_n_embd(self.model),)
        rows = (self.api.llama_get_embeddings_ith(self.context, i) for i in range(len(tokens)))
        np.save(path, np.stack([np.ctypeslib.as_array(row, shape) for row in rows]))

    def quantize(self, path: str, out: str, file_type: int, threads: int) -> float:
        """Writes a quantised file of llama.cpp's own making; seconds it took."""
        options = self.api.llama_model_quantize_default_params()
        options.ftype, options.nthread = file_type, threads
        start = time.perf_counter()
        status = self.api.llama_model_quantize(path.encode(), out.encode(), options)
        if status:
            raise ValueError(f"llama_model_quantize gives {status} for {path}")
        return time.perf_counter() - start

    def _compute(
        self, tokens: list[int], sequences: list[int], wanted: list[int], logits: bool = True
    ) -> list[np.ndarray]:
        """One pass: logits [V] of the wanted tokens, valid until the next."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        ctypes.memset(batch.logits, 0, len(tokens))
        for i, (token, sequence) in enumerate(zip(tokens, sequences)):  # noqa: B905
            batch.token[i] = token
            batch.pos[i] = self.lengths[sequence]
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            self.lengths[sequence] += 1
        for i in wanted:
            batch.logits[i] = 1
        status = self.api.llama_decode(self.context, batch)
        if status:
            raise ValueError(f"llama_decode gives {status}")
        if not logits:
            return []
        shape = (self.vocabulary,)
        return [
            np.ctypeslib.as_array(self.api.llama_get_logits_ith(self.context, i), shape)
            for i in wanted
        ]


def _show_warnings(level: int, text: bytes, _: object) -> None:
    if level >= 3:  # ggml's numbers: 2 is information, 3 a warning, 4 an error
        sys.stderr.write(text.decode("utf-8", "replace"))


def first_token(path: str, threads: int, prompt: str) -> None:
    """What a short program with the public API does."""
    from llama_cpp import Llama as Public

    model = Public(path, n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
    answer = model(prompt, max_tokens=1, temperature=0.0)
    print(repr(answer["choices"][0]["text"]), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        first_token(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    else:
        side = Llama()
        names = (
            "version", "open", "close", "adapters", "tokenize", "prefill", "decode", "greedy",
            "logits", "states", "quantize",
        )  # fmt: skip
        serve({name: getattr(side, name) for name in names} | {"private_bytes": private_bytes})
