"""`dreamerax check-env`: what an environment shows and takes, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass

from dreamerax import checks, envs, presets
from dreamerax.agent import Agent
from dreamerax.commands.checks import Check, show
from dreamerax.commands.train import DEFAULT_PRESET
from dreamerax.envs.check import Met
from dreamerax.presets import PRESETS
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, is_hidden


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

  image_size: int | None = None
  """As `dreamerax train` has it: the side that images are resized to."""
  grey: bool = False
  """Whether images have one channel."""
  channels_first: bool = False
  """Whether the environment's images are [channels, height, width]."""
  float_images: bool = False
  """Whether arrays of floats of rank 3 or 2 are images."""

  def __post_init__(self):
    checks.at_least(1, self, "steps")


def run(arguments: Arguments) -> int:
  """Prints what was found; returns the exit status.

  Raises:
    ValueError: the task does not exist or cannot be made.
  """
  return 2 if show(examine(arguments)) else 0


def examine(arguments: Arguments) -> Iterator[Check]:
  """Says what the environment is, and then each violation."""
  config = envs.EnvConfig(
    arguments.task,
    image_size=arguments.image_size,
    grey=arguments.grey,
    channels_first=arguments.channels_first,
    float_images=arguments.float_images,
  )
  report = envs.examine(config, steps=arguments.steps, seed=arguments.seed)
  yield Check("task", arguments.task)
  if report.spec is not None:
    for key, array in report.spec.observation.items():
      aside = ", hidden from the world model" if is_hidden(key) else ""
      yield Check(f"shows {key}", f"{_describe(array)}{aside}")
    yield Check("takes", _describe_action(report.spec.action))
  yield from (Check("looks like an image", each.problem, str(each)) for each in report.suspicions)
  if report.met is not None:
    yield from _describe_met(report.met)
  for violation in report.violations:
    yield Check("wrong" if violation.fatal else "not repeatable", violation.problem, f"{violation}", violation.fatal)
  if report.spec is not None and not any(violation.fatal for violation in report.violations):
    yield fitting_presets(report.spec)


def fitting_presets(spec: EnvSpec) -> Check:
  """Finds the presets that can be trained on it, by what their own parts say, and says
  why the default one can't."""
  refused: dict[str, list[str]] = {}
  for name in PRESETS:
    try:
      Agent(presets.build(name).agent, spec)
    except ValueError as error:
      refused.setdefault(str(error), []).append(name)
  fit = [name for name in PRESETS if not any(name in names for names in refused.values())]
  why = "; ".join(f"{', '.join(names)}: {problem}" for problem, names in refused.items())
  shown = f"{', '.join(fit)} can be trained on it" if fit else "none can be trained on it"
  return Check("presets", shown, "" if DEFAULT_PRESET in fit else why, fatal=not fit)


def _describe(array: ArraySpec) -> str:
  sizes = " × ".join(map(str, array.shape))
  return f"image, {sizes}" if array.is_image else f"{array.dtype} vector of {sizes}"


def _describe_action(action: ActionSpec) -> str:
  if not action.discrete:
    return f"{action.size} numbers in [-1, 1]"
  groups = action.groups
  if len(groups) == 1:
    return f"one of {action.size} choices"
  each = f"{groups[0]} each" if len(set(groups)) == 1 else ", ".join(map(str, groups))
  return f"{len(groups)} choices at once, of {each}"


def _describe_met(met: Met) -> Iterator[Check]:
  if met.lengths:
    ends = f"{met.terminal} by is_terminal, {len(met.lengths) - met.terminal} by a time limit"
    lengths = f"{min(met.lengths)} to {max(met.lengths)} agent steps long"
    yield Check("episodes", f"{len(met.lengths)} ended, {lengths}; {ends}")
  else:
    yield Check(
      "episodes",
      f"none ended in {met.steps} steps of random actions; --steps takes more",
      "an episode that never ends is never evaluated to its end (--eval-max-steps cuts it): give it a time limit, such as "
      "gymnasium.wrappers.TimeLimit",
    )
  yield Check("rewards", f"from {met.rewards[0]:g} to {met.rewards[1]:g} a step")
  yield Check("speed", f"{met.steps / max(met.seconds, 1e-9):,.0f} agent steps/s in one process")
