"""Editing as a way to teach: profile, ledger, build, and what one fact more or less takes."""

import time
from collections.abc import Sequence

from homezoo.compare.exam import Exam
from homezoo.compare.prepared import EDITING, Prepared, Settings, Tell
from homezoo.edit.build import Pair, capacity, deltas_of, make_adapter, solve_units
from homezoo.edit.canaries import check_canaries
from homezoo.edit.complete import complete
from homezoo.edit.facts import Fact
from homezoo.edit.fit import Wishes, fit_profile
from homezoo.edit.ledger import Ledger
from homezoo.edit.profile import Measured, load_profile, save_profile
from homezoo.edit.reader import Reader
from homezoo.errors import EditError, HomezooError
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.gguf_read import GGUFFile

FEWEST_WORDS = 200  # of ordinary text for the covariance of keys


def edit(exam: Exam, settings: Settings, tell: Tell) -> Prepared:
    """The lessons' facts as one adapter.

    The profile is made unless the folder holds this model's. HomezooError when the lessons are no
    facts, or there is too little text; EditError when the edits do not fit the model.
    """
    facts = [lesson.fact for lesson in exam.lessons if lesson.fact is not None]
    if len(facts) < len(exam.lessons):
        raise HomezooError("editing needs facts: give --triples, not documents or an exam")
    with GGUFFile.open(settings.model) as file:
        reader = Reader(file, settings.threads)
        begun = time.perf_counter()
        measured = _profile(reader, exam, settings, tell)
        profiled = time.perf_counter() - begun
        work = _Work(reader, measured, exam, settings)
        less = work.build(facts[:-1])
        more = work.build(facts)
        removed = work.build(facts[:-1])
        again = work.build(facts)
        rho, broken = work.rho, check_canaries(
            reader, measured, exam.relations, work.deltas, facts
        )  # fmt: skip
    note = f"capacity {rho:.2f}" + (f"; {'; '.join(broken)}" if broken else "")
    size = work.out.stat().st_size
    return Prepared(EDITING, less + more, profiled, size, more, removed, work.out, note=note + (
        "" if again <= 2 * max(more, 0.1) else "; timing unsteady"))  # fmt: skip


class _Work:
    """Builds ledgers of facts into the adapter."""

    def __init__(self, reader: Reader, measured: Measured, exam: Exam, settings: Settings) -> None:
        self.reader, self.measured, self.exam = reader, measured, exam
        self.out = settings.folder / "edited.gguf"
        path = settings.folder / "facts.ledger"
        for old in settings.folder.glob("facts.ledger*"):
            old.unlink()
        header = {
            "base": reader.identity.weights,
            "architecture": reader.model.config.architecture,
            "path": str(settings.model),
        }
        self.ledger = Ledger.create(path, header)
        self.rho = 0.0
        self.deltas: dict[str, Pair] = {}

    def build(self, facts: Sequence[Fact]) -> float:
        """The adapter of exactly these facts; seconds. Known keys and residuals are not sought."""
        begun = time.perf_counter()
        wanted = {fact.key for fact in facts}
        active = [entry.fact for entry in self.ledger.active()]
        self.ledger.retract([fact for fact in active if fact.key not in wanted])
        self.ledger.record(facts)
        profile = self.measured.profile
        units = complete(self.ledger, self.reader, profile, self.exam.relations)
        found = capacity(units, profile)
        found.check(force=False)
        updates = solve_units(units, self.measured, [fact.key for fact in facts])
        adapter = make_adapter(
            updates, profile, self.reader.identity, self.ledger.digest(), len(facts)
        )
        write_adapter(self.out, adapter)
        self.rho, self.deltas = found.rho, deltas_of(updates)
        return time.perf_counter() - begun


def _profile(reader: Reader, exam: Exam, settings: Settings, tell: Tell) -> Measured:
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
    measured = fit_profile(
        reader, text, exam.known, exam.relations, folder, wishes,
        lambda stage, done, total: tell(f"{stage} {done} of {total}"),
    )  # fmt: skip
    save_profile(folder, measured)
    return measured


def _text_of(exam: Exam) -> str:
    """Known facts as sentences, when there is no other text."""
    return " ".join(
        f"{fact.prompt(exam.relations.of(fact.predicate).edit)} {fact.objects[0]}."
        for fact in exam.known
    )
