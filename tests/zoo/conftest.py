"""A hub on this machine, an empty home, and no waiting."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from zoo.local_hub import Hub, serving

MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: nothing of the user's own is read, no token is known."""
    path = tmp_path / "home"
    path.mkdir()
    for name in (
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_ENDPOINT",
        "XDG_CACHE_HOME",
        "OLLAMA_MODELS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("USERPROFILE", str(path))
    return path


@pytest.fixture(scope="session")
def weights() -> bytes:
    """Three megabytes and a bit that nothing repeats in."""
    return random.Random(4).randbytes(3 * MEGABYTE + 12345)


@pytest.fixture
def hub(weights: bytes) -> Iterator[Hub]:
    """A hub with one model file."""
    with serving(Hub({"zoo/tiny": {"tiny-Q4_K_M.gguf": weights}})) as running:
        yield running
