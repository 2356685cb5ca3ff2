"""`homezoo index`, `search` and `ask` as a user types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from context.made_models import with_template

from homezoo.commands.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "zoo.md").write_text("# Animals\nLions eat meat.\n## Bears\nBears eat honey.\n")
    (folder / "bad.docx").write_bytes(b"no zip")
    return folder


def told(capsys: Capture, *arguments: str | Path) -> Any:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_add_sync_info_check_list_remove(capsys: Capture, docs: Path, data_home: Path) -> None:
    added = told(capsys, "index", "add", "zoo", docs)
    assert (added["read"], added["passages"]) == (2, 2)
    assert added["notes"] == [
        {
            "path": str(docs / "bad.docx"),
            "note": "it is no sound DOCX file: File is not a zip file",
        }
    ]
    (docs / "zoo.md").write_text("Penguins eat fish.")
    assert told(capsys, "index", "sync", "zoo")["read"] == 1
    info = told(capsys, "index", "info", "zoo")
    assert (info["documents"], info["passages"], info["vectors"]) == (2, 1, 0)
    assert info["path"] == str(data_home / "homezoo" / "indexes" / "zoo.sqlite")
    assert info["roots"] == [str(docs)] and info["notes"] == added["notes"]
    assert told(capsys, "index", "check", "zoo") == {"sound": True, "problems": []}
    assert [row["name"] for row in told(capsys, "index", "list")] == ["zoo"]
    assert main(["index", "remove", "zoo"]) == 0
    assert not list((data_home / "homezoo" / "indexes").iterdir())


def test_search_points_to_places(capsys: Capture, docs: Path) -> None:
    told(capsys, "index", "add", "zoo", docs)
    (first,) = told(capsys, "search", "zoo", "What do bears like?", "--top", "5")
    text = (docs / "zoo.md").read_text()
    assert text[slice(*first["offsets"])] == first["text"] == "## Bears\nBears eat honey."
    assert (first["path"], first["heading"]) == (str(docs / "zoo.md"), "Animals > Bears")
    assert main(["search", "zoo", "bears"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        f"1. {docs / 'zoo.md'}, characters 26 to 51, Animals > Bears\n   ## Bears"
    )
    assert main(["search", "zoo", "xylophone"]) == 0
    assert capsys.readouterr().out == "nothing found\n"


def test_ask_answers_with_citations(
    capsys: Capture, docs: Path, tmp_path: Path, stories_path: Path
) -> None:
    model = with_template(stories_path, tmp_path / "talks.gguf")
    told(capsys, "index", "add", "zoo", docs, "--model", model)
    ask = ("ask", "zoo", "What do bears eat?", "--model", model, "--max-tokens", "5")
    reply = told(capsys, *ask)
    assert {"answer", "citations", "context_tokens", "found"} <= set(reply)
    citation = reply["citations"][0]
    text = (docs / "zoo.md").read_text()
    assert citation["path"] == str(docs / "zoo.md")
    assert "Bears eat honey." in text[slice(*citation["offsets"])]
    assert 0 < reply["context_tokens"] < reply["prompt_tokens"]
    assert main([*map(str, ask), "--show-context"]) == 0
    shown = capsys.readouterr()
    assert "Question: What do bears eat?" in shown.err and "Bears eat honey." in shown.err
    assert f"[1] {docs / 'zoo.md'}, characters 26 to 51" in shown.out
    nothing = told(capsys, "ask", "zoo", "xylophone?", "--model", model)
    assert (nothing["answer"], nothing["found"]) == ("The documents do not say.", False)


def test_vectors_by_a_chat_model_are_named_weak(
    capsys: Capture, docs: Path, stories_path: Path
) -> None:
    assert main(["index", "add", "zoo", str(docs), "--embedder", "stories"]) == 0
    assert "its vectors tell meanings apart weakly" in capsys.readouterr().err
    info = told(capsys, "index", "info", "zoo")
    assert info["vectors"] == 2 and info["weak_vectors"]
    hits = told(capsys, "search", "zoo", "honey", "--by", "vectors")
    assert len(hits) == 2 and hits[0]["ranks"] == {"vectors": 1}
    assert told(capsys, "search", "zoo", "honey")[0]["ranks"]["bm25"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "add", "zoo"], "there is nothing to add"),
        (["index", "add", "zoo", "/no/such/file"], "there is no /no/such/file; nothing was added"),
        (["index", "add", "../../x", "."], "no index"),
        (["index", "add", "a b", "."], "cannot be called 'a b'"),
        (["index", "add", "zoo", ".", "--budget", "3"], "expected 16 or more"),
        (["index", "sync", "zoo"], "there is no index"),
        (["index", "sync"], "needs the NAME"),
        (["index", "info", "zoo", "--budget", "30"], "--budget goes with homezoo index add only"),
        (["search", "zoo", "x"], "homezoo index add NAME"),
        (["ask", "zoo", "x", "--model", "stories"], "homezoo index add NAME"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    capsys: Capture, arguments: list[str], message: str, tmp_path: Path
) -> None:
    if arguments[2:3] == ["../../x"]:
        (tmp_path / "x.sqlite").write_bytes(b"something else")
        arguments = ["index", "info", str(tmp_path / "x.sqlite")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_what_an_index_was_made_with_stays(capsys: Capture, docs: Path) -> None:
    told(capsys, "index", "add", "zoo", docs)
    assert main(["index", "add", "zoo", str(docs), "--budget", "50"]) == 1
    assert "homezoo index remove zoo" in capsys.readouterr().err
