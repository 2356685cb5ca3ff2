"""`import homezoo` offers its few names and costs nothing until one is used."""

import subprocess
import sys

import pytest

import homezoo


@pytest.mark.parametrize("name", homezoo.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(homezoo, name) is not None
    assert name in dir(homezoo)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Modle'"):
        homezoo.Modle  # noqa: B018


def test_the_import_loads_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import homezoo; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - sys.stdlib_module_names
    assert loaded == {"homezoo"}


def test_opening_and_generating_load_only_what_they_use() -> None:
    code = (
        "import sys; from homezoo import Model, STORIES; "
        "Model.open(STORIES).generate([1, 2, 3], max_tokens=2); "
        "print(*{'llguidance', 'jinja2', 'rich', 'typer', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
