"""The package as it is built: the native module, the bundled model, the entry points."""

import sys
from pathlib import Path
from typing import Any

import pytest

import homezoo
from homezoo.commands import main as entry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_native_module_is_built() -> None:
    from homezoo import _native

    assert Path(_native.__file__).suffix in (".so", ".pyd")


def test_the_package_carries_its_model_and_says_it_is_typed() -> None:
    package = Path(homezoo.__file__).parent
    assert (package / "bundled" / "stories260K-f32.gguf").stat().st_size > 1_000_000
    assert (package / "bundled" / "zookeeper" / "zookeeper-Q8_0.gguf").stat().st_size > 1_000_000
    assert (package / "py.typed").is_file()


def test_both_names_of_the_command_call_the_same_function(project: dict[str, Any]) -> None:
    scripts = project["project"]["scripts"]
    assert scripts == dict.fromkeys(("homezoo", "zoo"), f"{entry.__name__}:main")


def test_public_names_exist() -> None:
    missing = [name for name in homezoo.__all__ if not hasattr(homezoo, name)]
    assert missing == []


def test_no_heavy_library_is_in_the_core(project: dict[str, Any]) -> None:
    core = " ".join(project["project"]["dependencies"])
    for heavy in ("torch", "transformers", "fastapi", "ray", "matplotlib", "pydantic"):
        assert heavy not in core
