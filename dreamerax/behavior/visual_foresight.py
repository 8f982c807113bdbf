"""Visual foresight: plans in predicted images, where a marked pixel should go or what should be seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Optimizers, Replayed, Situation
from dreamerax.behavior.goals.observed import goal_names
from dreamerax.behavior.goals.world import with_goal
from dreamerax.behavior.imagination import Latent, World, wrap
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.nets.modules import Params
from dreamerax.nets.observations import image_keys, stacked_image_shape
from dreamerax.types import GOAL, PIXELS, ActionSpec, ArrayDict, EnvSpec

_LOST = 1e-6  # what is left of a map that has left the image


@dataclass(frozen=True)
class ImagePlanner(Behavior):
  """A planner in a world whose reward follows from predicted images."""

  planning: Planning = field(default_factory=lambda: Planning(BlockCEM()))

  def kept_offline(self, action: ActionSpec) -> bool:
    return self.planning.kept_offline(action)


@dataclass(frozen=True)
class VisualForesight(ImagePlanner):
  """Plans so that a designated pixel comes near its goal, as a world model that moves pixels expects it (Finn and Levine
  2017).

  The observation "goal/pixels" marks a pixel and its goal when an episode begins. A map of where the pixel is moves as the
  image does, and a state is worth minus the expected distance of that map to the goal, in shares of the image's side. The
  map is never marked anew: after a decision, it is the one that was predicted for the action. Environments that mark a
  pixel outside the image are refused when an episode begins.
  """

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "VisualForesightModule":
    """Raises ValueError where images are missing or of two sizes, a critic guides the planner, or it cannot plan."""
    height, width, _ = _images(spec)
    _refuse_critic(self.planning, "the pixel's goal")
    return VisualForesightModule(self.planning.build(1, spec, dtype=dtype, rngs=rngs), (height, width))


@dataclass(frozen=True)
class GoalImageForesight(ImagePlanner):
  """Plans so that the predicted image comes near the goal's (Ebert et al. 2018, "goal image" cost).

  A state is worth minus the mean squared difference of all entries of its image, in [0, 1], from "goal/<name>" of that
  image, which the environment shows. Any world model that decodes images will do.
  """

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "GoalImageForesightModule":
    """Raises ValueError where images are missing or of two sizes, or differ from their goals, or a critic guides."""
    _images(spec)
    _refuse_critic(self.planning, "the goal's image")
    goals = tuple(name for name in goal_names(spec) if name.removeprefix(GOAL) in image_keys(spec.visible))
    return GoalImageForesightModule(self.planning.build(1, spec, dtype=dtype, rngs=rngs), goals)


class ImagePlannerModule(BehaviorModule):
  """What the modules of an `ImagePlanner` have in common; it learns nothing."""

  planning: BehaviorModule

  @property
  def optimizers(self) -> Optimizers:
    return self.planning.optimizers

  @property
  def scales(self) -> Mapping[str, float]:
    return self.planning.scales

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    return BehaviorLosses({}, slow, {})


class VisualForesightModule(ImagePlannerModule):
  """Built from `VisualForesight`; its memory is the pixel's map and its goal."""

  follows_pixels = True

  def __init__(self, planning: BehaviorModule, size: tuple[int, int]):
    self.planning, self.size = planning, size

  @property
  def needs(self) -> tuple[str, ...]:
    return (PIXELS,)

  def initial_memory(self, num_envs: int) -> Memory:
    age = jnp.zeros(num_envs, jnp.int32)
    where = jnp.zeros((num_envs, *self.size, 1))
    return {
      "planning": self.planning.initial_memory(num_envs),
      "map": where,
      "goal": jnp.zeros((num_envs, 2)),
      "age": age,
    }

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    before, pixels = now.memory, now.hidden[PIXELS]
    first = before["age"] == 0
    marked = one_hot(pixels[:, :2], self.size)
    where = jnp.where(first[:, None, None, None], marked, moved(world, now.latent, before["map"]))
    goal = jnp.where(first[:, None], pixels[:, 2:], before["goal"])
    inside = now._replace(latent={"world": now.latent, "map": where, "goal": goal}, memory=before["planning"])
    action, planning = self.planning.act(wrap(world, following), inside, key, explore=explore)
    return action, {"planning": planning, "map": where, "goal": goal, "age": before["age"] + 1}


