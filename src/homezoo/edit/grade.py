"""What edits did and what they broke, measured on the finished model (section by section of the
report): the facts themselves, other wordings, neighbours, the same subjects, everything else.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, field, replace

import numpy as np

from homezoo.edit.ask import Asker, Pair, Question, Reply
from homezoo.edit.fact_record import draw_key
from homezoo.edit.facts import Fact
from homezoo.edit.intervals import Rate, divergence, harmonic_mean
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.ops.log_softmax import log_softmax

NEIGHBOURS = 5  # of each edited fact
RETAINED = 400  # unedited facts that are asked
DRIFT_WINDOW = 256  # tokens
CANDIDATES = 100  # objects, beside a fact's own, that recall chooses from
# Names of the measures, and what each asks.
MEASURES = {
    "efficacy": "the edited facts, as they were written",
    "paraphrase": "the edited facts in wordings that were not used to edit",
    "neighbourhood": "others with the old answer keep it",
    "same subject": "other facts of the edited subjects stay",
    "retention": "facts that were not edited stay",
    "recall": "of a fact with several objects, those among as many likeliest of its relation",
    "alias": "the edited facts, asked by other names of the subject",
    "inverse": "the edited facts, asked the other way round",
    "efficacy (probability)": "the new answer is likelier than the old",
    "paraphrase (probability)": "likewise in other wordings",
    "neighbourhood (probability)": "of others the old answer is still the likelier",
    "efficacy (teacher-forced)": "tokens of the new answer, each after the right ones before it",
    "paraphrase (teacher-forced)": "likewise in other wordings",
    "neighbourhood (teacher-forced)": "tokens of the old answer of others",
}
FORCED = ("efficacy", "paraphrase", "neighbourhood")


@dataclass(frozen=True)
class Case:
    """One question and how it counts."""

    measure: str
    predicate: str
    fact: Fact  # the one that is asked about
    prompt: str
    answers: tuple[str, ...]  # right ones
    rival: str = ""  # what must be less likely than the first right answer
    candidates: tuple[str, ...] = ()  # of a question about recall: all objects to choose from


@dataclass(frozen=True)
class Drift:
    """How ordinary text is read after the edits."""

    divergence: float  # mean KL(base ‖ edited) of the next token, nats
    perplexity_ratio: float  # edited over base
    tokens: int


@dataclass(frozen=True)
class Suppressed:
    """How likely a model says what it must not say; 0 to 1."""

    prompt: str
    object: str
    before: float
    after: float


@dataclass
class Grades:
    """Rates by measure, over all relations and by relation; what failed."""

    rates: dict[str, Rate] = field(default_factory=dict)
    by_relation: dict[str, dict[str, Rate]] = field(default_factory=dict)
    failed: list[Case] = field(default_factory=list)
    drift: Drift | None = None
    suppressed: list[Suppressed] = field(default_factory=list)

    def count(self, measure: str, predicate: str, outcome: Rate) -> None:
        """Adds an outcome to its measure, and to that of its relation."""
        mine = self.by_relation.setdefault(predicate, {})
        for rates in (self.rates, mine):
            rates[measure] = rates.get(measure, Rate(0, 0)) + outcome

    def value(self, measure: str) -> float:
        """0 to 1; not a number when it was not measured."""
        return self.rates.get(measure, Rate(0, 0)).value

    @property
    def score(self) -> float:
        """Harmonic mean of the three probability measures (Meng et al. 2022), 0 to 1."""
        names = [name for name in MEASURES if "probability" in name and name in self.rates]
        return harmonic_mean([self.value(name) for name in names])


def known_facts(
    reader: Reader, facts: Items[Fact], relations: Relations, asker: Asker | None = None
) -> list[Fact]:
    """Those that the base answers right in the template for editing, with one object."""
    single = [fact for fact in facts if len(fact.objects) == 1]
    cases = [
        Case(
            "", f.predicate, f, f.prompt(relations.of(f.predicate).edit), (*f.objects, *f.accepted)
        )
        for f in single
    ]
    replies = (asker or Asker(reader)).ask([question(reader, case) for case in cases])
    return [fact for fact, reply in zip(single, replies, strict=True) if reply.right]


def question(reader: Reader, case: Case) -> Question:
    """A case in tokens."""
    answers = [*case.answers, *([case.rival] if case.rival else []), *case.candidates]
    ids = tuple(tuple(reader.answer(case.prompt, answer)) for answer in answers)
    return Question(tuple(reader.prompt(case.prompt)), ids)


def make_cases(
    edits: Items[Fact], known: Items[Fact], relations: Relations, templates: int = 1
) -> list[Case]:
    """All questions about these edits. `known` are facts that the base answers right."""
    by_key = {fact.key: fact for fact in known}
    edited = {fact.key for fact in edits}
    kept = [fact for fact in known if fact.key not in edited]
    cases: list[Case] = []
    for fact in edits:
        old = by_key.get(fact.key)
        cases += _about(fact, old, relations, templates)
        cases += further_cases(fact, [*edits, *kept], relations)
        if old is not None:
            near = [f for f in kept if f.predicate == fact.predicate and f.objects == old.objects]
            for other in _drawn(near, NEIGHBOURS, fact.name):
                prompt = other.prompt(relations.of(other.predicate).edit)
                rival = fact.objects[0] if len(fact.objects) == 1 else ""
                cases.append(
                    Case("neighbourhood", other.predicate, other, prompt, other.objects, rival)
                )
    subjects = {fact.subject for fact in edits}
    same = [fact for fact in kept if fact.subject in subjects]
    for measure, facts in (("same subject", same), ("retention", _drawn(kept, RETAINED, ""))):
        cases += [
            Case(measure, f.predicate, f, f.prompt(relations.of(f.predicate).edit), f.objects)
            for f in facts
        ]
    return cases


def grade(
    reader: Reader, deltas: Mapping[str, Pair], cases: Items[Case], text: np.ndarray | None = None
) -> Grades:
    """Asks the edited model; `text` are tokens of ordinary text, to measure drift."""
    asker = Asker(reader, deltas)
    replies = asker.ask([question(reader, case) for case in cases])
    grades = Grades()
    for case, reply in zip(cases, replies, strict=True):
        if case.candidates:
            grades.count("recall", case.predicate, recalled(reader, case, reply))
            continue
        right = _right(case, reply.exact)
        grades.count(case.measure, case.predicate, Rate(int(right), 1))
        if not right:
            grades.failed.append(case)
        if case.rival:
            likelier = reply.likely[0] > reply.likely[len(case.answers)]
            grades.count(f"{case.measure} (probability)", case.predicate, Rate(int(likelier), 1))
        if case.measure in FORCED and case.fact.operation != "suppress":
            length = len(reader.answer(case.prompt, case.answers[0]))
            forced = Rate(reply.tokens[0], length)
            grades.count(f"{case.measure} (teacher-forced)", case.predicate, forced)
    hushed = [case for case in cases
              if case.measure == "efficacy" and case.fact.operation == "suppress"]  # fmt: skip
    base = Asker(reader) if hushed or text is not None else asker
    grades.suppressed = measure_suppression(base, asker, hushed)
    if text is not None and len(text):
        grades.drift = measure_drift(base, asker, text)
    return grades


def measure_suppression(base: Asker, edited: Asker, cases: Items[Case]) -> list[Suppressed]:
    """How likely the whole object of each case is, before and after."""
    questions = [question(base.reader, case) for case in cases]
    chances = [
        [float(np.exp(reply.likely[0] * len(asked.answers[0])))
         for reply, asked in zip(side.ask(questions), questions, strict=True)]
        for side in (base, edited)
    ]  # fmt: skip
    return [Suppressed(case.prompt, case.answers[0], before, after)
            for case, before, after in zip(cases, *chances, strict=True)]  # fmt: skip


def measure_drift(base: Asker, edited: Asker, text: np.ndarray) -> Drift:
    """KL and perplexity on windows of a text."""
    kl, before, after, count = 0.0, 0.0, 0.0, 0
    for at in range(0, len(text) - 1, DRIFT_WINDOW):
        tokens = text[at : at + DRIFT_WINDOW]
        if len(tokens) < 2:
            break
        one, two = (side.logits([int(t) for t in tokens])[:-1] for side in (base, edited))
        kl += float(divergence(one, two).sum())
        places = np.arange(len(tokens) - 1), tokens[1:]
        before -= float(log_softmax(one)[places].sum())
        after -= float(log_softmax(two)[places].sum())
        count += len(tokens) - 1
    return Drift(kl / count, float(np.exp((after - before) / count)), count)


def further_cases(fact: Fact, graph: Items[Fact], relations: Relations) -> list[Case]:
    """Recall of several objects, and what only sometimes follows from an edit: other names of the
    subject, the relation the other way round. `graph` is what holds after the edits.
    """
    if fact.operation != "assert":
        return []
    relation, cases = relations.of(fact.predicate), []
    alike = [other for other in graph if other.predicate == fact.predicate]
    answers = (*fact.objects, *fact.accepted)
    if len(fact.objects) > 1:
        others = sorted({o for other in alike for o in other.objects} - set(fact.objects))
        drawn = tuple(others[:: 1 + len(others) // CANDIDATES])
        if drawn:
            prompt = fact.prompt(relation.edit)
            cases.append(Case("recall", fact.predicate, fact, prompt, fact.objects, "", drawn))
    for name in fact.aliases:
        prompt = replace(fact, name=name).prompt(relation.edit)
        cases.append(Case("alias", fact.predicate, fact, prompt, answers))
    if relation.inverse in relations.known:
        template = relations.of(relation.inverse).edit
        for target in fact.objects:
            names = {other.name: None for other in (fact, *alike) if target in other.objects}
            prompt = replace(fact, name=target).prompt(template)
            cases.append(Case("inverse", fact.predicate, fact, prompt, tuple(names)))
    return cases


def recalled(reader: Reader, case: Case, reply: Reply) -> Rate:
    """How many of a fact's m objects are among the m likeliest, by all of their tokens."""
    objects = [*case.answers, *case.candidates]
    lengths = [len(reader.answer(case.prompt, target)) for target in objects]
    likely = np.array(reply.likely) * lengths
    best = np.argsort(-likely, kind="stable")[: len(case.answers)]
    return Rate(int(np.count_nonzero(best < len(case.answers))), len(case.answers))


def _right(case: Case, exact: Items[bool]) -> bool:
    """Whether the greedy answer is right; a suppressed one must be none of them."""
    given = any(exact[: len(case.answers)])
    suppressed = case.fact.operation == "suppress" and case.measure in ("efficacy", "paraphrase")
    return given != suppressed


def _about(fact: Fact, old: Fact | None, relations: Relations, templates: int) -> list[Case]:
    relation = relations.of(fact.predicate)
    edit, held_out = relation.split(templates)
    rival = "" if old is None or old.objects[0] in fact.objects else old.objects[0]
    answers = (*fact.objects, *fact.accepted)
    return [
        Case(measure, fact.predicate, fact, fact.prompt(template), answers, rival)
        for measure, group in (("efficacy", edit), ("paraphrase", held_out))
        for template in group
    ]


def _drawn(facts: Items[Fact], count: int, salt: str) -> list[Fact]:
    """So many of the facts, always the same ones."""
    return sorted(facts, key=lambda fact: draw_key(fact, salt))[:count]
