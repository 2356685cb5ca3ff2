"""`homezoo run` on the bundled model: the answer alone on standard output, refusals in one line."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homezoo.commands.main import main
from homezoo.run.bundled import STORIES

# Empty prompt, greedy, 200 tokens: what llama2.c and llama.cpp both print.
GOLDEN = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n"
    "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She "
    'said, "I want to play with your ball, but I can\'t find it."\n'
    "Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to "
    "do.\"\nLily didn't want to help her mom, so she"
)
GREEDY = ("--raw", "--temperature", "0")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def ask(capsys: Capture) -> Callable[..., dict[str, Any]]:
    """Runs `homezoo run stories … --json` and gives the object."""

    def run(*arguments: str) -> dict[str, Any]:
        assert main(["run", "stories", *arguments, "--json"]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        answer: dict[str, Any] = json.loads(shown.out)
        return answer

    return run


def give_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_the_golden_text_comes_out_alone(capsys: Capture) -> None:
    assert main(["run", "stories", "", *GREEDY, "--max-tokens", "200"]) == 0
    shown = capsys.readouterr()
    assert shown.out == GOLDEN + "\n"
    assert re.fullmatch(
        r"\[opened in .* answer 200 tokens.* at .*/s; .*--max-tokens.*\]\n", shown.err
    )


def test_json_has_the_parts_that_programs_rely_on(ask: Callable[..., dict[str, Any]]) -> None:
    one = ask("", *GREEDY, "--max-tokens", "200", "--threads", "1")
    two = ask("", *GREEDY, "--max-tokens", "200", "--threads", "2")
    assert one["text"] == two["text"] == GOLDEN
    assert one["tokens"] == two["tokens"]
    assert len(one["tokens"]) == 200
    assert one["stop_reason"] == "length"
    assert one["prompt_tokens"] == 1
    assert one["timings"]["prefill_tokens"] == 1
    assert one["timings"]["decode_tokens_per_second"] > 0
    assert one["timings"]["load_seconds"] > 0


def test_the_prompt_is_read_from_standard_input_exactly(
    ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    argument = ask("Lily saw a cat.\n", *GREEDY, "--max-tokens", "8")
    give_input(monkeypatch, b"Lily saw a cat.\n")
    assert ask(*GREEDY, "--max-tokens", "8")["tokens"] == argument["tokens"]


def test_standard_input_that_is_no_text_is_refused(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_input(monkeypatch, b"abc\xff")
    assert main(["run", "stories", "--raw"]) == 1
    assert capsys.readouterr().err == "homezoo run: the prompt is not UTF-8 text: byte 3 is wrong\n"


def test_a_seed_gives_the_answer_again(ask: Callable[..., dict[str, Any]]) -> None:
    options = ("--raw", "--temperature", "1.5", "--max-tokens", "30")
    first = ask("The dog", *options)
    again = ask("The dog", *options, "--seed", str(first["seed"]))
    assert again["tokens"] == first["tokens"]
    others = [ask("The dog", *options, "--seed", str(seed))["tokens"] for seed in range(3)]
    assert any(tokens != first["tokens"] for tokens in others)


def test_a_stop_text_ends_the_answer_and_is_not_shown(capsys: Capture) -> None:
    assert main(["run", "stories", "", *GREEDY, "--stop", " Lily", "--stop", "zzz"]) == 0
    shown = capsys.readouterr()
    assert shown.out == GOLDEN.partition(" Lily")[0] + "\n"
    assert "ended by a stop text" in shown.err


def test_quiet_prints_nothing_beside_the_answer(capsys: Capture) -> None:
    assert main(["run", "stories", "", *GREEDY, "--max-tokens", "3", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_logprobs_of_the_chosen_and_the_likeliest(ask: Callable[..., dict[str, Any]]) -> None:
    answer = ask("", *GREEDY, "--max-tokens", "5", "--logprobs", "3")
    assert [place["token"] for place in answer["logprobs"]] == answer["tokens"]
    for place in answer["logprobs"]:
        assert len(place["top"]) == 3
        assert place["top"][0] == [place["token"], place["logprob"]]  # greedy takes the likeliest
        assert place["logprob"] < 0


def test_an_answer_held_to_a_regular_expression(ask: Callable[..., dict[str, Any]]) -> None:
    answer = ask("Her number is ", "--raw", "--regex", r"[0-9]{3}-[0-9]{2}", "--seed", "1")
    assert re.fullmatch(r"[0-9]{3}-[0-9]{2}", answer["text"])


def test_an_answer_held_to_a_schema_and_a_grammar(
    ask: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    schema = {
        "type": "object",
        "properties": {"pet": {"enum": ["cat", "dog"]}},
        "required": ["pet"],
    }
    schema["additionalProperties"] = False
    (tmp_path / "s.json").write_text(json.dumps(schema))
    for given in (str(tmp_path / "s.json"), json.dumps(schema)):
        answer = ask("Lily has a ", "--raw", "--schema", given, "--seed", "1", "--max-tokens", "60")
        assert json.loads(answer["text"])["pet"] in ("cat", "dog")
    (tmp_path / "g.lark").write_text('start: "red" | "blue"\n')
    answer = ask("The ball is ", "--raw", "--grammar", str(tmp_path / "g.lark"))
    assert answer["text"] in ("red", "blue")


def test_a_template_from_a_file(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "plain.jinja"
    path.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    greedy = ("--temperature", "0", "--max-tokens", "6", "--template", str(path))
    told = ask("Hello", *greedy, "--system", "Tell a story.")
    assert told["prompt_tokens"] > ask("Hello", *greedy)["prompt_tokens"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Hi"], "has no chat template.*--raw"),
        (["Hi", "--raw", "--system", "x"], "it excludes --system"),
        (["Hi", "--special"], "--special goes with --raw only"),
        (["Hi", "--raw", "--logprobs", "2"], "--logprobs are printed with --json only"),
        (["Hi", "--raw", "--adapter", "a.gguf"], "there is no adapter a.gguf"),
        (["Hi", "--raw", "--adapter", "a.gguf:x"], "'x' is no scale"),
        (["Hi", "--raw", "--adapter", str(STORIES)], "is no adapter: its general.type is"),
        (["Hi", "--raw", "--regex", "a", "--schema", "{}"], "exclude each other"),
        (["Hi", "--raw", "--regex", "(a"], "regular expression cannot be used"),
        (["Hi", "--raw", "--schema", "missing.json"], "missing.json"),
        (["Hi", "--raw", "--schema", "{"], "JSON schema cannot be read"),
        (["Hi", "--raw", "--temperature", "-1"], "temperature is -1.0; expected 0 or more"),
        (["Hi", "--raw", "--top-p", "2"], "top_p is 2.0"),
        (["Hi", "--raw", "--max-tokens", "0"], "max_tokens is 0"),
        (["Hi", "--raw", "--logit-bias", "x=1"], "expected ID=VALUE"),
        (["Hi", "--raw", "--threads", "0"], "threads is 0"),
        (["Hi", "--raw", "--cache", "q8_0"], "multiple of 32"),
        (["word " * 100, "--raw", "--context", "64"], r"\d{3} tokens and the context 64"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], expected: str, capsys: Capture
) -> None:
    assert main(["run", "stories", *arguments]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert re.search(expected, shown.err)


def test_an_empty_chat_prompt_is_refused(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_text("{{ messages[0].content }}")
    assert main(["run", "stories", " ", "--template", str(path)]) == 1
    assert "the prompt is empty" in capsys.readouterr().err
