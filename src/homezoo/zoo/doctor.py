"""Looks through a model file for the silent faults that make good models answer badly."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from homezoo.errors import HomezooError, OptionError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.load import load_model
from homezoo.text.tokenizer import Tokenizer
from homezoo.text.vocabulary import PREFIX
from homezoo.zoo.doctor_template import check_template
from homezoo.zoo.doctor_tensors import Progress, check_numbers, check_sizes
from homezoo.zoo.doctor_vocabulary import check_special, check_vocabulary, unreadable
from homezoo.zoo.finding import Finding

# A text of plain English for the canary: whatever a model knows, these words are no surprise.
CANARY = (
    "Once upon a time there was a little girl. She went to the park with her mother. They saw a "
    "big dog and a small cat. The dog was happy, and the cat was happy, too. The little girl was "
    "very happy. She said to her mother that she wanted to go home. Then they went home."
)
OWN_CANARY = "homezoo.canary"  # metadata: a text of its own for a model that knows no plain English
WORST = 0.5  # of the vocabulary: a perplexity beyond that share is worse than half blind

Perplexity = Callable[[str], float]


def quick_checks(metadata: Mapping[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """What takes no time: special tokens and the template of a file that is open already."""
    yield from check_special(metadata, tokenizer)
    yield from check_template(metadata, tokenizer)


def examine(
    file: GGUFFile, perplexity: Perplexity | None = None, progress: Progress | None = None
) -> list[Finding]:
    """Everything. `perplexity` measures a text with the model; without it there is no canary."""
    found = _texts(file.metadata)
    if not file.tensors:
        return found
    found += check_sizes(file.metadata, file.tensors)
    numbers = list(check_numbers(file.tensors, progress))
    found += numbers
    try:
        loaded = load_model(file)
    except HomezooError as error:
        if not found:
            found.append(
                Finding("model", str(error), "it does not run here", "fetch another file of it")
            )
        return found
    if perplexity is not None and loaded.config.causal and not numbers:
        found += _canary(file.metadata, perplexity)
    return found


def _texts(metadata: Mapping[str, Any]) -> list[Finding]:
    """Findings about vocabulary and template; none for a file without (an encoder's weights)."""
    if PREFIX + "model" not in metadata:
        return []
    try:
        tokenizer = Tokenizer.from_metadata(metadata)
    except HomezooError as error:
        return [unreadable(error), *check_template(metadata)]
    return [*check_vocabulary(metadata, tokenizer), *check_template(metadata, tokenizer)]


def _canary(metadata: Mapping[str, Any], perplexity: Perplexity) -> Iterator[Finding]:
    own = metadata.get(OWN_CANARY)
    try:
        measured = perplexity(own if isinstance(own, str) and own.strip() else CANARY)
    except HomezooError:
        return  # what it cannot read was said by the other checks
    tokens = len(metadata.get(PREFIX + "tokens", ()))
    if not measured < WORST * tokens:
        yield Finding(
            "canary",
            f"{'its own text' if own else 'plain English'} has perplexity {measured:,.0f} with a "
            f"vocabulary of {tokens:,}: the model predicts no better than by chance",
            "it writes nonsense: weights and tokens do not belong together, or are damaged",
            "compare the file's hash with its source, or convert the model again",
        )


def repairs(findings: list[Finding]) -> dict[str, Any]:
    """All metadata that findings would change, the later ones on top."""
    return {key: value for finding in findings for key, value in finding.fix.items()}


def write_fixed(file: GGUFFile, changes: Mapping[str, Any], out: Path) -> None:
    """A copy with corrected metadata and the same tensors, byte for byte.

    OptionError when it would overwrite the file itself.
    """
    if out.exists() and out.samefile(file.path):
        raise OptionError(f"{out} is the file that is examined; give another name to --fix")
    with GGUFWriter(out) as writer:
        writer.copy_metadata(file.metadata, skip=list(changes))
        for key, value in changes.items():
            writer.add(key, value)
        for tensor in file.tensors.values():
            writer.declare(tensor.name, tensor.type, tensor.shape)
        for tensor in file.tensors.values():
            writer.write(tensor.name, tensor.data)
