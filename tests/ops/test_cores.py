"""The number of threads follows affinity, cores and the limits of control groups."""

import os
import sys
from pathlib import Path

import pytest

from homezoo.ops.cores import available_cores, linux_cores, mac_cores, processor_limit
from homezoo.run.backend import default_threads


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def topology(pairs: list[list[int]], name: str = "core_cpus_list") -> dict[str, str]:
    """Files that say which processors share a core."""
    return {
        f"sys/devices/system/cpu/cpu{processor}/topology/{name}": ",".join(map(str, pair))
        for pair in pairs
        for processor in pair
    }


def group(path: str, **limits: str) -> dict[str, str]:
    return {f"sys/fs/cgroup/{path}/{name}": text for name, text in limits.items()}


V2 = {"proc/self/cgroup": "0::/user.slice/app.scope"}
V1 = {"proc/self/cgroup": "5:memory:/docker/a1\n3:cpu,cpuacct:/docker/a1\n1:name=systemd:/x"}


def test_where_nothing_is_told_every_processor_counts(tmp_path: Path) -> None:
    assert linux_cores(tmp_path, set(range(6))) == 6
    assert linux_cores(tmp_path, {3}) == 1


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_one_thread_for_each_core(tmp_path: Path, name: str) -> None:
    put(tmp_path, topology([[n, n + 8] for n in range(8)], name))
    assert linux_cores(tmp_path, set(range(16))) == 8
    assert linux_cores(tmp_path, {0, 1, 2, 3, 8, 9}) == 4  # affinity: two pairs, two alone
    assert linux_cores(tmp_path, {0, 8, 1, 9}) == 4  # two cores are few: their threads count
    assert linux_cores(tmp_path, {0, 8}) == 2


@pytest.mark.parametrize(
    ("limit", "threads"),
    [("max 100000", 8), ("400000 100000", 4), ("150000 100000", 2), ("5000 100000", 1),
     ("1600000 100000", 8), ("", 8), ("nonsense", 8), ("100000 0", 8), ("-1 100000", 8)],
)  # fmt: skip
def test_a_limit_of_version_2(tmp_path: Path, limit: str, threads: int) -> None:
    put(tmp_path, V2 | {"sys/fs/cgroup/user.slice/app.scope/cpu.max": limit})
    assert linux_cores(tmp_path, set(range(8))) == threads


def test_the_narrowest_group_around_counts(tmp_path: Path) -> None:
    put(tmp_path, V2 | {
        "sys/fs/cgroup/user.slice/app.scope/cpu.max": "max 100000",
        "sys/fs/cgroup/user.slice/cpu.max": "200000 100000",
        "sys/fs/cgroup/cpu.max": "300000 50000",
    })  # fmt: skip
    assert processor_limit(tmp_path) == 2.0


def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    put(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"})
    assert linux_cores(tmp_path, set(range(8))) == 3
    put(tmp_path, {"proc/self/cgroup": "0::/../../docker/outside"})  # a path of the host
    assert linux_cores(tmp_path, set(range(8))) == 3


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("place", ["docker/a1/", ""])
def test_a_limit_of_version_1(tmp_path: Path, mount: str, place: str) -> None:
    folder = f"sys/fs/cgroup/{mount}/{place}"
    put(tmp_path, V1 | {f"{folder}cpu.cfs_quota_us": "300000", f"{folder}cpu.cfs_period_us": "1"})
    put(tmp_path, {f"{folder}cpu.cfs_period_us": "100000"})
    assert linux_cores(tmp_path, set(range(8))) == 3
    put(tmp_path, {f"{folder}cpu.cfs_quota_us": "-1"})
    assert linux_cores(tmp_path, set(range(8))) == 8


def test_this_machine() -> None:
    count = available_cores()
    assert 1 <= count <= (os.cpu_count() or 1)
    assert default_threads() == count


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has the call")
def test_affinity_is_respected() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_mac_counts_its_fast_cores() -> None:
    found = mac_cores()
    assert (found is None) == (sys.platform != "darwin")
