"""Editing as a way to teach: profile, ledger, build, and what one fact more or less takes."""

import time
from collections.abc import Sequence

from homezoo.compare.exam import Exam
from homezoo.compare.prepared import EDITING, Prepared, Settings
from homezoo.edit.canaries import check_canaries
from homezoo.edit.complete import Assembled, assemble
from homezoo.edit.facts import Fact
from homezoo.edit.fit import fit_profile
from homezoo.edit.ledger import Ledger
from homezoo.edit.profile import Measured, load_profile, save_profile
from homezoo.edit.reader import Reader
from homezoo.edit.wishes import Wishes
from homezoo.errors import EditError, HomezooError
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.gguf_read import GGUFFile

FEWEST_WORDS = 200  # of ordinary text for the covariance of keys


def edit(exam: Exam, settings: Settings) -> Prepared:
    """The lessons' facts as one adapter.

    The profile is made unless the folder holds this model's. HomezooError when the lessons are no
    facts, or there is too little text; EditError when the edits do not fit the model.
    """
    facts = [lesson.fact for lesson in exam.lessons if lesson.fact is not None]
    if len(facts) < len(exam.lessons):
        raise HomezooError("editing needs facts: give --triples, not documents or an exam")
    out, path = settings.folder / "edited.gguf", settings.folder / "facts.ledger"
    for old in settings.folder.glob("facts.ledger*"):
        old.unlink()
    with GGUFFile.open(settings.model) as file:
        reader = Reader(file, settings.threads)
        begun = time.perf_counter()
        measured = _profile(reader, exam, settings)
        profiled = time.perf_counter() - begun
        with Ledger.create(path, reader.ledger_header(settings.model)) as ledger:

            def build(facts: Sequence[Fact]) -> tuple[float, Assembled]:
                """The adapter of exactly these facts. What is known of them is not sought again."""
                begun = time.perf_counter()
                wanted = {fact.key for fact in facts}
                active = [entry.fact for entry in ledger.active()]
                ledger.retract([fact for fact in active if fact.key not in wanted])
                ledger.record(facts)
                built = assemble(ledger, reader, measured, exam.relations)
                write_adapter(out, built.adapter)
                return time.perf_counter() - begun, built

            less, more, removed = (build(some)[0] for some in (facts[:-1], facts, facts[:-1]))
            again, built = build(facts)
        broken = check_canaries(reader, measured, exam.relations, built.adapter.deltas, facts)
    notes = [f"capacity {built.capacity.rho:.2f}", *broken]
    if again > 2 * max(more, 0.1):
        notes.append("timing unsteady")
    size = out.stat().st_size
    return Prepared(EDITING, less + more, profiled, size, more, removed, out, note="; ".join(notes))


def _profile(reader: Reader, exam: Exam, settings: Settings) -> Measured:
    folder = settings.folder / "profile"
    try:
        held = load_profile(folder)
        if held.profile.base == reader.identity.weights:
            return held
    except EditError:
        pass
    text = settings.text or _text_of(exam)
    if len(text.split()) < FEWEST_WORDS:
        raise HomezooError(
            f"editing measures the model on ordinary text, and {len(text.split())} words are too "
            f"few; give --text, a file of {FEWEST_WORDS} words or more"
        )
    wishes = Wishes(layers=settings.layers, planned=max(1, len(exam.lessons)))
    measured = fit_profile(reader, text, exam.known, exam.relations, folder, wishes)
    save_profile(folder, measured)
    return measured


def _text_of(exam: Exam) -> str:
    """Known facts as sentences, when there is no other text."""
    return " ".join(
        f"{fact.prompt(exam.relations.of(fact.predicate).edit)} {fact.objects[0]}."
        for fact in exam.known
    )
