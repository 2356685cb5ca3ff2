"""The model that comes with the package, for first steps, examples and tests."""

from pathlib import Path

# stories260K of karpathy/tinyllamas (MIT): a trained LLaMA of 260 000 parameters.
STORIES = Path(__file__).resolve().parent.parent / "bundled" / "stories260K-f32.gguf"
