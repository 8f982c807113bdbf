"""Informed exploration (Oh et al. 2015): goes where the predicted image is least like those of the last steps."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Replayed, Situation
from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.modules import Params
from dreamerax.nets.observations import image_keys, stacked_image_shape
from dreamerax.types import ActionSpec, ArrayDict, EnvSpec


@dataclass(frozen=True)
class Informed(Behavior):
  """Predicts the image after each choice, and takes the one whose image the last steps resemble least.

  The resemblance of x is n(x) = Σ_i exp(-Σ_j min(max((x_j - y_ij)² - delta, 0), 1) / sigma) over the images y_i of the last
  `window` steps of the episode and over their entries j, in [0, 1]. Equal choices are drawn from. The published code has
  none of the three figures; these are our own.
  """

  window: int = 20  # steps of the episode that are remembered
  delta: float = 0.0  # squared difference of an entry that counts as none
  sigma: float = 10.0  # sum of squared differences at which a resemblance falls to 1/e

  def __post_init__(self):
    checks.at_least(1, self, "window")
    checks.at_least(0, self, "delta")
    checks.more_than_zero(self, "sigma")

  def kept_offline(self, action: ActionSpec) -> bool:
    return True

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "InformedModule":
    """Raises ValueError where actions are no choices, or several at once, or no image is shown."""
    if not spec.action.discrete or len(spec.action.groups) > 1:
      raise ValueError(
        "Informed compares all choices of one group: choose a task with such actions, or another behaviour"
      )
    if not image_keys(spec.visible):
      raise ValueError(
        f"Informed compares images, and the environment shows {', '.join(spec.visible)}: add an image to --observations"
      )
    return InformedModule(self, spec)


class InformedModule(BehaviorModule):
  """Built from `Informed`; its memory is the images of the last steps, the newest first, and how many steps there were."""

  compares_images = True

  def __init__(self, config: Informed, spec: EnvSpec):
    self.config, self.actions = config, spec.action.size
    self.images, self.shape = image_keys(spec.visible), stacked_image_shape(spec.visible)

  def initial_memory(self, num_envs: int) -> Memory:
    seen = jnp.zeros((num_envs, self.config.window, *self.shape))
    return {"seen": seen, "steps": jnp.zeros(num_envs, jnp.int32)}

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    decode = world.decode
    assert decode is not None
    step_key, tie_key = jax.random.split(key)
    memory = self._seen(world, now)
    seen, steps = memory["seen"], memory["steps"]  # [E, W, H, W', C], [E]
    known = jnp.arange(self.config.window) < steps[:, None]  # [E, W]
    count = len(steps)

    def after(choice: jax.Array) -> jax.Array:
      latent = world.step(now.latent, jnp.broadcast_to(choice, (count, self.actions)), step_key)
      return resemblance(self._image(decode(latent)), seen, known, self.config)

    found = jax.lax.map(after, jnp.eye(self.actions))  # [A, E]
    ties = 1e-6 * jax.random.uniform(tie_key, found.shape)
    return jax.nn.one_hot((found + ties).argmin(0), self.actions), memory

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    return self._seen(world, now)

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    return BehaviorLosses({}, slow, {})

  def _seen(self, world: World, now: Situation) -> Memory:
    """The memory with the image of now."""
    assert world.decode is not None
    newest = self._image(world.decode(now.latent))
    return {
      "seen": jnp.concatenate([newest[:, None], now.memory["seen"][:, :-1]], 1),
      "steps": now.memory["steps"] + 1,
    }

  def _image(self, observation: ArrayDict) -> jax.Array:
    """[E, H, W, C] of all images."""
    return jnp.concatenate([observation[name] for name in self.images], -1)


def resemblance(image: jax.Array, seen: jax.Array, known: jax.Array, config: Informed) -> jax.Array:
  """Images [E, H, W, C], those seen [E, W, H, W', C] and whether each is one [E, W] -> [E]."""
  apart = jnp.square(image[:, None] - seen) - config.delta
  far = jnp.clip(apart, 0, 1).sum((-3, -2, -1))  # [E, W]
  return jnp.where(known, jnp.exp(-far / config.sigma), 0).sum(1)
