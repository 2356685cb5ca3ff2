"""Licences and lineage: what chains permit, and that what is unknown is said to be unknown."""

import json
import shutil
from pathlib import Path

import pytest

from homezoo.commands.licence import command
from homezoo.errors import CheckpointError
from homezoo.run.bundled import STORIES
from homezoo.zoo.known_origins import known_data, known_model
from homezoo.zoo.licence import combine, report, short_licence
from homezoo.zoo.licence_table import LICENCES, Answer, find_licence
from homezoo.zoo.lineage import trace
from homezoo.zoo.model_card import parse_card


def words(**permits: Answer) -> dict[str, str]:
    return {use: answer.word for use, answer in permits.items()}


def test_every_licence_has_a_source_and_more_than_notices_have_obligations() -> None:
    for licence in LICENCES.values():
        assert licence.source.startswith("https://")
        assert licence.obligations or max(vars(licence.permits).values()) is Answer.YES


@pytest.mark.parametrize(
    ("stated", "id"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("apache license 2.0", "apache-2.0"),
        ("GPL-3.0-or-later", "gpl-3.0"),
        ("CC-BY-NC-4.0", "cc-by-nc-4.0"),
        ("CC BY NC 4.0", "cc-by-nc-4.0"),
        ("Llama 2 Community License", "llama2"),
        ("bigscience-bloom-rail-1.0", "bigscience-bloom-rail-1.0"),
    ],
)
def test_licences_are_found_by_their_spellings(stated: str, id: str) -> None:
    found = find_licence(stated)
    assert found is not None
    assert found.id == id


@pytest.mark.parametrize(
    ("id", "permits", "obligation"),
    [  # clause of the licence's own text
        ("llama1", "conditions yes no conditions", "research without commercial aim"),  # 1 a, 3
        ("llama3", "yes yes conditions conditions", '"Built with Meta Llama 3"'),  # 1 b i
        ("llama3.1", "yes yes conditions conditions", '"Built with Llama"'),  # 1 b i
        ("tongyi-qianwen", "yes yes conditions conditions", "not improve other"),  # 5 b
        ("qwen", "yes yes conditions conditions", '"Improved using Qwen"'),  # 5 b
        ("qwen-research", "conditions yes no conditions", "research or evaluation"),  # 1 i, 2 a
        ("mnpl", "yes yes no conditions", "not in production"),  # 3.2
        ("gemma", "yes yes conditions conditions", "bind those to it"),  # 3.1
        ("bigscience-bloom-rail-1.0", "yes yes conditions conditions", "written by people"),
        ("cc-by-nd-3.0", "yes yes yes conditions", "do not make changed"),  # 3
        ("cc-by-nd-4.0", "yes yes yes conditions", "do not pass on changed"),  # 2 a 1 B
        ("mpl-2.0", "yes yes yes conditions", "offer the source"),  # 3.2
    ],
)
def test_rows_say_what_the_text_says(id: str, permits: str, obligation: str) -> None:
    licence = LICENCES[id]
    assert [answer.word for answer in vars(licence.permits).values()] == permits.split()
    assert any(obligation in text for text in licence.obligations)


@pytest.mark.parametrize("stated", ["other", "", "my-own-licence", "unknown", "mit or gpl"])
def test_what_is_no_known_licence_is_unknown(stated: str) -> None:
    assert find_licence(stated) is None


def test_a_model_taught_with_alpaca_is_not_for_commercial_use() -> None:
    metadata = {
        "general.name": "AlpacOOM 7b1",
        "general.license": "apache-2.0",
        "general.base_model.count": 1,
        "general.base_model.0.name": "Bloom 7b1",
        "general.base_model.0.organization": "BigScience",
        "general.base_model.0.repo_url": "https://huggingface.co/bigscience/bloom-7b1",
        "general.datasets": ["tatsu-lab/alpaca"],
    }
    found = report(trace(metadata, {}, "file"))
    assert [(link["role"], link["name"], link["licence"]) for link in found["chain"]] == [
        ("base", "bigscience/bloom-7b1", "bigscience-bloom-rail-1.0"),
        ("data", "tatsu-lab/alpaca", "cc-by-nc-4.0"),
        ("model", "AlpacOOM 7b1", "apache-2.0"),
    ]
    assert found["permits"] == {
        "private": "yes",
        "research": "yes",
        "commercial": "no",
        "redistribution": "conditions",
    }
    assert found["because"]["commercial"] == ["tatsu-lab/alpaca"]
    assert "no commercial use" in found["obligations"]
    assert any(
        "forbids stay forbidden" in text or "forbid" in text for text in found["obligations"]
    )
    assert found["unknown"] == []


def test_what_alpaca_was_cleaned_into_stays_alpaca() -> None:
    chain = trace({"general.license": "mit"}, {"datasets": ["yahma/alpaca-cleaned"]}, "m")
    assert [link.name for link in chain] == ["alpaca", "yahma/alpaca-cleaned", "m"]
    assert combine(chain).commercial is Answer.NO


def test_a_file_that_states_nothing_is_unknown() -> None:
    found = report(trace({}, {}, "mystery"))
    assert set(found["permits"].values()) == {"unknown"}
    assert found["unknown"] == ["mystery"]
    assert found["chain"][0]["licence"] is None


def test_an_unknown_base_makes_the_whole_unknown_but_not_a_no() -> None:
    metadata = {"general.license": "mit", "general.base_model.0.name": "Secret Sauce"}
    found = report(trace(metadata, {}, "m"))
    assert found["permits"]["commercial"] == "unknown"
    assert found["because"]["commercial"] == ["Secret Sauce"]
    metadata["general.dataset.0.name"] = "Alpaca"
    assert report(trace(metadata, {}, "m"))["permits"]["commercial"] == "no"


