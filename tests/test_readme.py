"""What README and docs/ tell a reader to type is typed here, and says what they show."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```(sh|text)\n(.*?)```", re.S)
# Commands on the bundled model; others need a model or a file that the reader has.
RUNS_HERE = re.compile(r"homezoo \w+ (?:stories|zookeeper)\b")


def commands() -> list[tuple[str, str]]:
    """Each command line that runs here, and the output shown right after it, if any."""
    found = []
    for page in PAGES:
        blocks = BLOCK.findall(page.read_text("utf-8"))
        for place, (kind, text) in enumerate(blocks):
            following = blocks[place + 1] if place + 1 < len(blocks) else ("", "")
            shown = following[1] if following[0] == "text" else ""
            lines = [line for line in text.splitlines() if kind == "sh" and RUNS_HERE.search(line)]
            found += [(line, shown) for line in lines]
    return found


def test_there_are_commands_to_type() -> None:
    assert len(commands()) >= 5


@pytest.mark.parametrize(("line", "shown"), commands())
def test_commands_of_the_pages_work(line: str, shown: str) -> None:
    before, _, called = line.rpartition(" | ")
    given = shlex.split(before)[1] if before else ""  # of `printf TEXT` or `echo TEXT`
    words = shlex.split(called)
    assert words[0] == "homezoo"
    result = subprocess.run(
        [sys.executable, "-m", *words], input=given, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
    if shown:
        assert result.stdout.strip() == shown.strip()


def test_links_between_the_pages_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
        if not target.startswith("http") and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
