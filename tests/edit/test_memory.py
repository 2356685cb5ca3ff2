"""Profile, a fact and a build: within 1.5 times the file and three square matrices of the layer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wide_model import write_wide_model

pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
WIDTH = 2048  # of the feed-forward network of the wide model
# A process of its own, so that what other tests held does not count: its peak after everything is
# imported and has run once on a small model, and its peak in the end.
PROGRAM = """
import sys
from pathlib import Path
from homezoo.edit import covariance
from homezoo.edit.complete import assemble
from homezoo.edit.facts import Fact
from homezoo.edit.fit import fit_profile
from homezoo.edit.ledger import Ledger
from homezoo.edit.profile import load_profile, save_profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import parse_relations
from homezoo.edit.targets import SearchSettings
from homezoo.edit.wishes import Wishes
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.gguf_read import GGUFFile
from homezoo.ops.memory import peak_memory

covariance.TOKENS_PER_WIDTH = 2
wordings = 'edit = "{s} saw a"\\nparaphrases = ["a {s}", "b {s}", "c {s}"]'
relations = parse_relations('["a:p"]\\n' + wordings)
facts = [Fact("a:l", "a:p", "Lily", ("house",))]
text = " ".join(f"One day, {a} saw a {b}." for a in ("Tom", "Sue", "Ben") for b in range(900))
wishes = Wishes("prompt_last", (1,), 100.0, 0.0, contexts=1, search=SearchSettings(steps=5))

def run(model, folder):
    with GGUFFile.open(model) as file:
        reader = Reader(file, 1)
        save_profile(folder, fit_profile(reader, text, [], relations, folder, wishes))
        with Ledger.create(folder / "l", reader.ledger_header(model)) as ledger:
            ledger.record(facts)
            built = assemble(ledger, reader, load_profile(folder), relations)
            write_adapter(folder / "edits.gguf", built.adapter)

for model, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    Path(folder).mkdir()
    run(model, Path(folder))
    print(peak_memory())
"""


@pytest.mark.slow
def test_memory_is_bounded_by_file_and_width(tmp_path: Path, stories_path: Path) -> None:
    wide = write_wide_model(tmp_path / "wide.gguf", stories_path)
    pairs = [stories_path, tmp_path / "small", wide, tmp_path / "large"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, pairs)],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after - before > wide.stat().st_size  # it was measured
    assert after - before <= 1.5 * wide.stat().st_size + 3 * WIDTH**2 * 8
