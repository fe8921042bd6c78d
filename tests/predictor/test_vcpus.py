"""The number of vCPUs is that of the container, not that of the machine."""

import os

import pytest

from predictor import vcpus

MACHINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("process_cgroups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "100000 100000"}, 1),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "150000 100000"}, min(2, MACHINE)),
        ("0::/\n", {"cpu.max": "0 100000"}, MACHINE),
        ("0::/\n", {"cpu.max": "max 100000"}, MACHINE),
        ("0::/pod/box\n", {"pod/cpu.max": "100000 100000", "pod/box/cpu.max": "max 100000"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000"}, MACHINE),
        ("4:cpu,cpuacct:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, MACHINE),
        ("", {}, MACHINE),
        ("nonsense\n", {"cpu.max": "nonsense"}, MACHINE),
    ],
)
def test_the_quotas_of_the_cgroup_and_of_those_above_it_count(tmp_path, process_cgroups, files, expected):
    (tmp_path / "process_cgroups").write_text(process_cgroups)
    for name, text in files.items():
        path = tmp_path / "cgroups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert vcpus.count_vcpus(tmp_path / "cgroups", tmp_path / "process_cgroups") == expected
