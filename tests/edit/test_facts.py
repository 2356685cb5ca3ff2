"""From triples to facts: labels, literals, relation files, conflicts, ambiguity, differences."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.edit.facts import Fact, OnConflict, diff, make_facts, split_labels
from homezoo.edit.labels import Labels, literal_text, words_of
from homezoo.edit.relations import parse_relations
from homezoo.edit.triples import LiteralValue, Notes, Triple
from homezoo.errors import FactError

LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
XSD = "http://www.w3.org/2001/XMLSchema#"
RELATIONS = """
[prefixes]
z = "http://zoo.example/"

["z:livesIn"]
edit = "{s} lives in"
paraphrases = ["The home of {s} is", "You find {s} in", "Visit {s} in", "The house of {s} is"]
inverse = "z:houses"

["z:houses"]
edit = "{s} is the home of"
paraphrases = ["In {s} lives", "Who visits {s} sees", "The animal of {s} is"]
cardinality = "many"

["z:eats"]
edit = "{s} eats"
paraphrases = ["The food of {s} is", "Feed {s} with", "{s} is fed"]
cardinality = "many"
"""
ZOO = "http://zoo.example/"


def triple(subject: str, predicate: str, value: str | LiteralValue, **more: str) -> Triple:
    target = ZOO + value if isinstance(value, str) else value
    return Triple(ZOO + subject, ZOO + predicate, target, **more)


def facts(
    *triples: Triple,
    on_conflict: OnConflict = "error",
    inverse: bool = False,
    labels: Labels | None = None,
    notes: Notes | None = None,
) -> list[Fact]:
    return make_facts(
        triples,
        labels or Labels(),
        parse_relations(RELATIONS),
        "assert",
        notes or Notes(),
        on_conflict,
        inverse,
    )


def test_labels_prefer_the_language_then_any_then_the_iri() -> None:
    labels = Labels("en")
    rest = split_labels(
        [
            Triple("a:x", LABEL, LiteralValue("Bär", "de")),
            Triple("a:x", LABEL, LiteralValue("bear", "en-gb")),
            Triple("a:y", LABEL, LiteralValue("Wolf", "de")),
            Triple("a:x", "http://www.w3.org/2004/02/skos/core#altLabel", LiteralValue("bruin")),
            Triple("a:x", "a:p", "a:y"),
        ],
        labels,
    )
    assert [t.predicate for t in rest] == ["a:p"]
    assert labels.name("a:x") == "bear"
    assert labels.aliases("a:x") == ("bruin",)
    assert labels.name("a:y") == "Wolf"
    assert labels.name("http://z.example/polarBear_2") == "polar bear 2"
    assert labels.name("Grevy's zebra") == "Grevy's zebra"


def test_words_of_iris() -> None:
    assert words_of("http://z.example/x#ReptileHouse") == "Reptile house"
    assert words_of("urn:zoo:NASAPenguin") == "NASA penguin"
    assert words_of("http://z.example/K%C3%B6ln/") == "Köln"


@pytest.mark.parametrize(
    "value, kind, expected",
    [
        ("2024-03-01", "date", "1 March 2024"),
        ("2024-12-31Z", "date", "31 December 2024"),
        ("0987", "gYear", "987"),
        ("true", "boolean", "yes"),
        ("0", "boolean", "no"),
        ("007.50", "decimal", "7.5"),
        ("-0.0", "decimal", "0"),
        ("+12", "integer", "12"),
        ("as it is", "string", "as it is"),
    ],
)
def test_literals_as_text(value: str, kind: str, expected: str) -> None:
    assert literal_text(LiteralValue(value, "", XSD + kind)) == expected


@pytest.mark.parametrize(
    "value, kind",
    [("1 March", "date"), ("2024-13-01", "date"), ("x", "gYear"), ("yes", "boolean"),
     ("1e5", "decimal"), ("", "integer")],
)  # fmt: skip
def test_literals_that_are_not_of_their_type(value: str, kind: str) -> None:
    with pytest.raises(FactError, match=rf"xsd:{kind}"):
        literal_text(LiteralValue(value, "", XSD + kind))


def test_a_fact_in_words() -> None:
    (found,) = facts(triple("leo", "livesIn", "reptileHouse", source="x:1"))
    assert (found.name, found.objects, found.source) == ("leo", ("reptile house",), "x:1")
    assert found.prompt("The home of {s} is") == "The home of leo is"


def test_two_objects_where_one_is_allowed() -> None:
    first = triple("leo", "livesIn", "savannah", source="a:1", valid_from="2023")
    second = triple("leo", "livesIn", "house", source="b:9", valid_from="2024")
    with pytest.raises(FactError, match=r"'savannah' \(a:1, from 2023\); 'house' \(b:9, from 2024"):
        facts(first, second)
    assert facts(first, second, on_conflict="last")[0].objects == ("house",)
    assert facts(second, first, on_conflict="newest")[0].objects == ("house",)
    assert facts(first, second, on_conflict="skip") == []
    with pytest.raises(FactError, match="2 objects"):  # the newest are two
        facts(first, replace(second, valid_from="2023"), on_conflict="newest")
    assert len(facts(first, first)) == 1  # the same said twice is no conflict


def test_several_objects_where_many_are_allowed() -> None:
    (found,) = facts(triple("leo", "eats", "meat"), triple("leo", "eats", "fish"))
    assert found.objects == ("meat", "fish")


def test_the_other_way_round() -> None:
    found = facts(
        triple("leo", "livesIn", "house"), triple("mia", "livesIn", "house"), inverse=True
    )
    assert [(f.name, f.objects) for f in found] == [
        ("leo", ("house",)),
        ("mia", ("house",)),
        ("house", ("leo", "mia")),
    ]


def test_two_subjects_of_one_name() -> None:
    labels = Labels()
    split_labels([Triple(ZOO + n, LABEL, LiteralValue("Leo")) for n in ("leo1", "leo2")], labels)
    pair = (triple("leo1", "livesIn", "house"), triple("leo2", "livesIn", "savannah"))
    with pytest.raises(FactError, match="both called 'Leo'"):
        facts(*pair, labels=labels)
    text = '[subjects]\nqualifier = "{s} the {q}"\nqualified_by = "z:kind"\n' + RELATIONS
    kinds = (triple("leo1", "kind", "lion"), triple("leo2", "kind", "tiger"))
    text += '["z:kind"]\nedit = "{s} is a"\nparaphrases = ["a {s}", "b {s}", "c {s}"]\n'
    found = make_facts([*pair, *kinds], labels, parse_relations(text), "assert", Notes())
    assert [f.name for f in found[:2]] == ["Leo the lion", "Leo the tiger"]


def test_other_languages_and_unknown_predicates_are_told() -> None:
    notes = Notes()
    found = facts(
        triple("leo", "eats", LiteralValue("Fleisch", "de")),
        triple("leo", "favouriteToy", LiteralValue("ball", "en")),
        notes=notes,
    )
    assert [f.objects for f in found] == [("ball",)]
    assert notes.other_languages == 1
    assert any("has no entry in the relation file" in line for line in notes.lines())
    relation = parse_relations(RELATIONS).of(ZOO + "favouriteToy")
    assert relation.edit == "The favourite toy of {s} is"


def test_two_operations_at_once() -> None:
    with pytest.raises(FactError, match="assert and retract at once"):
        facts(triple("leo", "eats", "meat"), triple("leo", "eats", "fish", operation="retract"))


@pytest.mark.parametrize(
    "text, message",
    [
        ('["a:p"]\nedit = "no slot"', "must have"),
        ('["a:p"]\nedit = "{s} {x}"', "no other braces"),
        ('["a:p"]\nparaphrases = []', "lacks edit"),
        ('["a:p"]\nedit = "{s} is"\nparaphrases = ["a {s}"]', "1 paraphrases; expected at least 3"),
        ('["a:p"]\nedit = "{s} is"\nparaphrases = ["{s} is", "b {s}", "c {s}"]', "twice"),
        ('["a:p"]\nedit = "{s} is"\nparaphrases = "a {s}"', "expected a list"),
        ('["a:p"]\nedit = "{s} is"\ncolour = "red"', "unknown colour"),
        ('["a:p"]\nedit = "{s} is"\ncardinality = "few"', "cardinality is 'few'"),
        ('x = 1', "'x' is no table"),
        ("[", "is not TOML"),
        ('[subjects]\nqualifier = "{s} {q}"', "qualified_by"),
    ],
)  # fmt: skip
def test_a_wrong_relation_file_is_refused(text: str, message: str) -> None:
    if "cardinality" in text:
        text += '\nparaphrases = ["a {s}", "b {s}", "c {s}"]'
    with pytest.raises(FactError, match=message):
        parse_relations(text)


def test_half_of_the_paraphrases_are_only_for_tests() -> None:
    relation = parse_relations(RELATIONS).of(ZOO + "livesIn")
    edit, held_out = relation.split(1)
    assert edit == ("{s} lives in",)
    assert set(held_out) == set(relation.paraphrases)
    edit, held_out = relation.split(3)
    assert len(edit) == 3 and len(held_out) == 2
    assert set(edit) | set(held_out) == {relation.edit, *relation.paraphrases}
    assert relation.split(3) == relation.split(3)
    with pytest.raises(FactError, match="expected 1 to 3"):
        relation.split(4)


_STATEMENTS = st.lists(st.builds(triple, *[st.sampled_from("abc")] * 3), max_size=12)


@given(_STATEMENTS, _STATEMENTS)
def test_a_difference_leads_from_one_graph_to_the_other(
    old: list[Triple], new: list[Triple]
) -> None:
    gained, lost = diff(old, new)
    held = {t.statement for t in old}
    assert {t.statement for t in gained}.isdisjoint(held)
    assert held - {t.statement for t in lost} | {t.statement for t in gained} == {
        t.statement for t in new
    }
