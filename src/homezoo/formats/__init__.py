"""Bytes on disk: GGUF files and the block formats in them."""
