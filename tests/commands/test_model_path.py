"""Finding the model that a name means, and what is offered where there is none."""

from pathlib import Path

import pytest

from homezoo.commands.model_path import find_model
from homezoo.errors import HomezooError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("qwen2-0.5b-q4_0.gguf", "tiny.gguf", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_stories_is_the_bundled_model(stories_path: Path) -> None:
    assert find_model("stories") == stories_path


def test_a_file_named_as_the_bundled_model_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stories").touch()
    assert find_model("stories") == Path("stories")


def test_a_near_name_is_offered(folder: Path) -> None:
    with pytest.raises(HomezooError) as raised:
        find_model(str(folder / "qwen2-0.5b-q4_1.gguf"))
    assert f"did you mean {folder / 'qwen2-0.5b-q4_0.gguf'}?" in str(raised.value)


def test_other_models_of_the_folder_are_offered(folder: Path) -> None:
    with pytest.raises(HomezooError) as raised:
        find_model(str(folder / "zzz"))
    assert "tiny.gguf" in str(raised.value)
    assert "notes.txt" not in str(raised.value)


def test_a_folder_says_what_it_holds(folder: Path) -> None:
    with pytest.raises(HomezooError, match="is a folder, not a model file; it holds .*tiny.gguf"):
        find_model(str(folder))
    (folder / "empty").mkdir()
    with pytest.raises(HomezooError, match=r"there is no \.gguf file in it"):
        find_model(str(folder / "empty"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomezooError, match="the folder .*nowhere does not exist either"):
        find_model(str(tmp_path / "nowhere" / "m.gguf"))
