"""Goals as an environment shows them: hidden observations `goal/<name>`, one for each visible observation."""

import jax

from dreamerax.behavior.imagination import World
from dreamerax.types import GOAL, ArrayDict, EnvSpec


def goal_names(spec: EnvSpec) -> tuple[str, ...]:
  """Names of the observations that show the goal, which a goal-conditioned behaviour `needs`.

  A goal shows all that the world model sees, as its encoder reads nothing less.

  Raises:
    ValueError: a goal differs in shape or dtype from the observation that it is a goal of.
  """
  for name, array in spec.visible.items():
    goal = spec.observation.get(GOAL + name, array)
    if goal != array:
      raise ValueError(
        f"observation {GOAL + name!r} is {goal.dtype} {list(goal.shape)}, and {name!r} is {array.dtype} "
        f"{list(array.shape)}: let the environment show a goal as it would be seen on arriving there"
      )
  return tuple(GOAL + name for name in spec.visible)


def check_examples(goals: tuple[str, ...], spec: EnvSpec, learner: str, part: str) -> None:
  """Whether the environment shows what is learned from as examples.

  Args:
    goals: names of the observations that show them.
    learner, part: who learns from them, and what kind of part could be chosen instead.

  Raises:
    ValueError: one is not shown.
  """
  missing = next((name for name in goals if name not in spec.observation), None)
  if missing is not None:
    raise ValueError(
      f"{learner} learns from examples that the observation {missing!r} shows, and the environment shows "
      f"{', '.join(spec.observation)}: choose a --task that shows its goal, as table/place does, or another {part}"
    )


def goal_features(world: World, hidden: ArrayDict, key: jax.Array) -> jax.Array:
  """Features [..., F] of the goal that `hidden` {"goal/<name>": [..., *shape]} shows, seen alone."""
  encode_key, glance_key = jax.random.split(key)
  shown = {name.removeprefix(GOAL): array for name, array in hidden.items() if name.startswith(GOAL)}
  return world.glance(world.encode(shown, encode_key), glance_key)
