"""Steps and bytes both bound the replay, and a budget that cannot work is refused before anything runs."""

import pytest

from dreamerax.memory_limit import machine_memory
from dreamerax.replay.budget import fit
from dreamerax.types import ArraySpec
from tests.replay.numbered import make

COLUMNS = {"image": ArraySpec((8, 8, 3), "uint8"), "reward": ArraySpec(())}  # 196 bytes
STEP = 196


def budget(asked_steps=1000, max_bytes=None, streams=2, sequence=5, memory=10**6):
  return fit(COLUMNS, asked_steps=asked_steps, max_bytes=max_bytes, streams=streams, sequence=sequence, memory=memory)


def test_the_smaller_of_steps_and_bytes_wins():
  assert budget(asked_steps=100).steps == 100
  assert budget(max_bytes=50 * STEP).steps == 50
  assert budget(asked_steps=10**9).nbytes <= 250_000  # a quarter of the memory
  assert budget(asked_steps=10**9).nbytes > 250_000 - 2 * STEP


def test_one_line_says_both():
  line = budget(asked_steps=5_000_000, max_bytes=2**31, memory=2**33).describe()
  assert "5,000,000 steps asked, 5,000,000 fit in 934.6 MiB" in line
  line = budget(asked_steps=50_000_000, max_bytes=2**31, memory=2**33).describe()
  assert "50,000,000 steps asked, 10,956,548 fit in 2.0 GiB" in line
  assert "\n" not in line


def test_bytes_per_step_are_the_payload():
  replay = make(3, capacity=300)
  payload = 2 * 2 * 3 + 2 * 4 + 2 * 4 + 4 + 3 + 3 * 4 + 2 * 4
  assert replay.bytes == replay.capacity * payload
  assert replay.capacity == 300


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"asked_steps": 9}, r"replay\.capacity=9 .*at least 10"),
    ({"max_bytes": 9 * STEP}, rf"replay\.max_bytes={9 * STEP} .*at least {10 * STEP}"),
    ({"memory": 39 * STEP}, r"a quarter of the memory=1911 .*set replay\.max_bytes"),
    ({"max_bytes": 10**9, "asked_steps": 10**6}, r"replay\.max_bytes=1000000000 .*lower"),
  ],
)
def test_what_cannot_work_names_field_value_and_fix(fields, message):
  with pytest.raises(ValueError, match=message):
    budget(**fields)


@pytest.mark.parametrize(
  "fields", [{"capacity": 0}, {"batch_size": 0}, {"batch_length": -1}, {"context": 2}, {"max_bytes": 0}]
)
def test_config_refuses_values_without_meaning(fields):
  (name,) = fields
  with pytest.raises(ValueError, match=f"replay.{name}={fields[name]}"):
    make(**fields)


def _machine(root, cgroup, limits):
  (root / "proc/self").mkdir(parents=True)
  (root / "proc/meminfo").write_text("MemTotal:        1000 kB\nMemFree:          10 kB\n")
  (root / "proc/self/cgroup").write_text(cgroup)
  for path, text in limits.items():
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
  return machine_memory(root)


@pytest.mark.parametrize(
  ("cgroup", "limits", "expected"),
  [
    ("0::/\n", {}, 1_024_000),
    ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, 1_024_000),
    ("0::/\n", {"sys/fs/cgroup/memory.max": "4096\n"}, 4096),
    ("0::/a/b\n", {"sys/fs/cgroup/a/memory.max": "4096\n", "sys/fs/cgroup/a/b/memory.max": "8192\n"}, 4096),
    ("4:cpu,memory:/a\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, 4096),
    ("4:memory:/a\n", {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": str(2**62)}, 1_024_000),
    ("4:cpu:/a\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, 1_024_000),
  ],
)
def test_memory_is_the_machines_or_its_control_groups(tmp_path, cgroup, limits, expected):
  assert _machine(tmp_path, cgroup, limits) == expected


def test_reserving_does_not_touch_memory():
  def resident():
    with open("/proc/self/statm") as file:
      return int(file.read().split()[1]) * 4096

  before = resident()
  replay = make(capacity=8_000_000, max_bytes=2**30)
  assert replay.bytes > 2**28
  assert resident() - before < 2**25
