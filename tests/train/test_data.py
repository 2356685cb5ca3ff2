"""Reading training data: every format, lines of bad rows, and nothing left out in silence."""

import json
from pathlib import Path

import pytest

from homezoo.errors import DataError
from homezoo.train.data_files import read_data
from homezoo.train.rows import Completion, Conversation, Instruction, Text, rows_of


def test_every_kind_of_row() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert rows_of({"instruction": "i", "output": "o"}) == [Instruction("i", "", "o")]
    assert rows_of({"instruction": "i", "input": "n", "output": "o"}) == [
        Instruction("i", "n", "o")
    ]
    assert rows_of({"messages": turns}) == [Conversation(tuple(turns))]
    sharegpt = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    assert rows_of({"conversations": sharegpt}) == [Conversation(tuple(turns))]
    assert rows_of({"prompt": "p", "completion": "c"}) == [Completion("p", "c")]
    assert rows_of({"prompt": turns[:1], "completion": turns[1:]}) == [Conversation(tuple(turns))]
    assert rows_of({"text": "t"}) == [Text("t")]
    assert rows_of("t") == [Text("t")]


@pytest.mark.parametrize(
    "value, reason",
    [
        ({"question": "q"}, "'question'; expected instruction and output"),
        ({"instruction": "i"}, "output is None"),
        ({"instruction": "i", "output": " "}, "output is empty"),
        ({"instruction": 3, "output": "o"}, "instruction is 3"),
        ({"messages": []}, "has no messages"),
        ({"messages": [{"role": "user", "content": "a"}]}, "nothing to learn"),
        ({"messages": [{"content": "a"}]}, "message 1 has the role None"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "an answer, is empty"),
        ({"prompt": "p"}, "completion is None"),
        (["a"], "is list"),
        (None, "is NoneType"),
    ],
)
def test_bad_rows_say_what_is_wrong(value: object, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        rows_of(value)


def test_bad_lines_are_kept_with_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "one"}\n\n{"text": \n{"prompt": "p"}\n{"text": "two"}\n', "utf-8")
    data = read_data(file)
    assert [placed.place for placed in data.rows] == ["data.jsonl line 1", "data.jsonl line 5"]
    assert [bad.place for bad in data.bad] == ["data.jsonl line 3", "data.jsonl line 4"]
    assert "is not JSON" in data.bad[0].reason and "completion" in data.bad[1].reason
    assert len(data.digest) == 64


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_gives_the_line_of_each_object(tmp_path: Path, indent: int | None) -> None:
    rows = [{"instruction": "i\n", "output": "o"}, {"instruction": "no"}, {"text": "ü"}]
    file = tmp_path / "data.json"
    file.write_text(json.dumps(rows, indent=indent), "utf-8")
    data = read_data(file)
    lines = [1, 1, 1] if indent is None else [2, 6, 9]
    assert [placed.place for placed in data.rows] == [f"data.json line {n}" for n in lines[::2]]
    assert [bad.place for bad in data.bad] == [f"data.json line {lines[1]}"]


def test_a_damaged_array_is_an_error_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text('[\n{"text": "one"},\n{"text": "tw', "utf-8")
    with pytest.raises(DataError, match="line 3 is not JSON"):
        read_data(file)


def test_lines_of_objects_may_be_called_json(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text('{"text": "one"}\n{"text": "two"}\n', "utf-8")
    assert len(read_data(file).rows) == 2


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("plain text\nof two lines", "utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}', "utf-8")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    data = read_data(tmp_path)
    assert [placed.row for placed in data.rows] == [Text("one"), Text("plain text\nof two lines")]


def test_parquet_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip(
        "pyarrow", reason="pyarrow, the extra `parquet`, is not installed"
    )
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="pyarrow, the extra `parquet`, is not installed"
    )
    table = pyarrow.table({"instruction": ["i", "j"], "input": [None, "n"], "output": ["o", None]})
    parquet.write_table(table, tmp_path / "data.parquet")
    data = read_data(tmp_path / "data.parquet")
    assert [placed.row for placed in data.rows] == [Instruction("i", "", "o")]
    assert [bad.place for bad in data.bad] == ["data.parquet row 2"]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("data.csv", "a,b", "of no known kind; known: .jsonl"),
        ("data.txt", b"\xff\xfe\x00", "not UTF-8 text: byte 0"),
        ("data.json", "3", "not an array"),
        ("data.jsonl", '{"a": 1}', "0 usable rows and 1 bad ones; the first: data.jsonl line 1"),
        ("data.txt", "", "0 usable rows"),
    ],
)
def test_what_cannot_be_read_at_all(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_data(file)
    with pytest.raises(DataError, match="does not exist"):
        read_data(tmp_path / "nothing.json")


def test_the_seed_tasks_of_stanford_alpaca(shared_data: Path) -> None:
    data = read_data(shared_data / "alpaca_seed_tasks.jsonl")
    assert len({placed.place for placed in data.rows}) == 175 and not data.bad
    assert all(isinstance(placed.row, Instruction) for placed in data.rows)
    assert data.known_licence is None  # the seed tasks are Apache-2.0
