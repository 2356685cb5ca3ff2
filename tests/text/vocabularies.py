"""Vocabularies for the tests: small ones made here, with every kind of token."""

from typing import Any

import numpy as np

from homezoo.text.detokenize import byte_alphabet
from homezoo.text.vocabulary import TokenType

CONTROL_TEXTS = [
    "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|begin_of_text|>", "<start_of_turn>", "<end_of_turn>", "<|user|>",
    "<|assistant|>", "<|system|>", "<|end|>", "<|endoftext|>", "[INST]", "[/INST]",
    "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]", "<|start|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>",
    "<|constrain|>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>",
    "<｜tool▁outputs▁begin｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>",
    "<｜tool▁outputs▁end｜>", "<|turn>", "<turn|>", "<|tool_call>", "<tool_call|>", "<|channel>",
    "<channel|>", "<|think|>", "<|tool>", "<tool|>", "<|start_of_role|>", "<|end_of_role|>",
    "<|end_of_text|>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|im_system|>", "<|im_user|>", "<|im_assistant|>",
    "<|im_middle|>", "<|tool_calls_section_begin|>", "<|tool_call_begin|>", "[gMASK]", "<sop>",
    "<|observation|>", "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>",
    "<|tool_call_end|>", "<|tool_response_start|>", "<|tool_response_end|>", "<|python_tag|>",
    "<|eom_id|>", "<bos>", "<eos>",
]  # fmt: skip
DEFINED_TEXTS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "\n\n\n"]
WORDS = ["he", "ll", "hell", "hello", "Ġw", "or", "ld", "Ġwor", "Ġworld", "in", "ing", "im", "st"]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "l d", "Ġw or", "Ġwor ld", "i n", "in g",
          "i m", "s t"]  # fmt: skip


def byte_level(pre: str | None = "gpt-2", **changes: Any) -> dict[str, Any]:
    """Metadata of a BPE vocabulary of bytes, a few words, and the control tokens of many models."""
    plain = [*byte_alphabet(), *WORDS]
    tokens = [*plain, *CONTROL_TEXTS, *DEFINED_TEXTS]
    types = [TokenType.NORMAL] * len(plain)
    types += [TokenType.CONTROL] * len(CONTROL_TEXTS)
    types += [TokenType.USER_DEFINED] * len(DEFINED_TEXTS)
    return _metadata(
        {
            "model": "gpt2",
            "pre": pre,
            "tokens": tokens,
            "token_type": np.array(types, np.int32),
            "merges": MERGES,
            "bos_token_id": tokens.index("<s>"),
            "eos_token_id": tokens.index("</s>"),
        },
        changes,
    )


def sentencepiece(**changes: Any) -> dict[str, Any]:
    """Metadata of an SPM vocabulary: bytes, some letters and words, two user-defined tokens."""
    special = ["<unk>", "<s>", "</s>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    words = ["▁", "h", "e", "l", "o", "w", "r", "d", "▁h", "el", "lo", "▁hel", "▁hello", "or", "ld",
             "▁w", "▁world", "▁wor", "é", "<", "s", ">", "/", "▁▁"]  # fmt: skip
    defined = ["<think>", "[INST]"]
    tokens = special + byte_tokens + words + defined
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    types += [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(words) + [TokenType.USER_DEFINED] * 2
    scores = [0.0] * 259 + [-float(i) for i in range(len(words))] + [0.0, 0.0]
    return _metadata(
        {
            "model": "llama",
            "tokens": tokens,
            "scores": np.array(scores, np.float32),
            "token_type": np.array(types, np.int32),
        },
        changes,
    )


def wordpiece(**changes: Any) -> dict[str, Any]:
    """Metadata of a WordPiece vocabulary as GGUF spells it: ▁ begins a word."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = ["▁hello", "▁wor", "ld", "▁un", "aff", "able", "▁,", "▁a"]
    types = [TokenType.CONTROL] * 4 + [TokenType.NORMAL] * len(words)
    return _metadata(
        {
            "model": "bert",
            "tokens": special + words,
            "token_type": np.array(types, np.int32),
            "unknown_token_id": 1,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        changes,
    )


def _metadata(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in (values | changes).items() if value is not None}
    return {f"tokenizer.ggml.{name}": value for name, value in values.items()}
