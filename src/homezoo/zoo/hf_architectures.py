"""Every Hugging Face architecture that can be converted, by its name in config.json."""

from homezoo.zoo import (
    hf_names_bert,
    hf_names_bloom,
    hf_names_experts,
    hf_names_gemma,
    hf_names_gpt,
    hf_names_gptoss,
    hf_names_llama,
    hf_names_phi,
)
from homezoo.zoo.hf_recipe import Recipe

_TABLES = (
    hf_names_llama, hf_names_experts, hf_names_gemma, hf_names_phi, hf_names_gptoss,
    hf_names_bloom, hf_names_gpt, hf_names_bert,
)  # fmt: skip


def recipes() -> dict[str, Recipe]:
    """Names such as LlamaForCausalLM to what turns them into GGUF."""
    return {name: recipe for table in _TABLES for name, recipe in table.RECIPES.items()}
