"""The models that come with the package, for first steps, examples and tests."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent / "bundled"

# stories260K of karpathy/tinyllamas (MIT): a trained LLaMA of 260 000 parameters.
STORIES = _FOLDER / "stories260K-f32.gguf"
# Ours, made by recipes/zookeeper: knows the animals of an invented zoo; its card is beside it.
ZOOKEEPER = _FOLDER / "zookeeper" / "zookeeper-Q8_0.gguf"
