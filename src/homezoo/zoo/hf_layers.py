"""Which layers of a model differ from the others, which GGUF takes from the architecture's name."""

from homezoo.errors import UnsupportedError
from homezoo.models.kinds import KINDS
from homezoo.zoo.hf_config import HFConfig


def refuse_other_layers(config: HFConfig, architecture: str) -> None:
    """UnsupportedError unless those layers slide that the architecture says."""
    every = KINDS[architecture].full_every
    for key in ("sliding_window_pattern", "_sliding_window_pattern"):
        config.refuse_unless(key, every)
    kinds = [
        "sliding_attention" if (layer + 1) % every else "full_attention"
        for layer in range(config.integer("num_hidden_layers"))
    ]
    if config.has("layer_types") and config.values["layer_types"] != kinds:
        raise UnsupportedError(
            f"config.json: layer_types is {config.values['layer_types']!r:.80}; only models in "
            f"which every {every}th layer has full_attention can be converted"
        )


def refuse_other_rotation(config: HFConfig, architecture: str) -> None:
    """UnsupportedError unless those layers leave positions out that the architecture says."""
    every = KINDS[architecture].unrotated_every
    config.refuse_unless("no_rope_layer_interval", every)
    layers = range(1, config.integer("num_hidden_layers") + 1)
    config.refuse_unless("no_rope_layers", [int(layer % every != 0) for layer in layers])
