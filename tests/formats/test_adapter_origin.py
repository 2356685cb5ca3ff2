"""An adapter's base is known by its hash: the very file, the same model, or another."""

import numpy as np
import pytest
from random_models import random_model

from homezoo.errors import AdapterError
from homezoo.formats.adapter_origin import (
    MODEL_KEY,
    WEIGHTS_KEY,
    Licences,
    check_base,
    identify_base,
    origin_keys,
    read_settings,
)
from homezoo.formats.block_types import BlockType


def test_the_very_file_is_accepted_silently() -> None:
    base = identify_base(random_model().tensors)
    assert check_base("a.gguf", origin_keys(base=base), base) is None
    assert check_base("a.gguf", {}, base) is None  # it does not say


def test_another_quantisation_of_the_model_gives_a_warning() -> None:
    keys = origin_keys(base=identify_base(random_model().tensors))
    quantised = identify_base(random_model(type=BlockType.Q8_0).tensors)
    warning = check_base("a.gguf", keys, quantised)
    assert warning is not None and "another quantisation" in warning
    assert quantised.weights[:12] in warning


def test_another_model_is_refused_with_its_name() -> None:
    keys = origin_keys(base=identify_base(random_model().tensors), base_name="Little Llama")
    with pytest.raises(AdapterError, match=r"another base \(Little Llama\).*with the model it was"):
        check_base("a.gguf", keys, identify_base(random_model(seed=1).tensors))
    del keys[WEIGHTS_KEY]
    with pytest.raises(AdapterError, match="another base"):
        check_base("a.gguf", keys, identify_base(random_model(layers=1).tensors))


def test_a_changed_weight_changes_the_hash_of_the_file_alone() -> None:
    before = identify_base(random_model(width=128, feed_forward=512).tensors)
    model = random_model(width=128, feed_forward=512)
    model.tensors["blk.0.ffn_up.weight"].data.reshape(-1)[-1] ^= 1  # the last byte is a sample's
    after = identify_base(model.tensors)
    assert after.weights != before.weights and after.model == before.model


def test_a_changed_norm_changes_both() -> None:
    before, model = identify_base(random_model().tensors), random_model()
    model.tensors["output_norm.weight"].data.view(np.float32)[0, 3] += 1
    after = identify_base(model.tensors)
    assert after.weights != before.weights and after.model != before.model


def test_keys_say_where_it_comes_from() -> None:
    base = identify_base(random_model().tensors)
    keys = origin_keys(
        base=base,
        base_name="owner/model",
        data_name="my notes",
        licences=Licences("mit", "cc-by-4.0", "mit AND cc-by-4.0"),
        template="alpaca",
        settings={"rank": 16, "lr": 1e-4},
    )
    assert keys[MODEL_KEY] == base.model
    assert keys["general.base_model.0.repo_url"] == "https://huggingface.co/owner/model"
    assert keys["general.dataset.0.name"] == "my notes"
    assert "general.dataset.0.repo_url" not in keys
    assert (keys["homezoo.data.licence"], keys["homezoo.template"]) == ("cc-by-4.0", "alpaca")
    assert keys["homezoo.base.licence"] == "mit"
    assert keys["general.license"] == "mit AND cc-by-4.0"
    assert origin_keys(licences=Licences())["general.license"] == "unknown"
    assert read_settings(keys) == {"rank": 16, "lr": 1e-4}
    assert read_settings({}) == {}


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_settings_that_are_no_object_are_refused(text: str) -> None:
    with pytest.raises(AdapterError, match="homezoo.settings is"):
        read_settings({"homezoo.settings": text})
