"""Code that a file names by import path runs only where the person has named it."""

import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import dreamerax
from dreamerax import api, config_file, envs, presets
from dreamerax.cli import main
from dreamerax.config import from_dict, to_dict
from dreamerax.envs import EnvConfig, WorkerConfig
from dreamerax.own_code import EVERYTHING, NotTrusted, Stored, Trust, account, find
from dreamerax.recordings import EpisodeFolder
from dreamerax.run_config import RunConfig
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

SPEC = EnvSpec({"image": ArraySpec((64, 64, 3), "uint8")}, ActionSpec(1))
MODULE = """
from pathlib import Path

(Path(__file__).parent / "ran").touch()

def make(seed):
  raise AssertionError
"""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
  """A run directory from elsewhere, whose module could be imported."""
  (tmp_path / "evil.py").write_text(MODULE)
  monkeypatch.syspath_prepend(tmp_path)
  config = presets.build("quick")
  run = tmp_path / "run"
  config_file.write(replace(config, env=EnvConfig("evil:make")), SPEC, run, "quick", stored={})
  yield run
  sys.modules.pop("evil", None)


def ran(run: Path) -> bool:
  return (run.parent / "ran").exists()


def stored(task: str, trust: Trust) -> EnvConfig:
  return from_dict(EnvConfig, to_dict(EnvConfig(task)), trust=trust)


@pytest.mark.parametrize(
  ("names", "path", "allowed"),
  [
    (["evil"], "evil:make", True),
    (["evil:make"], "evil:make", True),
    (["evil:other"], "evil:make", False),
    (["pack"], "pack.part:make", True),
    (["pack.part"], "pack.part:make", True),
    (["pack.par"], "pack.part:make", False),
    (["pack.part.more"], "pack.part:make", False),
    (["ale_py"], "gym/ale_py:ALE/Pong-v5", True),
    (["gym"], "gym/ale_py:ALE/Pong-v5", False),
    (["evil"], "vector:evil:make", True),
    (["evil:make"], "jit:evil:make", True),
    (["vector"], "vector:evil:make", False),
    (["pack"], "jit:pack.part:make", True),
    ([], "evil:make", False),
  ],
)
def test_a_name_stands_for_itself_and_what_is_in_it(names: list[str], path: str, allowed: bool):
  assert Trust.of(names).allows(path) == allowed
  assert EVERYTHING.allows(path)
  assert Trust.of(True).allows(path) and not Trust.of(False).allows(path)


@pytest.mark.parametrize("task", ["evil:make", "gym/evil:Id-v0", "vector:evil:make", "jit:evil:make"])
def test_a_stored_task_that_imports_code_is_not_made(evil: Path, task: str):
  config = stored(task, Trust())
  for attempt in (
    lambda: envs.make(config, seed=0),
    lambda: envs.make(replace(config, action_repeat=2), seed=0),
    lambda: envs.make_batch(config, 2, 0, WorkerConfig(count=1), spec=SPEC),
    lambda: envs.check_task(config.task),
  ):
    with pytest.raises(NotTrusted, match=r"--trust evil"):
      attempt()
  assert not ran(evil)


def test_a_stored_task_that_is_named_is_made(evil: Path):
  with pytest.raises(ValueError, match="the factory raised AssertionError"):
    envs.make(stored("evil:make", Trust.of("evil")), seed=0)
  assert ran(evil)


def test_what_imports_nothing_needs_no_trust():
  assert not isinstance(stored("gym/CartPole-v1", Trust()).task, Stored)


