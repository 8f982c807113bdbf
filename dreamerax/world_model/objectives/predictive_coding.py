"""PC3's objective: the next state is told from those of other pasts, agrees with what is seen, and moves nearly linearly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import DynamicsModule, Latent
from dreamerax.nets.modules import Params
from dreamerax.ops.transforms import mean_where
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes

_NEVER = -1e30  # log-density of what is left out; gradients stay finite where all is


@dataclass(frozen=True)
class PredictiveCoding(Objective):
  """Predictive coding, consistency and curvature in place of a decoder (Shu et al. 2020, PC3).

  With z of a step, u the action taken there, z' of the next step and p(z' | z, u) the prior:

  - contrast: -log p(z' | z, u) / mean of p(z' | z_j, u_j) over all pairs j of the batch, its own included;
  - consistency: -log p(z' | z, u);
  - curvature: |f(z + e, u + d) - f(z, u) - J_z e - J_u d|² of the mean step f, at noise e and d, without a gradient into
    z and u;
  - centre: the squared length of the mean of all z.

  z' has noise in the first two, without which its density could grow for ever. The published code has J^T e in place of
  J e, which differs. Pairs of two episodes are left out. All loss factors are those of the published planar task.
  """

  contrast: float = 1.0  # factor in the total loss
  consistency: float = 1.0  # factor in the total loss
  curvature: float = 7.0  # factor in the total loss
  centre: float = 0.1  # factor in the total loss
  noise: float = 0.1  # deviation of what is added to the state that is predicted
  reach: float = 0.1  # deviation of e and d

  def __post_init__(self):
    checks.at_least(0, self, "contrast", "consistency", "curvature", "centre", "noise")
    checks.more_than_zero(self, "reach")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "PredictiveCodingModule":
    return PredictiveCodingModule(self, sizes.recurrent)


class PredictiveCodingModule(ObjectiveModule):
  """Built from `PredictiveCoding`; has no parameters."""

  def __init__(self, config: PredictiveCoding, recurrent: int):
    """recurrent: the first features, which are no part of the stochastic state z."""
    self.config, self.recurrent = config, recurrent

  @property
  def scales(self) -> Mapping[str, float]:
    config = self.config
    return {
      "contrast": config.contrast,
      "consistency": config.consistency,
      "curvature": config.curvature,
      "centre": config.centre,
    }

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    noise_key, reach_key = jax.random.split(key)
    dynamics = model.dynamics
    within = (~steps.is_first[:, 1:]).reshape(-1)  # [N] pairs, N = B (T - 1), of steps of one episode

    def mean(rows: jax.Array) -> jax.Array:
      return mean_where(rows, within)

    def pairs(tree: Any, *, later: bool) -> Any:
      return jax.tree.map(lambda x: jax.lax.collapse(x[:, 1:] if later else x[:, :-1], 0, 2), tree)

    state = model.features(seen.latents).astype(jnp.float32)[..., self.recurrent :]
    after = pairs(state, later=True)
    after += self.config.noise * jax.random.normal(noise_key, after.shape)
    every = dynamics.log_prob(after[:, None], pairs(seen.prior, later=True)[None])  # [N, N], of z'_i under pair j
    own = jnp.diagonal(every)
    others = jax.nn.logsumexp(jnp.where(within, every, _NEVER), -1) - jnp.log(jnp.maximum(within.sum(), 1))
    before, action = pairs(seen.latents, later=False), pairs(jnp.asarray(steps.action), later=True)
    return {
      "contrast": mean(others - own),
      "consistency": mean(-own),
      "curvature": mean(curvature(dynamics, before, action, self.config.reach, reach_key)),
      "centre": jnp.square(state.mean((0, 1))).sum(),
    }


def curvature(dynamics: DynamicsModule, latent: Latent, action: jax.Array, reach: float, key: jax.Array) -> jax.Array:
  """How far the mean step is from linear [N], around latents [N, F] and actions [N, A], at noise of deviation `reach`.

  The squared error of the first-order expansion in the features of the next state, with the gradient of the dynamics alone.
  """
  here = jax.lax.stop_gradient((latent, action))
  leaves, structure = jax.tree.flatten(here)
  keys = jax.random.split(key, len(leaves))
  away = [reach * jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
  noise = structure.unflatten(away)

  def move(place: tuple[Latent, jax.Array]) -> jax.Array:
    return dynamics.features(dynamics.expect_step(*place)).astype(jnp.float32)

  there, change = jax.jvp(move, (here,), (noise,))
  return jnp.square(move(jax.tree.map(jnp.add, here, noise)) - there - change).sum(-1)