class GoalImageForesightModule(ImagePlannerModule):
  """Built from `GoalImageForesight`; its memory is the planner's."""

  compares_images = True

  def __init__(self, planning: BehaviorModule, goals: tuple[str, ...]):
    """goals: names of the observations that show the goals of the images."""
    self.planning, self.goals = planning, goals

  @property
  def needs(self) -> tuple[str, ...]:
    return self.goals

  def initial_memory(self, num_envs: int) -> Memory:
    return self.planning.initial_memory(num_envs)

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    goal = jnp.concatenate([now.hidden[name].astype(jnp.float32) / 255 for name in self.goals], -1)
    inside = now._replace(latent=with_goal(now.latent, goal))
    seen = tuple(name.removeprefix(GOAL) for name in self.goals)
    return self.planning.act(wrap(world, lambda each: comparing(each, seen)), inside, key, explore=explore)


def comparing(world: World, images: tuple[str, ...]) -> World:
  """The world whose latents have a goal's images [N, H, W, C]; a state is worth minus their squared difference."""
  assert world.decode is not None
  decode = world.decode

  def seen(decoded: ArrayDict) -> jax.Array:
    return jnp.concatenate([decoded[name] for name in images], -1)

  def value(latent: Any) -> jax.Array:
    return -jnp.square(seen(decode(latent["world"])) - latent["goal"]).mean((-3, -2, -1))[..., None]

  return world._replace(
    step=lambda latent, action, key: with_goal(world.step(latent["world"], action, key), latent["goal"]),
    expect=lambda latent, action: with_goal(world.expect(latent["world"], action), latent["goal"]),
    features=value,
    reward=lambda features: features[..., 0],
  )


def following(world: World) -> World:
  """The world whose latents have a pixel's map [N, H, W, 1] and its goal [N, 2]; a state is worth minus their distance."""

  def onward(latent: Any, after: Latent) -> Any:
    return {"world": after, "map": moved(world, after, latent["map"]), "goal": latent["goal"]}

  return world._replace(
    step=lambda latent, action, key: onward(latent, world.step(latent["world"], action, key)),
    expect=lambda latent, action: onward(latent, world.expect(latent["world"], action)),
    features=lambda latent: -expected_distance(latent["map"], latent["goal"])[..., None],
    reward=lambda features: features[..., 0],
  )


def one_hot(place: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Places [N, 2], row and column as shares of the sides -> maps [N, H, W, 1] with a 1 at the pixel there."""
  rows, columns = (
    jax.nn.one_hot(jnp.floor(place[:, axis] * side).astype(jnp.int32), side) for axis, side in enumerate(size)
  )
  return (rows[:, :, None] * columns[:, None, :])[..., None]


def moved(world: World, latent: Latent, where: jax.Array) -> jax.Array:
  """Maps [N, H, W, 1] moved as the pixels were on the step into `latent`; they sum to 1 again, as what leaves the image or is
  painted over would else be forgotten by plans that lose the pixel. A map of which nothing is left stays as it was."""
  assert world.move is not None
  after = world.move(latent, where)
  total = after.sum((1, 2, 3), keepdims=True)
  return jnp.where(total > _LOST, after / jnp.maximum(total, _LOST), where)


def expected_distance(where: jax.Array, goal: jax.Array) -> jax.Array:
  """Maps [..., H, W, 1] that sum to 1, goals [..., 2] in shares of the sides -> [...]: the mean distance to the goal."""
  height, width = where.shape[-3:-1]
  rows, columns = (jnp.arange(side) + 0.5 for side in (height, width))
  apart_rows = rows / height - goal[..., :1]  # [..., H]
  apart_columns = columns / width - goal[..., 1:]
  distance = jnp.sqrt(jnp.square(apart_rows)[..., :, None] + jnp.square(apart_columns)[..., None, :])
  return (where[..., 0] * distance).sum((-2, -1))


def _images(spec: EnvSpec) -> tuple[int, int, int]:
  """Height, width and channels of all images, stacked."""
  if not image_keys(spec.visible):
    raise ValueError(
      f"visual foresight predicts images, and the environment shows {', '.join(spec.visible)}: add an image to --observations"
    )
  return stacked_image_shape(spec.visible)


def _refuse_critic(planning: Planning, goal: str) -> None:
  if planning.guide is not None:
    raise ValueError(f"behavior.planning.guide: a critic does not know {goal}; leave it out")
