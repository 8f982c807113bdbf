"""`dreamerax check-env`: what an environment shows and takes, and what is wrong with it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from dreamerax import envs
from dreamerax.commands.findings import Finding, show
from dreamerax.envs import rendering
from dreamerax.envs.check import Examination, Met
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec


@dataclass(frozen=True)
class Arguments:
  """Steps an environment with random actions and says all that is wrong, and how to mend it. The exit status is 2 where
  something keeps it from being trained on."""

  task: str
  """package.module:factory, or any other task of `dreamerax train`."""
  steps: int = 200
  """Agent steps to take; enough for an episode to end shows how it ends."""
  seed: int = 0
  """Of the environment and of the actions."""

  def __post_init__(self):
    if self.steps < 1:
      raise ValueError(f"steps={self.steps} must be at least 1")


def run(arguments: Arguments) -> int:
  """Prints what was found; returns the exit status.

  Raises:
    ValueError: the task does not exist or cannot be made.
  """
  return 2 if show(examine(arguments)) else 0


def examine(arguments: Arguments) -> Iterator[Finding]:
  """What the environment is, and then each violation."""
  config = envs.EnvConfig(arguments.task)
  if rendering.is_free():
    with contextlib.suppress(ValueError):  # what is wrong is found below; this lets MuJoCo draw
      envs.look_at(config)
  factory = partial(envs.make, config, checked=False)
  env = factory(arguments.seed)
  try:
    examination = Examination(env, factory=factory, steps=arguments.steps, seed=arguments.seed)
    violations = list(examination.violations())
    yield Finding("task", arguments.task)
    if isinstance(env.spec, EnvSpec):
      yield from (Finding(f"shows {key}", _describe(array)) for key, array in env.spec.observation.items())
      yield Finding("takes", _describe_action(env.spec.action))
    if examination.met is not None:
      yield from _describe_met(examination.met)
    for violation in violations:
      yield Finding(
        "wrong" if violation.fatal else "not repeatable", violation.problem, f"{violation}", violation.fatal
      )
  finally:
    env.close()


def _describe(array: ArraySpec) -> str:
  sizes = " × ".join(map(str, array.shape))
  return f"image, {sizes}" if array.is_image else f"{array.dtype} vector of {sizes}"


def _describe_action(action: ActionSpec) -> str:
  return f"one of {action.size} choices" if action.discrete else f"{action.size} numbers in [-1, 1]"


def _describe_met(met: Met) -> Iterator[Finding]:
  if met.lengths:
    ends = f"{met.terminal} by is_terminal, {len(met.lengths) - met.terminal} by a time limit"
    lengths = f"{min(met.lengths)} to {max(met.lengths)} agent steps long"
    yield Finding("episodes", f"{len(met.lengths)} ended, {lengths}; {ends}")
  else:
    yield Finding(
      "episodes",
      f"none ended in {met.steps} steps of random actions; --steps takes more",
      "an episode that never ends is never evaluated to its end (--eval-max-steps cuts it): give it a time limit, such as "
      "gymnasium.wrappers.TimeLimit",
    )
  yield Finding("rewards", f"from {met.rewards[0]:g} to {met.rewards[1]:g} a step")
  yield Finding("speed", f"{met.steps / max(met.seconds, 1e-9):,.0f} agent steps/s in one process")
