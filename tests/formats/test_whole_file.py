"""Files that are whole or not there."""

import os
import sys
from pathlib import Path

import pytest

from homezoo.formats.whole_file import whole_file


def write_half(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"new, but not all of it")
        raise RuntimeError


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with whole_file(path) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_private_files_are_their_owners_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for private, mode in ((True, 0o600), (False, 0o644)):
            with whole_file(tmp_path / "a", private) as file:
                file.write(b"x")
            assert (tmp_path / "a").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
