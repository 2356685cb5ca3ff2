"""Where an adapter comes from: its base, data, template and settings, as keys of its GGUF file.

Bases and data sets have GGUF's own keys (general.base_model.*, general.dataset.*; source:
github.com/ggml-org/ggml, docs/gguf.md), so that other programs and `homezoo licence` read them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homezoo.errors import AdapterError
from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor

WEIGHTS_KEY = "homezoo.base.weights"  # identity of the very file that was taught
MODEL_KEY = "homezoo.base.model"  # identity of the model, whatever its quantisation
TEMPLATE_KEY = "homezoo.template"  # name of the template that put the examples into text
SETTINGS_KEY = "homezoo.settings"  # JSON object: how it was made
DATA_LICENCE_KEY = "homezoo.data.licence"
BASE_LICENCE_KEY = "homezoo.base.licence"  # of the base and all that it is made from
UNKNOWN_LICENCE = "unknown"  # the word for it; never left out, so that silence is not permission
SAMPLES, SAMPLE_BYTES = 4, 4096  # of each tensor's data: a 7B file is known in 5 MB of reading


@dataclass(frozen=True)
class BaseIdentity:
    """SHA-256 of what makes a base itself, in hexadecimal digits."""

    weights: str  # names, formats and shapes of all tensors, and samples of their bytes
    model: str  # names and shapes, and the vectors, which no quantisation touches


@dataclass(frozen=True)
class Licences:
    """What is stated of the things that something is made of."""

    base: str = UNKNOWN_LICENCE
    data: str | None = UNKNOWN_LICENCE  # None: there is no data
    whole: str = UNKNOWN_LICENCE  # all that hold, as an SPDX expression: `apache-2.0 AND mit`


def identify_base(tensors: Mapping[str, Tensor]) -> BaseIdentity:
    """Identity of an open model, without reading all of it.

    Of matrices four places of 4 KiB are read. Norms and biases are F32 in every quantisation of a
    model, and differ between models that were trained apart.
    """
    weights, model = hashlib.sha256(), hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        shape = ",".join(map(str, tensor.shape))
        model.update(f"{name}:{shape}\n".encode())
        weights.update(f"{name}:{tensor.type.name}:{shape}\n".encode())
        data = tensor.data.reshape(-1)  # uint8 [bytes]
        for start in _sample_starts(len(data)):
            weights.update(data[start : start + SAMPLE_BYTES].tobytes())
        if len(tensor.shape) == 1 and tensor.type is BlockType.F32:
            model.update(data.tobytes())
    return BaseIdentity(weights.hexdigest(), model.hexdigest())


def _sample_starts(size: int) -> list[int]:
    """Where samples begin: at the beginning, the end and evenly between; all of a short tensor."""
    if size <= SAMPLES * SAMPLE_BYTES:
        return list(range(0, size, SAMPLE_BYTES))
    return [(size - SAMPLE_BYTES) * part // (SAMPLES - 1) for part in range(SAMPLES)]


def own_name(metadata: Mapping[str, Any]) -> str | None:
    """What a file's metadata calls its model, for `base_name`."""
    name = metadata.get("general.name")
    return name if isinstance(name, str) else None


def origin_keys(
    *,
    base: BaseIdentity | None = None,
    base_name: str | None = None,
    data_name: str | None = None,
    licences: Licences | None = None,
    template: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Metadata for formats.adapter_file.Adapter; what is None is left out.

    `base_name` is what the base calls itself (its general.name, or better owner/repository of the
    hub); `settings` must be ready for JSON.
    """
    keys: dict[str, Any] = {}
    if base is not None:
        keys |= {WEIGHTS_KEY: base.weights, MODEL_KEY: base.model}
    for kind, name in (("base_model", base_name), ("dataset", data_name)):
        if name is not None:
            keys |= {f"general.{kind}.count": 1, f"general.{kind}.0.name": name}
            if name.count("/") == 1 and not name.startswith("/"):
                keys[f"general.{kind}.0.repo_url"] = f"https://huggingface.co/{name}"
    if licences is not None:
        keys |= {"general.license": licences.whole, BASE_LICENCE_KEY: licences.base}
        if licences.data is not None:
            keys[DATA_LICENCE_KEY] = licences.data
    if template is not None:
        keys[TEMPLATE_KEY] = template
    if settings is not None:
        keys[SETTINGS_KEY] = json.dumps(settings, sort_keys=True)
    return keys


def read_settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that an adapter states; empty when it states none. AdapterError: no object."""
    text = metadata.get(SETTINGS_KEY, "{}")
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise AdapterError(f"{SETTINGS_KEY} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise AdapterError(f"{SETTINGS_KEY} is {type(found).__name__}; expected a JSON object")
    return found


def check_base(name: str, metadata: Mapping[str, Any], base: BaseIdentity) -> str | None:
    """Compares what an adapter says of its base with a base.

    None when it is the very file, or when the adapter does not say. A sentence of warning when it
    is another file of the same model, such as another quantisation. AdapterError for another model.
    """
    weights, model = metadata.get(WEIGHTS_KEY), metadata.get(MODEL_KEY)
    if weights == base.weights or (weights is None and model in (None, base.model)):
        return None
    if model == base.model:
        return (
            f"{name} was made for another file of this model, perhaps another quantisation "
            f"(base {str(weights)[:12]}, this file {base.weights[:12]}); answers may be worse"
        )
    made_for = metadata.get("general.base_model.0.name")
    called = f" ({made_for})" if isinstance(made_for, str) else ""
    raise AdapterError(
        f"{name} was made for another base{called}: its hash is {str(model)[:12]}, that of this "
        f"model {base.model[:12]}; open the adapter with the model it was made for"
    )
