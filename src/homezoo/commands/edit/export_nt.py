"""`homezoo edit export-nt`: a ledger's active facts as N-Triples, to go back into a graph."""

from homezoo.commands.edit.options import LedgerArgument
from homezoo.edit.ledger import Ledger
from homezoo.edit.ntriples import format_ntriples
from homezoo.edit.triples import Triple


def command(ledger: LedgerArgument) -> None:
    """Facts that are asserted, with their objects as the source had them."""
    with Ledger.open(ledger) as opened:
        facts = [e.fact for e in opened.active() if e.fact.operation == "assert"]
    triples = [Triple(f.subject, f.predicate, target) for f in facts for target in f.targets]
    for line in format_ntriples(triples):
        print(line)
