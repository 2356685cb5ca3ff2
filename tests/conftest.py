"""Fixtures that all tests share: the real small model of the package and the shared test data."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The project's shared test data (vocabularies, templates); it lies beside the checkout."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"shared test data is not at {path}")
    return path


@pytest.fixture(scope="session")
def stories_path() -> Path:
    """The real, trained 260K-parameter LLaMA that the package carries."""
    return ROOT / "src" / "homezoo" / "bundled" / "stories260K-f32.gguf"
