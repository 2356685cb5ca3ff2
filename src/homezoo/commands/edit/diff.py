"""`homezoo edit diff`: what leads from one graph to another."""

from pathlib import Path
from typing import Annotated

import typer

from homezoo.commands.edit.options import LanguageOption
from homezoo.edit.facts import diff, read_graph
from homezoo.edit.ntriples import format_ntriples

DETAILS = (
    "Prints the new graph's own triples after `# assert`, and those that only the old one has "
    "after `# retract`. With --assert and --retract they are written to files for the ledger."
)

OldArgument = Annotated[Path, typer.Argument(metavar="OLD", help="a graph")]
NewArgument = Annotated[Path, typer.Argument(metavar="NEW", help="the same graph, later")]
AssertOption = Annotated[
    Path | None, typer.Option("--assert", metavar="FILE.nt", help="write what to assert here")
]
RetractOption = Annotated[
    Path | None, typer.Option("--retract", metavar="FILE.nt", help="write what to retract here")
]


def command(
    old: OldArgument,
    new: NewArgument,
    gained_file: AssertOption = None,
    lost_file: RetractOption = None,
    language: LanguageOption = "en",
) -> None:
    """Two lists of N-Triples; a triple that was replaced is only in the first."""
    before, after = (read_graph(path, None, language)[0] for path in (old, new))
    gained, lost = diff(before, after)
    replaced = {(t.subject, t.predicate) for t in gained}
    lost = [t for t in lost if (t.subject, t.predicate) not in replaced]
    for head, triples, path in (("assert", gained, gained_file), ("retract", lost, lost_file)):
        lines = list(format_ntriples(triples))
        if path is None:
            print("\n".join([f"# {head}", *lines]))
        else:
            path.write_text("".join(line + "\n" for line in lines), "utf-8")
            print(f"{path}: {len(lines)} triples to {head}")
