"""Dependencies point one way only: read from the import statements of every file in the package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dreamerax"

# The ground floor: these import nothing of ours, or the types, and any file may import them.
GROUND = frozenset(
  {
    "types",
    "checks",
    "images",
    "words",
    "captions",
    "comparison_video",
    "files",
    "memory_limit",
    "process_memory",
    "die_with_parent",
    "leftover_threads",
    "own_code",
    "ray_connection",
  }
)
# Layer -> layers that it may import besides itself. Mathematics and systems do not know each other; presets join them.
MATHEMATICS = ("ops", "nets", "dynamics", "world_model", "behavior", "agent")
SYSTEMS = ("loggers", "envs", "jitted", "replay", "recordings", "runtime")
JOINED = (
  "parts",
  "provenance",
  "config",
  "config_format",
  "run_config",
  "presets",
  "transfer",
  "config_file",
  "run_directory",
  "run_list",
  "training",
  "api",
  "offline",
  "sweeps",
  "published",
  "analysis",
  "viewer",
  "commands",
  "cli",
  "__main__",
)
BELOW_PRESETS = {*GROUND, *MATHEMATICS, *SYSTEMS, "deploy"}
ALLOWED: dict[str, set[str]] = {
  **{layer: {"types", "captions", "images"} for layer in GROUND},
  **{layer: GROUND | set(MATHEMATICS[:i]) for i, layer in enumerate(MATHEMATICS)},
  "envs": {*GROUND},
  "jitted": {*GROUND, "envs"},  # array programs of jax: above envs, which names them and imports nothing of them
  "replay": {*GROUND},
  "loggers": {*GROUND},
  "recordings": {*GROUND, "envs"},
  "runtime": {*GROUND, "loggers", "envs", "replay"},
  "deploy": {*GROUND, *MATHEMATICS},  # an agent that acts in somebody's program, without the systems that trained it
  **{layer: BELOW_PRESETS | set(JOINED[:i]) for i, layer in enumerate(JOINED)},
  "published": {*GROUND, "envs", "config"},  # a table
}

JAX = {"jax", "flax", "optax", "chex", "distrax", "orbax", "tensorflow_probability"}


def source_files() -> list[Path]:
  """Every Python file of the package but its own __init__.py, which belongs to no layer."""
  return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def module_of(path: Path) -> list[str]:
  """dreamerax/envs/base.py -> ["dreamerax", "envs", "base"]; a package's __init__.py counts as the package."""
  parts = ["dreamerax", *path.relative_to(PACKAGE).with_suffix("").parts]
  return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> set[str]:
  """Full names of what a file imports, at its top or within functions: {"jax.numpy", "dreamerax.types.Batch"}."""
  module = module_of(path)
  package = module if path.name == "__init__.py" else module[:-1]
  names: set[str] = set()
  for node in ast.walk(ast.parse(path.read_text(), str(path))):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      base = package[: len(package) - node.level + 1] if node.level else []
      base = [*base, *([node.module] if node.module else [])]
      names |= {".".join([*base, alias.name]) for alias in node.names}
  return names


def layers_imported(path: Path) -> set[str]:
  parts = (name.split(".") for name in imports(path))
  return {part[1] for part in parts if part[0] == "dreamerax" and len(part) > 1} - {"__version__"}


def importers_of(package: str) -> set[str]:
  """Files that import a third-party package, as paths within dreamerax/."""
  return {
    path.relative_to(PACKAGE).as_posix()
    for path in source_files()
    if any(name.split(".")[0] == package for name in imports(path))
  }


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_from_the_layers_below_it(path: Path):
  layer = module_of(path)[1]
  assert layer in ALLOWED, f"{path}: no layer is called {layer!r}; say in {__file__} what it may import"
  upward = layers_imported(path) - ALLOWED[layer] - {layer}
  assert not upward, f"{path}: {layer} may import {sorted(ALLOWED[layer])}, and imports {sorted(upward)}"


def test_envs_replay_and_recordings_are_numpy_only():
  for path in source_files():
    if module_of(path)[1] in {"envs", "replay", "recordings"}:
      found = {name for name in imports(path) if name.split(".")[0] in JAX}
      assert not found, f"{path} imports {sorted(found)}, and an environment's process must start without jax"


def test_an_environment_process_starts_without_jax():
  program = "import sys, dreamerax.envs, dreamerax.replay; sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, check=False).returncode == 0


def test_an_attempt_of_a_sweep_starts_without_jax():
  program = "import sys, dreamerax.sweeps.on_ray, dreamerax.die_with_parent; sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, check=False).returncode == 0


def test_the_loader_of_exported_policies_stands_alone():
  foreign = {name.split(".")[0] for name in imports(PACKAGE / "deploy" / "policy.py")} - set(sys.stdlib_module_names)
  assert foreign == {"jax", "numpy"}


def test_one_file_knows_each_replaceable_library():
  assert importers_of("distrax") <= {"ops/distributions.py"}
  assert importers_of("tensorflow_probability") <= {"ops/distributions.py"}
  assert importers_of("ray") <= {"ray_connection.py"}
  assert importers_of("tyro") <= {"commands/options.py", "run_config.py"}  # which only marks how a group is shown


def test_relative_and_nested_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
  (tmp_path / "envs").mkdir()
  path = tmp_path / "envs" / "base.py"
  path.write_text(
    "from ..agent import Agent\nfrom . import vector\ndef f():\n  from dreamerax import runtime\n  import jax.numpy\n"
  )
  assert imports(path) == {"dreamerax.agent.Agent", "dreamerax.envs.vector", "dreamerax.runtime", "jax.numpy"}
  assert layers_imported(path) == {"agent", "envs", "runtime"}
