"""Tells how much memory this process may use."""

from pathlib import Path


def machine_memory(root: Path = Path("/")) -> int:
  """Bytes of memory this process may use: the machine's, or its control group's limit (v1 or v2) where that is less."""
  lines = (root / "proc/meminfo").read_text().splitlines()
  total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
  return min([total, *_group_limits(root)])


def _group_limits(root: Path) -> list[int]:
  """The limits of the process's control group and of every group above it; each of them binds."""
  limits = []
  memberships = root / "proc/self/cgroup"
  for line in memberships.read_text().splitlines() if memberships.exists() else []:
    _, controllers, path = line.split(":", 2)
    if controllers == "":
      mount, name = root / "sys/fs/cgroup", "memory.max"
    elif "memory" in controllers.split(","):
      mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
    else:
      continue
    group = mount / path.lstrip("/")
    for folder in [group, *group.parents]:
      if (folder / name).is_file():
        text = (folder / name).read_text().strip()
        limits += [int(text)] if text != "max" else []
      if folder == mount:
        break
  return limits
