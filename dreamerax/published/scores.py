"""The table of published scores, and how each method's were measured."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

from dreamerax.config import nearest
from dreamerax.envs.suites.dm_control import ALIASES, PREFIX

WINDOW = 0.15
"""Width of the window that a value is the mean of, as a share of the env steps at which it ends."""


class Score(NamedTuple):
  """One row of the table."""

  method: str
  task: str  # as the suite calls it: walker_walk; of other suites with their prefix: e2c/planar
  env_steps: int
  seeds: int | None  # None: not told
  mean: float
  std: float | None  # over seeds
  source: str


@dataclass(frozen=True)
class Method:
  """The measurement of published scores, as far as the sources tell."""

  title: str
  returns: Literal["evaluation", "training"] | None = None
  """Of which episodes; None: the source does not say."""
  actions: Literal["mode", "samples"] | None = None
  """How actions were chosen in them; the mode of PlaNet is the plan without noise, that of Dreamer the likeliest of 100
  samples, here as there."""
  action_repeat: Mapping[str, int] = field(default_factory=dict)
  """By domain; "*" is any other."""
  size: str | None = None
  """What is known of the model's size."""
  image_size: int | None = 64
  """Pixels a side; None: as many as the task has by itself."""
  offline: bool = False
  """Whether models learned from `env_steps` recorded steps alone; a run is then compared where it ends."""
  highest: Mapping[str, float] = field(default_factory=dict)
  """The highest return by task, where it is not 1000."""

  def repeat_of(self, task: str) -> int | None:
    """The action repeat on a task of the suite, where it is known."""
    repeats = [count for domain, count in self.action_repeat.items() if task.startswith(domain + "_")]
    return repeats[0] if repeats else self.action_repeat.get("*")

  def highest_of(self, task: str) -> float:
    """The highest return on a task of the suite."""
    return self.highest.get(task, 1000.0)


_PLANET_REPEATS = {"cartpole": 8, "reacher": 4, "cheetah": 4, "ball_in_cup": 4, "finger": 2, "walker": 2}
_ONE_SIZE = "the published size"
_STEPS = {"e2c/planar": 40.0, "e2c/balance": 100.0, "e2c/swingup": 100.0, "e2c/cartpole": 50.0}  # of an episode


def _of_steps_in_the_goal(title: str) -> "Method":
  """One of those that Shu et al. 2020 compare, by the number of steps in the goal."""
  return Method(title, "evaluation", "mode", {"*": 1}, _ONE_SIZE, image_size=None, offline=True, highest=_STEPS)


METHODS: Mapping[str, Method] = {
  "planet": Method("PlaNet", "evaluation", "mode", _PLANET_REPEATS, _ONE_SIZE),
  "dreamerv1": Method("Dreamer", "evaluation", "mode", {"*": 2}, _ONE_SIZE),
  "dreamerv2": Method("DreamerV2", "evaluation", "mode", {"*": 2}, _ONE_SIZE),
  "dreamerv3": Method(
    "DreamerV3",
    "training",
    "samples",
    {"*": 2},
    "not told with the scores; the published code's default for this suite has 200m parameters",
  ),
  "drqv2": Method("DrQ-v2"),
  "curl": Method("CURL"),
  "sac_pixels": Method("SAC from pixels"),
  "ppo_pixels": Method("PPO from pixels"),
  "slac": Method("SLAC"),
  "d4pg_pixels": Method("D4PG from pixels"),
  "a3c_proprio": Method("A3C from states, not pixels"),
  "pc3": _of_steps_in_the_goal("PC3"),
  "pcc": _of_steps_in_the_goal("PCC"),
  "solar": _of_steps_in_the_goal("SOLAR"),
}


@cache
def scores() -> tuple[Score, ...]:
  """Every row of the table, sorted by method, task and env steps."""
  text = (resources.files("dreamerax.published") / "scores.csv").read_text()
  return tuple(
    Score(
      row["method"],
      row["task"],
      int(row["env_steps"]),
      int(row["seeds"]) if row["seeds"] else None,
      float(row["mean"]),
      float(row["std"]) if row["std"] else None,
      row["source"],
    )
    for row in csv.DictReader(text.splitlines())
  )


def curve(method: str, task: str) -> list[Score]:
  """A method's scores on a task, over env steps; empty where it has none.

  Args:
    task: any spelling that `task_of` knows.

  Raises:
    ValueError: no method is called so; names the nearest.
  """
  if method not in METHODS:
    raise ValueError(f"method={method!r} is not one of {', '.join(METHODS)}{nearest(method, METHODS)}")
  name = task_of(task)
  return [score for score in scores() if score.method == method and score.task == name]


def task_of(name: str) -> str:
  """The suite's name of a task, however it is spelt: dmc/walker_walk, dmc_walker_walk, walker_walk; dmc_cup_catch."""
  bare = name.removeprefix(PREFIX).removeprefix("dmc_")
  return ALIASES.get(bare, bare)
