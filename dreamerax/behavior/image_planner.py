"""What plans in predicted images have in common, whatever they are judged by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Optimizers, Replayed
from dreamerax.behavior.goals.observed import goal_names
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.nets.modules import Params
from dreamerax.nets.observations import image_keys, stacked_image_shape
from dreamerax.types import GOAL, ActionSpec, ArrayDict, EnvSpec


@dataclass(frozen=True)
class ImagePlanner(Behavior):
  """A planner in a world whose reward follows from predicted images."""

  planning: Planning = field(default_factory=lambda: Planning(BlockCEM()))

  def kept_offline(self, action: ActionSpec) -> bool:
    return self.planning.kept_offline(action)

  def image_shape(self, spec: EnvSpec, aim: str) -> tuple[int, int, int]:
    """Height, width and channels of all visible images, stacked.

    Args:
      aim: what plans are judged by, which a critic would not know.

    Raises:
      ValueError: images are missing or of two sizes, or a critic guides the planner.
    """
    if self.planning.guide is not None:
      raise ValueError(f"behavior.planning.guide: a critic does not know {aim}; leave it out")
    if not image_keys(spec.visible):
      raise ValueError(
        f"visual foresight predicts images, and the environment shows {', '.join(spec.visible)}: add an image to "
        "--observations"
      )
    return stacked_image_shape(spec.visible)


class ImagePlannerModule(BehaviorModule):
  """Built from an `ImagePlanner`; by default it learns nothing, and its memory is the planner's."""

  planning: BehaviorModule

  def initial_memory(self, num_envs: int) -> Memory:
    return self.planning.initial_memory(num_envs)

  @property
  def optimizers(self) -> Optimizers:
    return self.planning.optimizers

  @property
  def scales(self) -> Mapping[str, float]:
    return self.planning.scales

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    return BehaviorLosses({}, slow, {})


def shown_images(spec: EnvSpec) -> tuple[str, ...]:
  """Names "goal/<image>" of the goals of all visible images; ValueError where one is shown in another shape."""
  images = image_keys(spec.visible)
  return tuple(sorted(name for name in goal_names(spec) if name.removeprefix(GOAL) in images))


def stacked(observation: ArrayDict, names: Iterable[str]) -> jax.Array:
  """uint8 images {name: [..., H, W, C]} -> float32 in [0, 1], along channels."""
  return jnp.concatenate([jnp.asarray(observation[name]).astype(jnp.float32) / 255 for name in names], -1)


def decoded(world: World, latent: Latent, goals: Iterable[str]) -> jax.Array:
  """The images [N, H, W, C] in [0, 1] that the world expects in its latents, in the order of their goals' names."""
  assert world.decode is not None
  images = world.decode(latent)
  return jnp.concatenate([images[name.removeprefix(GOAL)] for name in goals], -1)
