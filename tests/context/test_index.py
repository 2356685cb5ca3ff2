"""The index file: documents come, change and go, and what is wrong inside it is found."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from context.made_documents import docx_bomb

from homezoo.context.index import FileState, Index
from homezoo.context.ingest import Ingest, Report
from homezoo.context.passages import Passage, estimate_tokens
from homezoo.context.search import Searcher
from homezoo.errors import IndexFileError

STATE = FileState("0" * 64, 1, 1)


def passage(text: str, start: int = 0) -> Passage:
    return Passage(start, start + len(text), text, len(text.split()), "Head", None)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "one.sqlite") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "docs"
    (path / "sub").mkdir(parents=True)
    (path / "a.md").write_text("# Lions\nLions eat meat.")
    (path / "sub" / "b.txt").write_text("Bears eat honey.")
    (path / "picture.png").write_bytes(b"\x89PNG")
    (path / ".hidden.md").write_text("secret")
    return path


def read(index: Index, *roots: Path) -> Report:
    return Ingest(index, estimate_tokens, 100).run([str(root) for root in roots])


def found(index: Index, query: str) -> list[str]:
    return [Path(hit.path).name for hit in Searcher(index).search(query)]


def test_a_document_replaces_what_was_under_its_path(index: Index) -> None:
    index.put("a", "text", STATE, [passage("lions eat"), passage("bears")])
    index.put("b", "text", STATE, [passage("bears sleep")])
    index.put("a", "text", STATE, [passage("tigers")])
    index.commit()
    assert index.counts() == {"documents": 2, "passages": 2, "tokens": 3, "vectors": 0}
    assert found(index, "lions") == [] and found(index, "tigers") == ["a"]
    index.remove("a")
    index.commit()
    assert found(index, "tigers") == []
    assert index.problems() == []


def test_only_what_changed_is_read_again(index: Index, folder: Path) -> None:
    report = read(index, folder)
    assert (report.read, report.skipped, report.passages) == (2, 1, 2)
    assert found(index, "meat") == ["a.md"] and found(index, "secret") == []
    assert read(index, folder).unchanged == 2
    (folder / "a.md").write_text("# Tigers\nTigers eat fish.")
    os.utime(folder / "sub" / "b.txt")  # touched, but the same
    (folder / "c.txt").write_text("Birds.")
    report = read(index, folder)
    assert (report.read, report.unchanged) == (2, 1)
    assert found(index, "meat") == [] and found(index, "fish") == ["a.md"]
    (folder / "a.md").unlink()
    assert read(index, folder).removed == 1
    assert found(index, "fish") == [] and index.problems() == []


def test_a_root_that_is_gone_keeps_what_was_read(index: Index, folder: Path) -> None:
    read(index, folder)
    folder.rename(folder.with_name("elsewhere"))
    report = read(index, folder)
    assert report.removed == 0 and "not there now" in report.notes[0][1]
    assert found(index, "meat") == ["a.md"]


def test_a_bad_file_gets_a_note_and_the_others_are_read(index: Index, folder: Path) -> None:
    (folder / "bomb.docx").write_bytes(docx_bomb(70))
    (folder / "bad.txt").write_bytes(b"a\0b")
    report = read(index, folder)
    assert report.passages == 2
    notes = {Path(path).name: note for path, note in report.notes}
    assert set(notes) == {"bomb.docx", "bad.txt"}
    assert "zip bomb" in notes["bomb.docx"] and "byte 1 is zero" in notes["bad.txt"]
    kept = {Path(entry.path).name: entry.note for entry in index.entries() if entry.note}
    assert kept == notes
    assert read(index, folder).unchanged == 4  # not tried again until they change


def test_a_link_that_leads_in_a_circle_ends(index: Index, folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "broken.md").symlink_to(folder / "nowhere")
    report = read(index, folder)
    assert report.passages == 2
    assert [Path(path).name for path, _ in report.notes] == ["broken.md"]


def test_uncommitted_changes_are_as_if_they_had_not_been(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Index.create(path) as index:
        index.put("a", "text", STATE, [passage("lions")])
        index.commit()
        index.put("b", "text", STATE, [passage("bears")])
    with Index.open(path) as index:
        assert [entry.path for entry in index.entries()] == ["a"]
        assert index.problems() == []


def test_vectors_are_counted_and_missing_ones_found(index: Index) -> None:
    index.set("embedder", "x")
    index.set("width", "8")
    index.put("a", "text", STATE, [passage("lions"), passage("bears")], np.eye(2, 8))
    index.commit()
    assert index.counts()["vectors"] == 2 and index.problems() == []
    index.connection.execute("DELETE FROM vector WHERE passage = 1")
    assert index.problems() == ["1 passages without a vector"]


def test_damage_inside_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Index.create(path) as index:
        index.put("a", "text", STATE, [passage("lions eat meat")])
        index.commit()
    plain = sqlite3.connect(path)
    plain.execute("UPDATE passage SET text = 'bears'")  # behind the search table's back
    plain.commit()
    plain.close()
    with Index.open(path) as index:
        assert index.problems()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 100, b"x"])
def test_another_file_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    with pytest.raises(IndexFileError):
        Index.open(path)
    assert path.read_bytes() == content


def test_another_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t(x)")
    other.commit()
    other.close()
    with pytest.raises(IndexFileError, match="no index of homezoo"):
        Index.open(path)


def test_a_missing_index_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="homezoo index add"):
        Index.open(tmp_path / "none.sqlite")
