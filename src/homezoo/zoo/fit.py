"""What a model will need on this machine: memory, speed, context, and which quantisation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.cache import CacheType
from homezoo.models.config import ModelConfig
from homezoo.models.footprint import Footprint
from homezoo.models.load import ModelFile
from homezoo.zoo.measured import Measured, speeds_key
from homezoo.zoo.mixes import is_quantised, tensor_type
from homezoo.zoo.offers import Offer
from homezoo.zoo.quantize import model_facts
from homezoo.zoo.rehearse import Speeds, rehearse

# From the best down; what a model may be quantised to when no repository says what there is.
STANDARD_MIXES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q4_0", "Q3_K_M", "Q2_K")
# More bits than this cannot be told from the original in use: they cost time for nothing.
ENOUGH_BITS = 8.6
# Fewer than this change answers visibly, so that speed alone is no reason for them.
GOOD_BITS = 4.2
READING_SPEED = 5.0  # tokens per second: people read about four words a second


@dataclass(frozen=True)
class Choice:
    """One quantisation of the model."""

    name: str  # as `pull` and `quantize` take it
    weights: int  # bytes
    bits: float  # per weight
    total: int  # bytes of memory at the context asked for
    largest_context: int  # that fits, at most what the model was trained on
    decode: float | None  # tokens per second when the answer begins; by its size


@dataclass(frozen=True)
class Forecast:
    """Tokens per second, and seconds."""

    prompt: int  # tokens of a prompt, of which the context has room for an answer too
    prefill: float  # while it is read
    first_token_seconds: float
    decode: float  # when the answer begins after a short prompt
    decode_full: float  # when the context is full


def forecast(speeds: Speeds, outside: float, prompt: int, context: int) -> Forecast:
    """The speeds of a run with a prompt of so many tokens; `outside` of passes, seconds a token."""
    seconds = speeds.prefill_seconds(prompt) + outside
    return Forecast(
        prompt,
        prompt / seconds,
        seconds,
        1 / (speeds.decode_seconds(0) + outside),
        1 / (speeds.decode_seconds(context - 1) + outside),
    )


def speeds_of(
    file: ModelFile, context: int, cache: CacheType, threads: int, kept: Measured, again: bool
) -> Speeds:
    """Measured now, or before and kept."""
    key = speeds_key(file, context, cache, threads)
    if isinstance(file, GGUFFile):
        key += "-file"  # timed as it lies, not on stand-ins
    found = None if again else kept.speeds(key)
    if found is None:
        found = rehearse(file, context, cache, threads)
        kept.keep_speeds(key, found)
    return found


def standard_sizes(file: ModelFile) -> dict[str, int]:
    """Bytes of the model in each of the usual quantisations, by llama.cpp's rules; without the
    header."""
    sizes = {}
    facts = model_facts(file)
    for mix in STANDARD_MIXES:
        total = 0
        for name, tensor in file.tensors.items():
            type = tensor.type
            if is_quantised(name, tensor.shape):
                type = tensor_type(mix, name, tensor.shape, facts)
            total += tensor.rows * type.row_bytes(tensor.width)
        sizes[mix] = total
    return sizes


def offered_sizes(offers: Sequence[Offer]) -> dict[str, int]:
    """Bytes of the models of a repository by name: those whose name says a quantisation."""
    return {offer.name: offer.size for offer in offers if offer.quantisation is not None}


def choices_of(
    sizes: dict[str, int],
    file: ModelFile,
    plan: Footprint,
    limit: int | None,
    token_seconds: float | None,
) -> list[Choice]:
    """The quantisations, from the largest; `plan` is that of the model itself.

    Only weights differ in memory. Speed is that of the model itself by the bytes to be read.
    """
    parameters = sum(tensor.rows * tensor.width for tensor in file.tensors.values())
    trained = ModelConfig.from_metadata(file.metadata, file.tensors).context_length
    found = []
    for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        own = replace(plan, weights=size)
        longest = trained if limit is None else min(trained, own.largest_context(limit))
        rate = None
        if token_seconds is not None:
            rate = plan.weights / size / token_seconds
        bits = 8 * size / max(parameters, 1)
        found.append(Choice(name, size, bits, own.total, longest, rate))
    return found


def best_choice(choices: Sequence[Choice], context: int) -> tuple[Choice | None, str]:
    """The quantisation to take, and why.

    The most bits that fit with the context, up to what can be told from the original; fewer, where
    answers would come more slowly than they are read and fewer mend that.
    """
    fitting = [choice for choice in choices if choice.largest_context >= context]
    if not fitting:
        return None, f"none fits this machine with a context of {context:,} tokens"
    useful = [choice for choice in fitting if choice.bits <= ENOUGH_BITS] or fitting[-1:]
    best = max(useful, key=lambda choice: choice.bits)
    if best.decode is not None and best.decode < READING_SPEED:
        quick = [c for c in useful if c.bits >= GOOD_BITS and (c.decode or 0) >= READING_SPEED]
        if quick:
            best = max(quick, key=lambda choice: choice.bits)
            return best, "the most bits that still answer as fast as one reads"
        good = [c for c in useful if c.bits >= GOOD_BITS] or [best]
        best = min(good, key=lambda choice: choice.bits)
        return best, "all answer more slowly than one reads; fewer bits would change answers"
    if best.bits < GOOD_BITS:
        return best, "the most bits that fit; so few change answers visibly"
    if any(choice.bits > best.bits for choice in fitting):
        return best, "it fits, and more bits cannot be told from the original"
    if len(fitting) < len(choices):
        return best, "the most bits that fit this machine"
    return best, "it fits, and has the most bits of all"
