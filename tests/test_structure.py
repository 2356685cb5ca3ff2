"""Holds the house rules: sizes of files and functions, names, layers, imports."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "homezoo"

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_COLUMNS = 100
PRAGMA = re.compile(r"  # (type: ignore|noqa).*")  # for tools, not for readers; as ruff counts
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}

# What each folder or module of the package may import from the package, beside itself.
# fmt: off
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "formats": {"errors"},
    "text": {"errors", "formats"},
    "ops": {"errors", "formats", "_native"},
    "models": {"errors", "formats", "text", "ops"},
    "run": {"errors", "formats", "text", "ops", "models", "_native"},
    "zoo": {"errors", "formats", "text", "ops", "models"},
    "edit": {"errors", "formats", "text", "ops", "models", "_native"},
    "train": {"errors", "formats", "text", "ops", "models"},
    "context": {"errors", "formats", "text", "ops", "models"},
    "compare": {"context", "edit", "errors", "formats", "ops", "run", "text", "train"},
    "commands": {
        "", "compare", "context", "edit", "errors", "formats", "models", "ops", "run", "text",
        "train", "zoo",
    },
    "integrations": {"context", "errors", "formats", "run", "text"},
    "__main__": {"commands"},
    "": {"errors", "formats", "text", "run"},  # homezoo/__init__.py: the public names
}
# fmt: on

# Imported where they are used, never at the top of a module: they cost start-up time.
HEAVY = {
    "huggingface_hub", "jinja2", "llguidance", "matplotlib", "pyarrow", "pypdf", "rdflib",
    "rich", "tokenizers", "torch", "transformers", "typer",
}  # fmt: skip
HEAVY_ALLOWED = {"commands": {"typer"}}  # a command module is itself imported only when called


def project_files(*suffixes: str) -> list[Path]:
    """The files of the project with these suffixes (all without any), without ignored ones."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so the project's own files cannot be told from others")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [p for p in paths if p.is_file() and (not suffixes or p.suffix in suffixes)]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    """`homezoo.run.model` for src/homezoo/run/model.py."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    """`run` for homezoo.run.model, `errors` for homezoo.errors, empty for homezoo itself."""
    return module.split(".")[1] if "." in module else ""


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    """Every module of the package, parsed."""
    paths = [p for p in project_files(".py") if PACKAGE in p.parents]
    assert paths
    native = {"homezoo._native": ast.Module([], [])}  # compiled: nothing of it to read
    return native | {module_name(p): ast.parse(p.read_text("utf-8"), str(p)) for p in paths}


def imports_of(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Modules imported anywhere in a tree; `from a import b` gives a.b if that is known."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer; write the full name"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else str(node.module)


def test_files_are_shorter_than_300_lines() -> None:
    lengths = {
        short(path): len(path.read_text("utf-8").splitlines())
        for path in project_files(".py", ".cpp", ".h")
    }
    assert {name: n for name, n in lengths.items() if n >= MAX_FILE_LINES} == {}


def test_python_lines_fit_100_columns() -> None:
    long = [
        f"{short(path)}:{number} has {len(line)}"
        for path in project_files(".py", ".pyi")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(PRAGMA.sub("", line)) > MAX_COLUMNS
    ]
    assert not long, "\n".join(long)


def test_python_functions_are_shorter_than_60_lines() -> None:
    long = [
        f"{short(path)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in project_files(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def cpp_functions(source: str) -> Iterator[tuple[str, int]]:
    """Head and number of lines of each outermost function body, found by its braces."""
    blank = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|^[ \t]*#[^\n]*', re.S | re.M)
    text = blank.sub(lambda found: "\n" * found[0].count("\n"), source)
    stack: list[bool] = []  # for each open brace, whether it opened a function body
    head, start = "", 0
    for mark in re.finditer(r"[^{};]*([{};])", text):
        before, brace = mark[0][:-1], mark[1]
        if brace == "{":
            body = bool(re.search(r"\)[^()=,]*$", before)) and True not in stack
            if body:
                head = " ".join(before.split())[-80:]
                start = text.count("\n", 0, mark.start() + len(before) - len(before.lstrip()))
            stack.append(body)
        elif brace == "}" and stack and stack.pop():
            yield head, text.count("\n", 0, mark.end()) - start + 1


def test_cpp_functions_are_shorter_than_60_lines() -> None:
    long = [
        f"{short(path)}: {head} has {lines} lines"
        for path in project_files(".cpp", ".h")
        for head, lines in cpp_functions(path.read_text("utf-8"))
        if lines >= MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_the_measure_of_cpp_functions_finds_a_long_one() -> None:
    body = "\n".join("  if (x) { x += 1; }" for _ in range(70))
    source = f"namespace a {{\nstruct S {{\n  int f(int x) {{\n{body}\n  }}\n}};\n}}\n"
    assert list(cpp_functions(source)) == [("int f(int x)", 72)]


def test_no_file_is_named_after_nothing() -> None:
    named = [
        short(p)
        for p in project_files(".py", ".cpp", ".h")
        if FORBIDDEN_NAMES & set(p.relative_to(ROOT).with_suffix("").parts)
    ]
    assert not named, "\n".join(named)


def test_every_module_opens_with_a_docstring() -> None:
    without = [
        short(path)
        for path in project_files(".py")
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not without, "\n".join(without)


def test_imports_point_down_the_layers(modules: dict[str, ast.Module]) -> None:
    wrong = []
    for name, tree in modules.items():
        layer = layer_of(name)
        if layer == "_native":
            continue
        assert layer in LAYERS, f"{name}: give the folder a place in LAYERS and ARCHITECTURE.md"
        for imported in imports_of(tree, set(modules)):
            if imported.split(".")[0] != "homezoo" or layer_of(imported) == layer:
                continue
            if layer_of(imported) not in LAYERS[layer]:
                wrong.append(f"{name} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_no_import_cycles(modules: dict[str, ast.Module]) -> None:
    graph = {
        name: {m for m in imports_of(tree, set(modules)) if m in modules and m != name}
        for name, tree in modules.items()
    }
    while leaves := [name for name, targets in graph.items() if not targets]:
        for leaf in leaves:
            del graph[leaf]
        for targets in graph.values():
            targets.difference_update(leaves)
    assert graph == {}, "these modules import each other in a circle"


def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at import, without `if TYPE_CHECKING:` blocks."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            yield from top_level(node.body)


def test_heavy_libraries_are_imported_where_they_are_used(modules: dict[str, ast.Module]) -> None:
    wrong = []
    for name, tree in modules.items():
        for node in top_level(tree.body):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = {imported.split(".")[0] for imported in imports_of(node, set())}
                found &= HEAVY - HEAVY_ALLOWED.get(layer_of(name), set())
                wrong += [f"{name} imports {library} at its top" for library in sorted(found)]
    assert not wrong, "\n".join(wrong)


def test_no_tracked_file_names_the_machine_it_was_written_on() -> None:
    places = [b"/" + folder for folder in (b"work/", b"root/", b"tmp/bash")] + [b".libra" + b"ry"]
    found = [
        f"{short(path)} contains {place.decode()}"
        for path in project_files()
        for place in places
        if place in path.read_bytes()
    ]
    assert not found, "\n".join(found)
