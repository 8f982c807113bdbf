"""Visual foresight towards a goal's image."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.behavior.base import BehaviorModule, Memory, Situation
from dreamerax.behavior.goals.world import with_goal
from dreamerax.behavior.image_planner import ImagePlanner, ImagePlannerModule, decoded, shown_images, stacked
from dreamerax.behavior.imagination import World, wrap
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class GoalImageForesight(ImagePlanner):
  """Plans so that the predicted image comes near the goal's (Ebert et al. 2018, "goal image" cost).

  A state is worth minus the mean squared difference of all entries of its image, in [0, 1], from "goal/<name>" of that
  image, which the environment shows. Any world model that decodes images will do.
  """

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "GoalImageForesightModule":
    """Raises ValueError where images are missing or of two sizes, or differ from their goals, or a critic guides."""
    self.image_shape(spec, "the goal's image")
    return GoalImageForesightModule(self.planning.build(1, spec, dtype=dtype, rngs=rngs), shown_images(spec))


class GoalImageForesightModule(ImagePlannerModule):
  """Built from `GoalImageForesight`."""

  compares_images = True

  def __init__(self, planning: BehaviorModule, goals: tuple[str, ...]):
    """goals: names of the observations that show the goals of the images."""
    self.planning, self.goals = planning, goals

  @property
  def needs(self) -> tuple[str, ...]:
    return self.goals

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    inside = now._replace(latent=with_goal(now.latent, stacked(now.hidden, self.goals)))
    return self.planning.act(wrap(world, lambda each: comparing(each, self.goals)), inside, key, explore=explore)


def comparing(world: World, goals: tuple[str, ...]) -> World:
  """The world whose latents have the goals' images [N, H, W, C]; a state is worth minus their squared difference."""

  def value(latent: Any) -> jax.Array:
    return -jnp.square(decoded(world, latent["world"], goals) - latent["goal"]).mean((-3, -2, -1))[..., None]

  return world._replace(
    step=lambda latent, action, key: with_goal(world.step(latent["world"], action, key), latent["goal"]),
    expect=lambda latent, action: with_goal(world.expect(latent["world"], action), latent["goal"]),
    features=value,
    reward=lambda features: features[..., 0],
  )