@pytest.mark.parametrize(
  ("command", "runs"),
  [
    ("eval RUN", False),
    ("eval RUN --trust other", False),
    ("train --logdir RUN", False),
    ("train quick --logdir RUN --env-steps 200000", False),
    ("train --config RUN", False),
    ("train --config RUN/config.json --num-envs 2", False),
    ("record --policy RUN", False),
    ("train --logdir RUN --trust evil.make", False),
    ("eval RUN --trust", True),
    ("eval RUN --trust evil", True),
    ("train --logdir RUN --task evil:make", True),
    ("train --config RUN --trust evil", True),
  ],
)
def test_the_code_of_a_config_runs_where_the_command_line_names_it(
  evil: Path, command: str, runs: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
  monkeypatch.chdir(evil.parent)
  assert main(command.replace("RUN", str(evil)).split()) == 2
  said = capsys.readouterr().err
  assert said.count("\n") == 1 and ("the factory raised AssertionError" if runs else "--trust evil") in said
  assert ran(evil) == runs


def test_the_task_of_a_recording_is_marked(tmp_path: Path):
  from dreamerax.offline.train import world_model_only

  folder = EpisodeFolder.create(tmp_path / "episodes", SPEC, {"env": to_dict(EnvConfig("evil:make"))})
  assert isinstance(world_model_only(presets.build("quick"), folder).env.task, Stored)


def test_a_mark_survives_what_configurations_go_through(evil: Path):
  config = api.load_config(evil)
  assert isinstance(replace(config, env=replace(config.env, image_size=32)).env.task, Stored)
  assert isinstance(from_dict(RunConfig, to_dict(config)).env.task, Stored)
  assert config.env.task == "evil:make" and json.dumps(config.env.task) == '"evil:make"'


def test_every_part_is_read_in_a_process_that_has_imported_none_of_them():
  """Each class below the annotated one, in the place of any field of a run."""
  program = textwrap.dedent("""
    import dataclasses, json, sys, typing
    from dreamerax import run_directory
    from dreamerax.config import from_dict
    from dreamerax import parts
    parts.import_all()
    for module, name, base in json.load(sys.stdin):
      base_module, _, base_name = base.rpartition(".")
      cls = getattr(sys.modules[base_module], base_name)
      from_dict(cls, {"part": name}, complete=False)
  """)
  for each in pkgutil.walk_packages(dreamerax.__path__, "dreamerax."):
    if not each.name.endswith("__main__"):
      try:
        importlib.import_module(each.name)
      except ModuleNotFoundError as error:
        assert error.name in {"mujoco_warp", "warp"}, each.name  # of the extra "batched"
  seen, pending, wanted = set(), [RunConfig], []
  while pending:
    cls = pending.pop()
    if cls in seen:
      continue
    seen.add(cls)
    hints = typing.get_type_hints(cls)
    for field in fields(cls):
      for hint in (hints[field.name], *typing.get_args(hints[field.name])):
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
          for part in (hint, *_below(hint)):
            if part.__module__.startswith("dreamerax."):
              if "commands" in part.__module__:  # arguments of commands, which no run has
                continue
              pending.append(part)
              required = [f for f in fields(part) if f.default is f.default_factory is dataclasses.MISSING]
              if part is not hint and not required and not inspect.isabstract(part):
                wanted.append([part.__module__, part.__name__, f"{hint.__module__}.{hint.__qualname__}"])
  names = {name for _, name, _ in wanted}
  assert {"Uniform", "GradientPlanner", "MPPI", "Shooting", "SSM", "ActorCriticV2", "Adam"} <= names
  done = subprocess.run(
    [sys.executable, "-c", program], input=json.dumps(wanted), text=True, capture_output=True, check=False
  )
  assert done.returncode == 0, done.stderr


def _below(cls: type) -> list[type]:
  children = cls.__subclasses__()
  return [*children, *(each for child in children for each in _below(child))]


PARTS = """
from dataclasses import dataclass, replace

from dreamerax import presets
from dreamerax.behavior.planners.shooting import Shooting
from dreamerax.behavior.planning import Planning


@dataclass(frozen=True)
class Mine(Shooting):
  pass


def preset(size="small"):
  run = presets.build("planet", size)
  return replace(run, agent=replace(run.agent, behavior=Planning(Mine(horizon=3))))


whole = preset()


def broken():
  return 1 / 0


def needs(size):
  return preset(size)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
  (tmp_path / "mine_parts.py").write_text(PARTS)
  monkeypatch.syspath_prepend(tmp_path)
  yield "mine_parts"
  sys.modules.pop("mine_parts", None)


def test_a_part_of_ones_own_is_stored_by_its_path_and_read_where_it_is_named(mine: str, tmp_path: Path):
  config = presets.build(f"{mine}:preset", "small")
  data = to_dict(config)
  assert data["agent"]["behavior"]["planner"]["part"] == "mine_parts:Mine"
  config_file.write(config, SPEC, tmp_path / "run", f"{mine}:preset", stored={})
  program = (
    "import sys; from dreamerax.run_directory import RunDirectory\n"
    "print(RunDirectory.open(sys.argv[1], sys.argv[2]).config.agent.behavior)"
  )
  for name, status in ((mine, 0), ("other", 1)):
    command = [sys.executable, "-c", program, str(tmp_path / "run"), name]
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}", "PATH": "/usr/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == status and ("Mine(" in done.stdout or "--trust mine_parts" in done.stderr), done.stderr


def test_all_code_of_a_config_is_named_at_once_and_curves_need_none_of_it(mine: str, tmp_path: Path):
  config = replace(presets.build(f"{mine}:preset"), env=EnvConfig("my_env:make"))
  run = tmp_path / "run"
  config_file.write(config, SPEC, run, f"{mine}:preset", stored={})
  rows = [{"env_steps": 100 * i, "seconds": i, "eval/return": float(i)} for i in (1, 2)]
  (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  cases = (
    (["eval", "run"], 2, "--trust mine_parts my_env"),
    (["eval", "run", "--trust", "my_env"], 2, "--trust mine_parts if"),
    (["doctor", "run"], 0, "--trust mine_parts my_env"),
    (["plot", "run"], 0, "curves.png"),
    (["plot", "run", "--out", "report.html"], 0, "report.html"),
  )
  program = (
    "import json, sys; from dreamerax.cli import main\n"
    "sys.stderr = sys.stdout\n"
    "for arguments in json.loads(sys.argv[1]):\n"
    "  print(f'status {main(arguments)}', end='\\0')"
  )
  command = [sys.executable, "-P", "-c", program, json.dumps([arguments for arguments, _, _ in cases])]
  environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
  done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
  for (_, status, said), printed in zip(cases, done.stdout.split("\0")[:-1], strict=True):
    assert printed.endswith(f"status {status}") and said in " ".join(printed.split()), printed
  assert done.stderr == ""


def test_presets_of_ones_own(mine: str):
  assert presets.build(f"{mine}:whole") == presets.build(f"{mine}:preset") == presets.build(f"{mine}:needs", "small")
  for name, size, message in (
    ("broken", None, r"broken' raised ZeroDivisionError: .*mine_parts.py, line \d+"),
    ("needs", None, "takes a size: give --size"),
    ("whole", "published", "has the size 'small'"),
    ("Mine", None, "is Mine: name a RunConfig"),
    ("nothing", None, "has no function 'nothing'"),
  ):
    with pytest.raises(ValueError, match=message):
      presets.build(f"{mine}:{name}", size)


def test_a_class_that_is_no_such_part_is_refused(mine: str):
  data = to_dict(presets.build("planet", "small"))
  data["agent"]["behavior"]["planner"]["part"] = "subprocess:Popen"
  with pytest.raises(ValueError, match=r"planner: 'subprocess:Popen' is no Planner"):
    from_dict(RunConfig, data, trust=EVERYTHING)
  with pytest.raises(NotTrusted, match="--trust subprocess"):
    from_dict(RunConfig, data)


def test_an_account_names_the_persons_own_line():
  def fault() -> None:
    np.zeros(2).reshape(3)

  with pytest.raises(ValueError) as raised:
    fault()
  assert account(raised.value).startswith("ValueError: cannot reshape") and "test_own_code.py, line" in account(
    raised.value
  )


@pytest.mark.parametrize("path", ["nowhere_to_be_found:x", ".x:y", "math:nothing", "math:", ":x"])
def test_paths_to_nothing_are_one_line(path: str):
  with pytest.raises(ValueError, match=r"^task="):
    find(path, "task")


HERE = """
import gymnasium

class Here(gymnasium.Env):
  observation_space = gymnasium.spaces.Box(-1, 1, (2,))
  action_space = gymnasium.spaces.Discrete(2)

gymnasium.register("Here-v0", Here)
"""


@pytest.mark.parametrize("task", ["gym/module_here:Here-v0", "module_here:Here"])
def test_a_module_in_the_current_directory_is_found(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  (tmp_path / "module_here.py").write_text(HERE)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
  try:
    assert envs.make(EnvConfig(task), seed=0).spec.action.size == 2
    with pytest.raises(NotTrusted, match="--trust module_here"):
      envs.make(stored(task, Trust()), seed=0)
  finally:
    sys.modules.pop("module_here", None)
    gymnasium.registry.pop("Here-v0", None)
