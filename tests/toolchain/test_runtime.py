# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""runtime/: teams and barrier under the thread sanitizer, CPU features against the system's own list."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

from aotgen import _paths
from aotgen.core.errors import InternalError

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")

TEAM = r"""
#include TEAM
#include <pthread.h>
#include <stdio.h>
static int failures = 0;
// Every thread adds to its neighbour's cell between barriers: wrong unless all of them wait.
static void inference(int nt) {
  int cells[64] = {}, seen = 0;
  aot::parallel(nt, [&](int tid, int n, aot::Barrier& barrier) {
    if (tid == 0) __atomic_store_n(&seen, n, __ATOMIC_RELAXED);
    for (int round = 0; round < 40; ++round) {
      cells[(tid + round) % n] += 1;
      barrier.wait(n);
    }
  });
  int sum = 0;
  for (int c : cells) sum += c;
  if (sum != 40 * seen || seen < 1 || seen > nt) __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
}
static void* user(void*) {
  for (int k = 0; k < 30; ++k) inference(1 + k % 4);
  return nullptr;
}
int main() {
  pthread_t users[3];
  for (auto& u : users) pthread_create(&u, nullptr, user, nullptr);
  for (auto& u : users) pthread_join(u, nullptr);
  user(nullptr);
  printf("%d\n", failures);
  return failures != 0;
}
"""


def compile_and_run(source: str, folder: Path, *flags: str) -> str:
    (folder / "main.cpp").write_text(source)
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-g", *WARNINGS, f"-I{_paths.data('runtime')}", *flags, "main.cpp", "-o", "main"],
        cwd=folder,
        check=True,
    )
    done = subprocess.run(["./main"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("team", ["team_pool.h", "team_none.h"])
def test_teams_have_no_races(team: str, tmp_path: Path) -> None:
    assert compile_and_run(TEAM, tmp_path, f'-DTEAM="{team}"', "-fsanitize=thread", "-pthread") == "0\n"


def test_openmp_team(tmp_path: Path) -> None:
    assert compile_and_run(TEAM, tmp_path, '-DTEAM="team_openmp.h"', "-fopenmp", "-pthread") == "0\n"


@pytest.mark.skipif(platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="x86 Linux")
def test_features_are_those_the_system_lists(tmp_path: Path) -> None:
    text = (_paths.data("runtime") / "cpu_features.h").read_text()
    bits = [b for b in re.findall(r"\b(kCpu\w+) = ", text) if b != "kCpuAsimd"]
    lines = "".join(f'  printf("%s %d\\n", "{b}", (aot::cpu_features() & aot::{b}) != 0);\n' for b in bits)
    out = compile_and_run(f'#include "cpu_features.h"\n#include <stdio.h>\nint main() {{\n{lines}}}\n', tmp_path)
    listed = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    names = {f"kCpu{n.replace('_', '').capitalize()}" for n in listed.split(":")[1].split()}
    got = dict(line.split() for line in out.splitlines())
    assert {b for b, on in got.items() if on == "1"} == {b for b in bits if b in names}
    assert len(got) == len(bits) > 15


def test_every_isa_row_asks_for_known_features() -> None:
    from aotgen.targets.cpu.isa import ISAS

    text = (_paths.data("runtime") / "cpu_features.h").read_text()
    for isa in ISAS:
        for need in isa.needs:
            assert f"kCpu{need.replace('_', '').capitalize()} = " in text, need


def test_data_folders_of_an_installed_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "aotgen"
    (package / "_data" / "kernels").mkdir(parents=True)
    monkeypatch.setattr(_paths, "_PACKAGE", package)
    assert _paths.data("kernels") == package / "_data" / "kernels"
    with pytest.raises(InternalError, match="lacks its runtime/ folder"):
        _paths.data("runtime")
