"""Licences of well-known models and data sets, for files that name their origin but not its terms.

A pattern is matched against the lower-case name, with or without its owner; the first match counts.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """What is known of a model or data set."""

    pattern: str  # regular expression of names
    licence: str  # identifier of licence_table
    source: str  # where its authors state it
    made_from: tuple[str, ...] = ()  # names of models or data sets that it derives from


_HUB = "https://huggingface.co/"
_LLAMA = _HUB + "meta-llama/"
_BLOOM = "bigscience-bloom-rail-1.0"
_ELEUTHER = _HUB + "EleutherAI/"
_ALPACA = "https://github.com/tatsu-lab/stanford_alpaca#data-release"

_DATA: tuple[Origin, ...] = (
    Origin(r"(tatsu-lab/|stanford[-_ ])?alpaca([-_ ](data|52k))?", "cc-by-nc-4.0", _ALPACA),
    # made of Alpaca's questions or answers, whatever their pages say
    Origin(r".*alpaca[-_ ](cleaned|gpt4|data[-_ ]cleaned).*", "cc-by-nc-4.0", _ALPACA, ("alpaca",)),
    Origin(
        r"(yizhongw/)?self[-_ ]instruct|alpaca[-_ ]seed[-_ ]tasks",
        "apache-2.0",
        "https://github.com/yizhongw/self-instruct",
    ),
    Origin(
        r"(databricks/)?(databricks-)?dolly[-_ ]15k",
        "cc-by-sa-3.0",
        _HUB + "datasets/databricks/databricks-dolly-15k",
    ),
    Origin(r"(openassistant/)?oasst[12]", "apache-2.0", _HUB + "datasets/OpenAssistant/oasst1"),
    Origin(r"(open-orca/)?openorca", "mit", _HUB + "datasets/Open-Orca/OpenOrca"),
    Origin(
        r"(huggingfaceh4/)?ultrachat_200k", "mit", _HUB + "datasets/HuggingFaceH4/ultrachat_200k"
    ),
    Origin(
        r"(roneneldan/)?tinystories", "cdla-sharing-1.0", _HUB + "datasets/roneneldan/TinyStories"
    ),
)

_MODELS: tuple[Origin, ...] = (
    Origin(r"(.*/)?alpaca[-_ ]?(native|lora)?[-_ ]?\d+b.*", "cc-by-nc-4.0", _ALPACA, ("llama-7b",)),
    Origin(
        r"(huggyllama/|decapoda-research/)?llama[-_](7|13|30|33|65)b(-hf)?",
        "llama1",
        "https://github.com/meta-llama/llama/blob/llama_v1/MODEL_CARD.md",
    ),
    Origin(r"(.*/)?(meta[-_ ])?llama[-_ ]2[-_ ].*", "llama2", _LLAMA + "Llama-2-7b"),
    Origin(r"(.*/)?(meta[-_ ])?llama[-_ ]3\.1[-_ ].*", "llama3.1", _LLAMA + "Llama-3.1-8B"),
    Origin(r"(.*/)?(meta[-_ ])?llama[-_ ]3\.2[-_ ].*", "llama3.2", _LLAMA + "Llama-3.2-1B"),
    Origin(
        r"(.*/)?(meta[-_ ])?llama[-_ ]3\.3[-_ ].*", "llama3.3",
        _LLAMA + "Llama-3.3-70B-Instruct",
    ),
    Origin(
        r"(.*/)?(meta[-_ ])?llama[-_ ]3[-_ ]\d+b.*", "llama3", _LLAMA + "Meta-Llama-3-8B"
    ),
    Origin(r"(bigscience/)?bloomz?([-_ ].*)?", _BLOOM, _HUB + "bigscience/bloom"),
    Origin(r"(google/)?gemma[-_ ]?4[-_ ].*", "apache-2.0", "https://ai.google.dev/gemma/terms"),
    Origin(r"(google/)?gemma[-_ ]?[123]?[-_ ].*", "gemma", "https://ai.google.dev/gemma/terms"),
    Origin(r"(qwen/)?qwen2\.5[-_ ]3b.*", "qwen-research", _HUB + "Qwen/Qwen2.5-3B"),
    Origin(r"(qwen/)?qwen2(\.5)?[-_ ]72b.*", "qwen", _HUB + "Qwen/Qwen2.5-72B"),
    Origin(r"(qwen/)?qwen(2|2\.5|3)[-_ ]\d.*", "apache-2.0", _HUB + "Qwen"),
    Origin(
        r"(mistralai/)?(mistral[-_ ]7b|mixtral[-_ ]8x(7|22)b).*", "apache-2.0", _HUB + "mistralai"
    ),
    Origin(r"(tinyllama/)?tinyllama([-_ ].*)?", "apache-2.0", _HUB + "TinyLlama"),
    Origin(r"(eleutherai/)?gpt[-_ ]?j[-_ ]6b", "apache-2.0", _ELEUTHER + "gpt-j-6b"),
    Origin(r"(eleutherai/)?(pythia-.*|gpt-neox-20b)", "apache-2.0", _ELEUTHER + "pythia-70m"),
    Origin(r"(openai-community/)?gpt2(-(medium|large|xl))?", "mit", _HUB + "openai-community/gpt2"),
    Origin(r"(openai/)?gpt[-_ ]oss[-_ ]\d+b", "apache-2.0", _HUB + "openai/gpt-oss-20b"),
    Origin(r"(microsoft/)?phi[-_ ]?[234](\.5)?([-_ ].*)?", "mit", _HUB + "microsoft"),
    Origin(r"(huggingfacetb/)?smollm[23]?([-_ ].*)?", "apache-2.0", _HUB + "HuggingFaceTB"),
    Origin(r"(karpathy/)?(tinyllamas|stories\d+[km])", "mit", _HUB + "karpathy/tinyllamas"),
)  # fmt: skip


def known_data(name: str) -> Origin | None:
    """What is known of the data set of this name."""
    return _match(name, _DATA)


def known_model(name: str) -> Origin | None:
    """What is known of the model of this name."""
    return _match(name, _MODELS)


def _match(name: str, origins: tuple[Origin, ...]) -> Origin | None:
    plain = " ".join(name.lower().split())
    return next((origin for origin in origins if re.fullmatch(origin.pattern, plain)), None)