def test_a_licence_of_an_own_name_is_read_from_its_name() -> None:
    metadata = {"general.license": "other", "general.license.name": "llama3"}
    assert trace(metadata, {}, "m")[0].licence is LICENCES["llama3"]
    metadata = {"general.license": "other", "general.license.name": "Evil Corp 1"}
    (link,) = trace(metadata, {}, "m")
    assert (link.stated, link.licence) == ("Evil Corp 1", None)


def test_the_card_speaks_where_the_file_is_silent() -> None:
    card = parse_card(
        "---\nlicense: other\nlicense_name: qwen-research\nbase_model: Qwen/Qwen2.5-3B\n"
        "datasets:\n- OpenAssistant/oasst1\n---\n# Model\n"
    )
    chain = trace({}, card, "zoo/qwen")
    assert [(link.role, link.stated) for link in chain] == [
        ("base", "qwen-research"),
        ("data", "apache-2.0"),
        ("model", "qwen-research"),
    ]
    assert chain[-1].by == "the model card"
    assert combine(chain).commercial is Answer.NO
    chain = trace({"general.license": "mit"}, card, "zoo/qwen")
    assert (chain[-1].stated, chain[-1].by) == ("mit", "the file's metadata")
    assert (chain[-2].stated, chain[-2].by) == ("qwen-research", "the model card")


def test_file_and_card_that_contradict_each_other_both_count() -> None:
    chain = trace({"general.license": "mit"}, {"license": "cc-by-nc-4.0"}, "m")
    assert [link.stated for link in chain] == ["cc-by-nc-4.0", "mit"]
    assert combine(chain).commercial is Answer.NO
    assert len(trace({"general.license": "MIT"}, {"license": "mit"}, "m")) == 1


@pytest.mark.parametrize("text", ["", "no head", "---\nlicense: mit", "---\n\n---"])
def test_cards_without_a_head_say_nothing(text: str) -> None:
    assert parse_card(text) == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("---\n[1, 2\n---", "is no YAML: while parsing"),
        ("---\n- a\n---", "is a list, not names"),
        ("---\nlicense: !!python/object/apply:os.system ['true']\n---\n", "is no YAML: could not"),
        ("---\n" + "[" * 5000 + "\n---", "nested too deeply"),
    ],
)
def test_heads_that_cannot_be_read_are_an_error(text: str, wrong: str) -> None:
    with pytest.raises(CheckpointError, match=wrong):
        parse_card(text)


def test_a_broken_card_is_told_and_counts_as_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(STORIES, tmp_path / "model.gguf")
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    command(str(tmp_path / "model.gguf"), as_json=True)
    shown = capsys.readouterr()
    assert json.loads(shown.out)["chain"][-1]["stated_by"] == "the file's metadata"
    assert "what the model card states is not in the answer" in shown.err
    assert "README.md: its front matter is no YAML" in shown.err


def test_an_adapter_is_called_one() -> None:
    metadata = {"general.type": "adapter", "general.base_model.0.name": "Llama 2 7b"}
    chain = trace(metadata, {}, "lora")
    assert [(link.role, link.stated) for link in chain] == [("base", "llama2"), ("adapter", None)]


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", "llama2"),
        ("meta-llama/Llama-3.2-1B-Instruct", "llama3.2"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3"),
        ("meta-llama/Meta-Llama-3.1-8B", "llama3.1"),
        ("huggyllama/llama-7b", "llama1"),
        ("google/gemma-3-4b-it", "gemma"),
        ("google/gemma-7b", "gemma"),
        ("google/gemma-4-E4B-it", "apache-2.0"),
        ("Qwen/Qwen2.5-3B-Instruct", "qwen-research"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "apache-2.0"),
        ("bigscience/bloomz-560m", "bigscience-bloom-rail-1.0"),
        ("google/gemma-2-2b-it", "gemma"),
        ("EleutherAI/gpt-j-6B", "apache-2.0"),
        ("openai-community/gpt2-xl", "mit"),
    ],
)
def test_known_models(name: str, licence: str) -> None:
    found = known_model(name)
    assert found is not None
    assert found.licence == licence
    assert found.licence in LICENCES


def test_known_data_names_known_licences() -> None:
    for name in ("tatsu-lab/alpaca", "stanford alpaca", "alpaca_data", "roneneldan/TinyStories"):
        found = known_data(name)
        assert found is not None
        assert found.licence in LICENCES
    assert known_data("my own notes") is None


def test_one_line_for_tables() -> None:
    assert short_licence("cc-by-nc-4.0") == "cc-by-nc-4.0, commercial use: no"
    assert short_licence("odd") == "odd (unknown here: read it)"
    assert short_licence(None) == "not stated"


def test_an_adapter_states_the_licence_of_its_own_data() -> None:
    metadata = {"general.type": "adapter", "general.dataset.0.name": "my notes"}
    metadata |= {"homezoo.data.licence": "cc-by-4.0", "general.base_model.0.name": "Llama 2 7b"}
    chain = trace(metadata, {}, "x")
    assert [(link.role, link.stated) for link in chain] == [
        ("base", "llama2"),
        ("data", "cc-by-4.0"),
        ("adapter", None),
    ]


def test_alpacoom_is_not_for_commerce_whatever_it_is_called() -> None:
    metadata = {
        "general.type": "adapter",
        "general.name": "alpacoom",
        "general.base_model.0.name": "bloom-7b1",
        "general.dataset.0.name": "alpaca_data.json",
        "homezoo.data.licence": "as its authors say",
    }
    chain = trace(metadata, {}, "x")
    stated = [link.stated for link in chain]
    assert "bigscience-bloom-rail-1.0" in stated and "cc-by-nc-4.0" in stated
    assert report(chain)["permits"]["commercial"] == "no"
