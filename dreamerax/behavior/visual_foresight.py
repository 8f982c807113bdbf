"""Visual foresight: plans in predicted images so that a marked pixel comes to its goal."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.behavior.base import BehaviorModule, Memory, Situation
from dreamerax.behavior.image_planner import ImagePlanner, ImagePlannerModule
from dreamerax.behavior.imagination import Latent, World, wrap
from dreamerax.types import PIXELS, EnvSpec

_LOST = 1e-6  # what is left of a map that has left the image


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
    height, width, _ = self.image_shape(spec, "the pixel's goal")
    return VisualForesightModule(self.planning.build(1, spec, dtype=dtype, rngs=rngs), (height, width))


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
    inside = self._inside(world, now)
    action, planning = self.planning.act(wrap(world, following), inside, key, explore=explore)
    return action, _remembered(now, inside, planning)

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    inside = self._inside(world, now)
    return _remembered(now, inside, self.planning.follow(wrap(world, following), inside, action, key))

  def _inside(self, world: World, now: Situation) -> Situation:
    """The planner's situation: the latent has the map, moved or marked, and the goal."""
    before, pixels = now.memory, now.hidden[PIXELS]
    first = before["age"] == 0
    marked = one_hot(pixels[:, :2], self.size)
    where = jnp.where(first[:, None, None, None], marked, moved(world, now.latent, before["map"]))
    goal = jnp.where(first[:, None], pixels[:, 2:], before["goal"])
    return now._replace(latent={"world": now.latent, "map": where, "goal": goal}, memory=before["planning"])


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


def _remembered(now: Situation, inside: Situation, planning: Memory) -> Memory:
  """The memory of `VisualForesightModule` for the next decision."""
  where = {name: inside.latent[name] for name in ("map", "goal")}
  return {"planning": planning, **where, "age": now.memory["age"] + 1}
