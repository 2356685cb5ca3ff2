"""Readers of triples: N-Triples both ways, tables, SPARQL results, rdflib's formats, errors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.edit.ntriples import format_ntriples, parse_ntriples, read_ntriples
from homezoo.edit.rdf import read_triples
from homezoo.edit.triples import LiteralValue, Notes, Triple, normal
from homezoo.errors import FactError, UnsupportedError

ZOO = "http://zoo.example/"


def parse(*lines: str) -> list[Triple]:
    return list(parse_ntriples([line.encode() for line in lines], "x.nt", Notes()))


def test_a_statement_with_its_place() -> None:
    (found,) = parse(f"<{ZOO}leo> <{ZOO}livesIn> <{ZOO}savannah> . # why not")
    assert found == Triple(ZOO + "leo", ZOO + "livesIn", ZOO + "savannah", source="x.nt:1")


def test_escapes_languages_and_datatypes() -> None:
    found = parse(
        r'<a:s> <a:p> "tab\t \"quoted\" é \U0001F981 back\\slash"@en-GB .',
        r'<a:s> <a:p> "2024-03-01"^^<http://www.w3.org/2001/XMLSchema#date> .',
        r"<a:s\u00e9> <a:p> <a:o> .",
    )
    assert found[0].object == LiteralValue('tab\t "quoted" é 🦁 back\\slash', "en-gb")
    assert found[1].object == LiteralValue(
        "2024-03-01", "", "http://www.w3.org/2001/XMLSchema#date"
    )
    assert found[2].subject == "a:sé"


def test_text_is_put_into_one_form() -> None:
    (found,) = parse('<a:s> <a:p> "e\u0301" .')
    assert found.object == LiteralValue("é")


def test_blank_nodes_are_counted_and_comments_skipped() -> None:
    notes = Notes()
    lines = [b"_:x <a:p> <a:o> .", b"<a:s> <a:p> _:y .", b"", b"  # nothing", b"<a:s> <a:p> <a:o>."]
    assert len(list(parse_ntriples(lines, "x.nt", notes))) == 1
    assert notes.blank_nodes == 2
    assert "2 triples with a blank node" in notes.lines()[0]


@pytest.mark.parametrize(
    "line, message",
    [
        ("<a:s> <a:p> <a:o>", "line 1 is no N-Triples statement"),
        ('<a:s> <a:p> "open .', "line 1 is no N-Triples statement"),
        ("<a:s> <a:p> <a:o> <a:graph> .", "line 1 is no N-Triples statement"),
        ("<s> <a:p> <a:o> .", "no absolute IRI"),
        (r'<a:s> <a:p> "\x" .', "is no escape"),
        (r'<a:s> <a:p> "\uD800" .', "is no Unicode character"),
        (r'<a:s> <a:p> "\UFFFFFFFF" .', "is no Unicode character"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str) -> None:
    with pytest.raises(FactError, match=message.replace("\\", "\\\\")):
        parse(line)


def test_bytes_that_are_no_utf8() -> None:
    with pytest.raises(FactError, match="line 1: byte 13 is not UTF-8"):
        list(parse_ntriples([b'<a:s> <a:p> "\xff" .'], "x.nt", Notes()))


_TEXT = st.text(st.characters(codec="utf-8"), max_size=20).map(normal)
_IRI = st.text(st.characters(codec="utf-8"), max_size=12).map(lambda text: "a:" + text)


@given(
    st.lists(
        st.builds(
            Triple,
            _IRI,
            _IRI,
            st.one_of(
                _IRI,
                st.builds(LiteralValue, _TEXT),
                st.builds(LiteralValue, _TEXT, st.sampled_from(["en", "de-at"])),
                st.builds(LiteralValue, _TEXT, st.just(""), _IRI),
            ),
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read_back(triples: list[Triple]) -> None:
    lines = [line.encode() for line in format_ntriples(triples)]
    read = list(parse_ntriples(lines, "x", Notes()))
    assert [t.statement for t in read] == [t.statement for t in triples]


def test_a_file_of_100_000_lines_streams(tmp_path: Path) -> None:
    path = tmp_path / "many.nt"
    path.write_text("".join(f'<a:s{n}> <a:p> "object {n}" .\n' for n in range(100_000)))
    assert sum(1 for _ in read_ntriples(path, Notes())) == 100_000


def test_a_table_with_operations(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text(
        "subject,predicate,object,op,valid_from,source\n"
        f"{ZOO}leo,{ZOO}livesIn,the savannah,assert,2024-01-01,keeper\n"
        'Mia,lives in,"the ""old"" house",retract,,\n'
    )
    first, second = read_triples(path, Notes())
    assert first == Triple(
        ZOO + "leo", ZOO + "livesIn", LiteralValue("the savannah"), "assert", "2024-01-01", "keeper"
    )
    assert (second.subject, second.object) == ("Mia", LiteralValue('the "old" house'))
    assert (second.operation, second.source) == ("retract", "facts.csv:3")


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b,c\n1,2,3\n", "subject, predicate, object is missing"),
        ("subject,predicate,object,colour\n", r"unknown columns \['colour'\]"),
        ("subject,predicate,object,op\na,b,c,delete\n", "op is 'delete'"),
        ("subject,predicate,object\na,b\n", "2 has 2 cells"),
        ("subject,predicate,object\na,,c\n", "predicate is empty"),
        ('subject,predicate,object\na,b,"c\n', "line 2"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "facts.csv"
    path.write_text(text)
    with pytest.raises(FactError, match=message):
        list(read_triples(path, Notes()))


def test_results_of_sparql_in_tsv_and_json(tmp_path: Path) -> None:
    tsv, as_json = tmp_path / "result.tsv", tmp_path / "result.json"
    tsv.write_text(f'?s\t?p\t?o\n<{ZOO}leo>\t<{ZOO}name>\t"Leo"@en\n')
    as_json.write_text(
        json.dumps(
            {
                "head": {"vars": ["s", "p", "o"]},
                "results": {
                    "bindings": [
                        {
                            "s": {"type": "uri", "value": ZOO + "leo"},
                            "p": {"type": "uri", "value": ZOO + "name"},
                            "o": {"type": "literal", "value": "Leo", "xml:lang": "en"},
                        },
                        {
                            "s": {"type": "bnode", "value": "x"},
                            "p": {"type": "uri", "value": ZOO + "name"},
                            "o": {"type": "literal", "value": "Leo"},
                        },
                    ]
                },
            }
        )
    )
    expected = (ZOO + "leo", ZOO + "name", LiteralValue("Leo", "en"))
    notes = Notes()
    assert [t.statement for t in read_triples(tsv, notes)] == [expected]
    assert [t.statement for t in read_triples(as_json, notes)] == [expected]
    assert notes.blank_nodes == 1


def test_unknown_endings_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "facts.doc").write_text("")
    (tmp_path / "facts.csv").write_text("subject,predicate,object\n")
    with pytest.raises(UnsupportedError, match=r"ends in \.doc; known: \.nt"):
        read_triples(tmp_path / "facts.doc", Notes())
    with pytest.raises(FactError, match="there is no file"):
        read_triples(tmp_path / "none.nt", Notes())
    with pytest.raises(UnsupportedError, match="SPARQL queries need an RDF file"):
        read_triples(tmp_path / "facts.csv", Notes(), "SELECT")


def test_turtle_rdf_xml_json_ld_and_sparql(tmp_path: Path) -> None:
    rdflib = pytest.importorskip("rdflib", reason="rdflib, the extra `rdf`, is not installed")
    turtle = tmp_path / "facts.ttl"
    turtle.write_text(
        f'@prefix z: <{ZOO}> . z:leo z:livesIn z:savannah ; z:name "Leo"@en ; z:born 2020 .'
        " z:leo z:knows [] ."
    )
    notes = Notes()
    triples = list(read_triples(turtle, notes))
    assert notes.blank_nodes == 1
    assert {t.predicate.removeprefix(ZOO) for t in triples} == {"livesIn", "name", "born"}
    graph = rdflib.Graph().parse(str(turtle))
    for suffix, name in ((".rdf", "xml"), (".jsonld", "json-ld")):
        path = (tmp_path / "facts").with_suffix(suffix)
        graph.serialize(str(path), format=name)
        assert [t.statement for t in read_triples(path, Notes())] == [t.statement for t in triples]
    query = f"SELECT ?s ?p ?o WHERE {{ ?s ?p ?o . FILTER(?p = <{ZOO}livesIn>) }}"
    found = list(read_triples(turtle, Notes(), query))
    assert [t.statement for t in found] == [(ZOO + "leo", ZOO + "livesIn", ZOO + "savannah")]
    built = list(
        read_triples(turtle, Notes(), query.replace("SELECT ?s ?p ?o", "CONSTRUCT { ?s ?p ?o }"))
    )
    assert [t.statement for t in built] == [t.statement for t in found]
    turtle.write_text("this is no Turtle")
    with pytest.raises(FactError, match=r"facts\.ttl"):
        list(read_triples(turtle, Notes()))
