"""The bundled model with a chat template, as a file: nonsense answers, but by every real part."""

from pathlib import Path

from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.formats.tensor import Tensor

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def with_template(source: Path, path: Path, context: int = 2048) -> Path:
    """A copy that has the template, and says it was trained on `context` tokens."""
    with GGUFFile.open(source) as file, GGUFWriter(path) as writer:
        changed = {
            "tokenizer.chat_template": TEMPLATE,
            "llama.context_length": context,
        }
        for key, value in {**file.metadata, **changed}.items():
            writer.add(key, value)
        tensors: list[Tensor] = list(file.tensors.values())
        for tensor in tensors:
            writer.declare(tensor.name, tensor.type, tensor.shape)
        for tensor in tensors:
            writer.write(tensor.name, tensor.data)
    return path
