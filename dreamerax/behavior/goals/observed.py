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


def goal_features(world: World, hidden: ArrayDict, key: jax.Array) -> jax.Array:
  """Features [..., F] of the goal that `hidden` {"goal/<name>": [..., *shape]} shows, seen alone."""
  encode_key, glance_key = jax.random.split(key)
  shown = {name.removeprefix(GOAL): array for name, array in hidden.items() if name.startswith(GOAL)}
  return world.glance(world.encode(shown, encode_key), glance_key)
