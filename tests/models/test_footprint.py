"""The account of memory: held to real runs, and kept as a limit by them."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from wide_model import write_wide_model

from homezoo.commands.main import main
from homezoo.errors import OptionError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.footprint import CHUNK, Footprint, footprint
from homezoo.ops.memory import available_memory, group_limit, memory_limit, usable_memory
from homezoo.run.model import Model

PEAK = """
import sys
from homezoo.commands import run
from homezoo.ops.memory import peak_memory
from homezoo.run.model import Model
with Model.open(sys.argv[1], context=512, threads=1) as model:
    model.generate(list(range(3, 483)), max_tokens=8, temperature=0.0, ignore_end=True)
print(peak_memory())
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, stories_path: Path) -> Path:
    return write_wide_model(tmp_path_factory.mktemp("wide") / "wide-F32.gguf", stories_path)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's own figure")
def test_the_peak_of_a_run_is_what_was_foretold(wide: Path, stories_path: Path) -> None:
    def peak(path: Path) -> int:
        called = [sys.executable, "-c", PEAK, str(path)]
        return int(subprocess.run(called, capture_output=True, check=True, text=True).stdout)

    with GGUFFile.open(stories_path) as file:
        program = peak(stories_path) - footprint(file, file.file_bytes, 512, program=0).total
    with GGUFFile.open(wide) as file:
        plan = footprint(file, file.file_bytes, 512, program=program)
    assert plan.weights > 30e6 and plan.cache > 8e6 and plan.buffers > 10e6
    assert plan.total == pytest.approx(peak(wide), rel=0.05)


def test_the_cache_is_what_the_engine_allocates(wide: Path) -> None:
    for type in ("f16", "q8_0"):
        with Model.open(wide, context=300, cache=type, threads=1, parallel=2) as model:
            arrays = (*model.engine.cache.k, *model.engine.cache.v)
            allocated = sum(array.nbytes for array in arrays)
        with GGUFFile.open(wide) as file:
            assert footprint(file, 0, 300, type, parallel=2).cache == allocated


def test_a_longer_context_changes_the_cache_alone(wide: Path) -> None:
    with GGUFFile.open(wide) as file:
        short, long = footprint(file, 1000, CHUNK), footprint(file, 1000, 4096)
    assert short.at(4096) == long
    assert long.total - short.total == (4096 - CHUNK) * long.position


def test_the_largest_context_just_fits() -> None:
    plan = Footprint(1000, 0, 200, 30, 70, 64, 10).at(64)
    assert plan.total == 1300 + 640
    assert plan.largest_context(1300 + 64 * 10 * 3) == 192
    assert plan.largest_context(1300 + 64 * 10 * 3 - 1) == 128
    assert plan.largest_context(1300 + 64 * 10 * 4, parallel=2) == 128
    assert plan.largest_context(1300) == plan.largest_context(0) == 0


def test_a_run_that_asks_for_too_much_is_refused_with_numbers(wide: Path) -> None:
    with GGUFFile.open(wide) as file:
        plan = footprint(file, file.file_bytes, 512)
    with pytest.raises(OptionError, match=r"a context of 512 needs .* --context 256 or less"):
        Model.open(wide, context=512, memory=plan.at(256).total)
    with pytest.raises(OptionError, match=r"wide-F32.gguf needs .* --memory GB allows more"):
        Model.open(wide, context=64, memory=1e6)
    with Model.open(wide, context=512, memory=plan.total, threads=1) as model:
        assert model.context == 512


def test_a_context_that_nobody_asked_for_is_cut_with_a_warning(wide: Path) -> None:
    with GGUFFile.open(wide) as file:
        plan = footprint(file, file.file_bytes, 512)
    with pytest.warns(UserWarning, match="the context is 256 tokens instead of 512"):
        model = Model.open(wide, memory=plan.at(256).total, threads=1)
    with model:
        assert model.context == 256


def test_the_command_line_keeps_within_memory_too(
    wide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(wide), "--raw", "x", "--memory", "0.001"]) == 1
    assert "--memory GB allows more" in capsys.readouterr().err
    assert main(["run", str(wide), "--raw", "x", "--memory", "0"]) == 1
    assert "--memory is 0; expected GB above 0" in capsys.readouterr().err


def test_the_narrowest_control_group_counts(tmp_path: Path) -> None:
    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    assert group_limit(tmp_path) is None
    put("proc/self/cgroup", "0::/user.slice/app.scope")
    put("sys/fs/cgroup/user.slice/app.scope/memory.max", "max")
    assert group_limit(tmp_path) is None
    put("sys/fs/cgroup/user.slice/memory.max", "4000000000")
    assert group_limit(tmp_path) == 4_000_000_000
    put("proc/self/cgroup", "5:memory:/docker/a1")
    put("sys/fs/cgroup/memory/docker/a1/memory.limit_in_bytes", "9223372036854771712")
    assert group_limit(tmp_path) is None
    put("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "2000000000")
    assert group_limit(tmp_path) == 2_000_000_000


def test_this_machine_tells_its_memory() -> None:
    limit, usable = memory_limit(), usable_memory()
    assert limit is not None and usable is not None
    assert 256 << 20 < usable < limit
    if sys.platform == "linux":
        assert 0 < (available_memory() or 0) <= limit * 64


KEPT = """
import numpy as np
from homezoo.ops.memory import freed_memory_kept, private_memory
def take():
    for _ in [np.ones(2_000_000, np.float32) for _ in range(20)]: pass  # 160 MB, and free it
before = private_memory()
with freed_memory_kept():
    take()
    print(private_memory() - before)
print(private_memory() - before)
take()
print(private_memory() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is asked to keep it")
def test_freed_memory_is_kept_for_a_while_and_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, check=True, text=True)
    kept, afterwards, later = map(int, done.stdout.split())
    assert kept > 140e6 and afterwards < 20e6 and later < 100e6
