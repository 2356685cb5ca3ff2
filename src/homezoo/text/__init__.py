"""Text and token ids: tokenizers, chat templates, prompts, stop strings."""
