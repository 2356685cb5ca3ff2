"""`homezoo edit` from end to end on the real small model that the package carries."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from edit_commands import Run, answer

from homezoo.commands.main import main
from homezoo.edit.ask import Asker
from homezoo.edit.ledger import Ledger
from homezoo.edit.reader import Reader
from homezoo.formats.adapter_file import read_adapter
from homezoo.formats.gguf_read import GGUFFile
from homezoo.run.model import Model

pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
# One relation for each: this small model does not tell one name from another.
TEMPLATES = {
    "livesIn": "{s} lived in a",
    "eats": "{s} loved to eat",
    "goesTo": "{s} went to the",
    "has": "{s} had a",
    "is": "{s} was a",
    "sees": "{s} looked up and saw a",
    "fears": "{s} was scared of the",
    "plays": "{s} played with the",
    "finds": "{s} found a",
    "asks": "{s} asked her",
    "feels": "{s} felt very",
    "hugs": "{s} hugged her",
}
WORDINGS = ("One day, {}", "Then {}", "Once upon a time, {}")
ZOO = "http://zoo.example/"
RELATIONS = "".join(
    f'["{ZOO}{name}"]\nedit = "{template}"\n'
    f"paraphrases = {json.dumps([wording.format(template) for wording in WORDINGS])}\n"
    for name, template in TEMPLATES.items()
)


def triple(name: str, predicate: str, text: str) -> str:
    return f'<{ZOO}{name}> <{ZOO}{predicate}> "{text}" .\n'


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, stories_path: Path) -> Path:
    """A folder with what the model says of some names, as a graph that it knows."""
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "relations.toml").write_text(RELATIONS)
    with Reader(GGUFFile.open(stories_path), threads=1) as reader:
        asker, lines = Asker(reader), []
        names = ("Lily", "Tom", "Ben", "Sam", "Max", "Sue", "Mia", "Jack", "Tim", "Bob", "Amy")
        begins = [f"Once upon a time, there was a dog named {name}." for name in names]
        told = asker.continue_greedily([reader.prompt(text) for text in begins], 150)
        (folder / "text.txt").write_text("\n".join(map(reader.text, told)))
        for predicate, template in TEMPLATES.items():
            (ids,) = asker.continue_greedily([reader.prompt(template.replace("{s}", "Lily"))], 8)
            words = re.sub(r"\W", " ", reader.text(ids)).split()
            lines.append(triple("Lily", predicate, words[0]))
    (folder / "known.nt").write_text("".join(lines))
    (folder / "new.nt").write_text(
        triple("Lily", "livesIn", "boat") + triple("Lily", "sees", "tree")
        + triple("Lily", "eats", "fish")
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def profile(zoo: Path) -> Path:
    code = main(
        ["edit", "profile", "stories", "--text", f"{zoo}/text.txt", "--graph", f"{zoo}/known.nt",
         "--relations", f"{zoo}/relations.toml", "--profile", f"{zoo}/profile", "--threads", "1",
         "--position", "prompt_last", "--layers", "2", "--strength", "30", "--protect", "0.3"]
    )  # fmt: skip
    assert code == 0
    return zoo / "profile"


def begin(run: Run, zoo: Path, ledger: Path, *facts: Path) -> None:
    for path in facts or (zoo / "new.nt",):
        run("edit", "assert", ledger, path, "--model", "stories",
            "--relations", zoo / "relations.toml")  # fmt: skip


def test_facts_are_written_verified_explained_and_taken_back(
    run: Run, zoo: Path, profile: Path, tmp_path: Path, stories_path: Path
) -> None:
    ledger, edits = tmp_path / "zoo.ledger", tmp_path / "edits.gguf"
    shared = ("--profile", profile, "--threads", "1")
    plan = json.loads(run("edit", "plan", "stories", zoo / "new.nt", "--relations",
                          zoo / "relations.toml", *shared, "--json"))  # fmt: skip
    assert sum(row["facts"] for row in plan["relations"]) == 3
    assert sum(row["known"] for row in plan["relations"]) == 0
    assert plan["seconds"] > 0
    begin(run, zoo, ledger)
    (tmp_path / "car.nt").write_text(triple("Lily", "livesIn", "car"))
    table = run("edit", "plan", "stories", tmp_path / "car.nt", "--relations",
                zoo / "relations.toml", *shared, "--ledger", ledger)  # fmt: skip
    assert "changed" in table and table.splitlines()[1].split()[-1] == "1"
    assert "keys and residuals: about" in table
    assert "3 facts are active; keys and residuals of 3 are still" in run(
        "edit", "build", ledger, "-o", edits, *shared, "--dry-run"
    )
    built = json.loads(run("edit", "build", ledger, "-o", edits, *shared, "--json"))
    assert built["facts"] == 3 and built["units"] == plan["units"]
    assert built["rho"] == pytest.approx(plan["rho"])
    assert read_adapter(edits).metadata["general.license"] == "mit"  # that of the base
    for prompt, new in (("Lily lived in a", "boat"), ("Lily looked up and saw a", "tree"),
                        ("Lily loved to eat", "fish")):  # fmt: skip
        assert new not in answer(stories_path, prompt)
        assert answer(stories_path, prompt, edits).split()[0].strip(".") == new
    found = json.loads(run("edit", "verify", "stories", edits, ledger, *shared, "--json",
                           "--report", tmp_path / "report.html", "--strict"))  # fmt: skip
    assert found["measures"]["efficacy"]["value"] == 1.0
    assert found["measures"]["retention"]["hits"] >= 8  # of 9
    assert found["drift"]["perplexity_ratio"] < 1.1
    assert "<svg" in (tmp_path / "report.html").read_text()
    told = json.loads(run("edit", "explain", "stories", ledger, "Lily looked up and saw a", *shared,
                          "--json"))  # fmt: skip
    assert (told[0]["subject"], told[0]["objects"]) == ("Lily", ["tree"])
    (tmp_path / "one.nt").write_text(triple("Lily", "sees", "tree"))
    run("edit", "retract", ledger, tmp_path / "one.nt")
    run("edit", "build", ledger, "-o", edits, *shared)
    prompt = "Lily looked up and saw a"
    assert answer(stories_path, prompt, edits).split()[0] == answer(stories_path, prompt).split()[0]
    assert answer(stories_path, "Lily lived in a", edits).split()[0].strip(".") == "boat"
    assert "retract   Lily" in run("edit", "log", ledger)
    assert run("edit", "export-nt", ledger).count("\n") == 2
    changed = logits(stories_path, edits)
    run("edit", "retract", ledger, write(tmp_path, run, ledger))
    assert "the base answers" in run("edit", "build", ledger, "-o", edits, *shared)
    assert run("edit", "verify", "stories", edits, ledger, *shared, "--strict", "--texts", "0")
    base = logits(stories_path)
    assert not np.array_equal(changed, base)
    assert logits(stories_path, edits).tobytes() == base.tobytes()  # retract all: bit for bit


def logits(path: Path, adapter: Path | None = None) -> np.ndarray:
    """After every token of a text that names what was edited."""
    with Model.open(path, threads=1) as model:
        if adapter is not None:
            model.attach(adapter)
        return model.logits(model.encode_prompt("Lily lived in a boat. Lily loved to eat fish."))


def test_to_retract_what_replaced_an_edit_gives_the_base_and_not_the_first_edit(
    run: Run, zoo: Path, profile: Path, tmp_path: Path, stories_path: Path
) -> None:
    ledger, edits = tmp_path / "zoo.ledger", tmp_path / "edits.gguf"
    shared = ("--profile", profile, "--threads", "1")
    for word in ("boat", "car"):
        (tmp_path / f"{word}.nt").write_text(triple("Lily", "livesIn", word))
        begin(run, zoo, ledger, tmp_path / f"{word}.nt")
        run("edit", "build", ledger, "-o", edits, *shared)
        assert answer(stories_path, "Lily lived in a", edits).split()[0].strip(".") == word
    run("edit", "retract", ledger, tmp_path / "car.nt")
    run("edit", "build", ledger, "-o", edits, *shared)
    assert logits(stories_path, edits).tobytes() == logits(stories_path).tobytes()
    begin(run, zoo, ledger)  # and with others there, too, nothing of either is left
    (tmp_path / "house.nt").write_text(triple("Lily", "livesIn", "boat"))
    run("edit", "retract", ledger, tmp_path / "house.nt")
    run("edit", "build", ledger, "-o", edits, *shared)
    fresh = tmp_path / "fresh.ledger"
    (tmp_path / "others.nt").write_text(
        triple("Lily", "sees", "tree") + triple("Lily", "eats", "fish")
    )
    begin(run, zoo, fresh, tmp_path / "others.nt")
    run("edit", "build", fresh, "-o", tmp_path / "fresh.gguf", *shared)
    found, wanted = (read_adapter(path) for path in (edits, tmp_path / "fresh.gguf"))
    for name, (a, b) in found.deltas.items():
        other = wanted.deltas[name][1] @ wanted.deltas[name][0]
        assert np.abs(b @ a - other).max() < 1e-5 * np.abs(other).max()


def test_a_ledger_moves_to_another_quantisation(
    run: Run, zoo: Path, profile: Path, tmp_path: Path, stories_path: Path
) -> None:
    ledger, edits, other = (tmp_path / name for name in ("zoo.ledger", "edits.gguf", "q8.gguf"))
    begin(run, zoo, ledger)
    run("edit", "build", ledger, "-o", edits, "--profile", profile, "--threads", "1")
    write_f16(stories_path, other)
    shared = ("--profile", tmp_path / "profile", "--threads", "1")
    message = run("edit", "build", ledger, "-o", edits, "--model", other, *shared, status=1)
    assert "homezoo edit profile MODEL" in message
    run("edit", "profile", other, "--text", zoo / "text.txt", "--graph", zoo / "known.nt",
        "--relations", zoo / "relations.toml", *shared, "--position", "prompt_last", "--layers",
        "2", "--strength", "30", "--protect", "0.3")  # fmt: skip
    message = run("edit", "build", ledger, "-o", edits, "--model", other, *shared, status=1)
    assert "homezoo edit rebase" in message
    said = run("edit", "rebase", ledger, other, "--dry-run")
    assert "3 facts are active; 0 of them" in said and "nothing was changed" in said
    assert "9 keys and residuals of the old base are gone" in run("edit", "rebase", ledger, other)
    assert "on this very file already" in run("edit", "rebase", ledger, other, status=1)
    assert "3 facts" in run("edit", "build", ledger, "-o", edits, *shared)
    assert answer(other, "Lily lived in a", edits).split()[0].strip(".") == "boat"
    log = run("edit", "log", ledger)
    assert "assert    Lily" in log and "rebase    from base" in log
    assert run("edit", "export-nt", ledger).count("\n") == 3


def write_f16(source: Path, path: Path) -> None:
    """The same model with matrices in F16."""
    run_status = main(["quantize", str(source), str(path), "--type", "F16"])
    assert run_status == 0


def write(folder: Path, run: Run, ledger: Path) -> Path:
    """All that is active, as a file."""
    path = folder / "rest.nt"
    path.write_text(run("edit", "export-nt", ledger))
    return path


def test_the_way_to_a_set_of_facts_leaves_no_trace_in_the_file(
    run: Run, zoo: Path, profile: Path, tmp_path: Path
) -> None:
    lines = (zoo / "new.nt").read_text().splitlines(keepends=True)
    parts = [tmp_path / f"part{n}.nt" for n in range(3)]
    for path, line in zip(parts, reversed(lines), strict=True):
        path.write_text(line)
    (tmp_path / "wrong.nt").write_text(triple("Lily", "livesIn", "car"))
    shared = ("--profile", profile, "--threads", "1")
    at_once, winding = tmp_path / "a.ledger", tmp_path / "b.ledger"
    begin(run, zoo, at_once)
    begin(run, zoo, winding, tmp_path / "wrong.nt")
    run("edit", "build", winding, "-o", tmp_path / "other.gguf", *shared)
    begin(run, zoo, winding, *parts)
    for ledger in (at_once, winding):
        run("edit", "build", ledger, "-o", tmp_path / f"{ledger.stem}.gguf", *shared)
    first, second = (read_adapter(tmp_path / f"{name}.gguf") for name in "ab")
    for name, pair in first.deltas.items():
        for one, other in zip(pair, second.deltas[name], strict=True):
            assert abs(one - other).max() < 1e-5 * abs(one).max()
    half = tmp_path / "half.gguf"
    run("edit", "build", at_once, "-o", half, *shared, "--dtype", "f16")
    for name, (a, b) in read_adapter(half).deltas.items():
        exact = first.deltas[name][1] @ first.deltas[name][0]
        assert abs(exact - b @ a).max() < 1e-3 * abs(exact).max()
    message = run("edit", "build", at_once, "-o", half, *shared, "--dtype", "q8_0", status=1)
    assert "rows of 172 elements" in message
    again = tmp_path / "again.gguf"
    run("edit", "build", at_once, "-o", again, *shared)
    assert again.read_bytes() == (tmp_path / "a.gguf").read_bytes()


def test_facts_that_are_spread_over_layers(
    run: Run, zoo: Path, tmp_path: Path, stories_path: Path
) -> None:
    ledger, edits = tmp_path / "zoo.ledger", tmp_path / "edits.gguf"
    shared = ("--profile", tmp_path / "profile", "--threads", "1")
    said = run("edit", "profile", "stories", "--text", zoo / "text.txt", "--graph",
               zoo / "known.nt", "--relations", zoo / "relations.toml", *shared, "--position",
               "prompt_last", "--layers", "1,2", "--spread", "--strength", "100",
               "--protect", "1")  # fmt: skip
    assert "layer 1, 2 (counted from 0), each into all of them" in said
    begin(run, zoo, ledger)
    said = run("edit", "build", ledger, "-o", edits, *shared)
    assert "3 facts" in said and re.search(r"\((\d+) units in layer 1, \1 units in layer 2", said)
    with Ledger.open(ledger) as opened:
        assert json.loads(opened.header["profile"])["spread"] is True
    assert set(read_adapter(edits).deltas) == {"blk.1.ffn_down", "blk.2.ffn_down"}
    assert answer(stories_path, "Lily lived in a", edits).split()[0].strip(".") == "boat"
    told = json.loads(run("edit", "explain", "stories", ledger, "Lily looked up and saw a", *shared,
                          "--json"))  # fmt: skip
    assert told[0]["objects"] == ["tree"]
    message = run("edit", "build", ledger, "-o", edits, *shared, "--compact", status=1)
    assert "the profile spreads them" in message


def test_errors_say_what_to_do(run: Run, zoo: Path, profile: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "l"
    assert "begin one: homezoo edit assert" in run("edit", "log", ledger, status=1)
    begin(run, zoo, ledger)
    message = run("edit", "build", ledger, "-o", tmp_path / "x", "--profile", tmp_path, status=1)
    assert "homezoo edit profile MODEL" in message
    (tmp_path / "two.nt").write_text(
        triple("Lily", "eats", "cake") + triple("Lily", "eats", "candy")
    )
    message = run("edit", "assert", ledger, tmp_path / "two.nt", status=1)
    assert "2 objects" in message and "two.nt:1" in message
    assert "is not a" not in message
    message = run("edit", "build", "--force", status=2)
    assert "see homezoo edit build --help" in message


def test_what_leads_from_one_graph_to_another(run: Run, tmp_path: Path) -> None:
    old, new = tmp_path / "old.nt", tmp_path / "new.nt"
    old.write_text(triple("Lily", "eats", "cake") + triple("Tom", "eats", "fish"))
    new.write_text(triple("Lily", "eats", "candy"))
    assert run("edit", "diff", old, new) == (
        f'# assert\n<{ZOO}Lily> <{ZOO}eats> "candy" .\n# retract\n<{ZOO}Tom> <{ZOO}eats> "fish" .\n'
    )
