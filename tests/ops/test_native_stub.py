"""The committed type stub of the native module says what the built module offers."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def make_stub() -> ModuleType:
    for needed in ("nanobind", "ruff"):
        pytest.importorskip(needed, reason=f"{needed} of the `dev` extra is not installed")
    path = ROOT / "native" / "make_stub.py"
    spec = importlib.util.spec_from_file_location("make_stub", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def signatures(source: str) -> dict[str, str]:
    """Each function and method to its arguments, without types: those the generator may rewrite."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
    owners = [("", tree.body)]
    owners += [(f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        prefix + node.name: ast.unparse(node.args)
        for prefix, body in owners
        for node in body
        if isinstance(node, ast.FunctionDef)
    }


def test_the_stub_is_current(make_stub: ModuleType) -> None:
    committed = make_stub.STUB.read_text("utf-8")
    assert signatures(make_stub.stub()) == signatures(committed), "run `python native/make_stub.py`"


def test_the_stub_names_everything(make_stub: ModuleType) -> None:
    names = signatures(make_stub.STUB.read_text("utf-8"))
    assert {"Program.run", "Program.matmul", "Threads.count", "sections", "use_section"} <= set(
        names
    )
    assert names["dequantize"] == "rows, type, width"
