"""World model and behaviour as one agent: init, act, update, report; owns the optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Behavior, BehaviorModule, Replayed
from dreamerax.behavior.imagination import World
from dreamerax.nets.modules import Params, frozen, params_of, with_params
from dreamerax.ops.optimizers import LaProp
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec
from dreamerax.world_model.model import WorldModel, WorldModelModule

State = dict[str, Any]
Carry = dict[str, Any]


@dataclass(frozen=True)
class AgentConfig:
  """A world model and a behaviour, trained by one joint loss."""

  world_model: WorldModel = field(default_factory=WorldModel)
  behavior: Behavior = field(default_factory=ActorCritic)
  optimizer: LaProp = field(default_factory=LaProp)  # of the world model; the behaviour brings its own
  compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: float32 on CPU, bfloat16 on accelerators


class Agent:
  """Pure functions over a state of nested dicts; safe to jit. Parameters are float32 always."""

  def __init__(self, config: AgentConfig, spec: EnvSpec):
    """Raises ValueError where the configuration does not fit the environment."""
    self.config, self.spec = config, spec
    # The modules' structure, without any memory for their parameters.
    self._world, self._behavior = nnx.eval_shape(lambda: self._build(jax.random.key(0)))
    self._optimizer = self._build_optimizer()

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    """Latents per step that replay stores as the context of later batches."""
    return self._world.dynamics.latent_spec

  def init(self, key: jax.Array) -> State:
    """State before the first update: "params", "slow", "optimizer", "updates"."""
    world, behavior = self._build(key)
    params = {"world_model": params_of(world), "behavior": params_of(behavior)}
    return {
      "params": params,
      "slow": behavior.init_slow(),
      "optimizer": self._optimizer.init(params),
      "updates": jnp.zeros((), jnp.int32),
    }

  def parameter_count(self) -> int:
    """Number of optimised parameters (the slow critic is a copy and does not count)."""
    modules = (params_of(self._world), params_of(self._behavior))
    return sum(x.size for x in jax.tree.leaves(modules))

  def policy_params(self, state: State) -> Params:
    """The part of the state that acting needs."""
    return state["params"]

  def initial_carry(self, num_envs: int) -> Carry:
    """What the policy remembers, before the first observation."""
    latent = self._world.dynamics.initial(num_envs)
    return {"latent": latent, "action": jnp.zeros((num_envs, self.spec.action.size))}

  def act(
    self, params: Params, carry: Carry, observation: ArrayDict, is_first: jax.Array, key: jax.Array, *, explore: bool
  ) -> tuple[jax.Array, Carry, dict[str, jax.Array]]:
    """One decision for E environments.

    Args:
      observation: {name: [E, *shape]}. is_first: [E]; there the memory is cleared.
      explore: static; True samples the policy, False takes its mode.

    Returns:
      Actions [E, A], the next carry, and the latents [E, ...] to store with this step.
    """
    world, behavior = self._modules(params)
    latent_key, action_key = jax.random.split(key)
    latent = world.observe_step(carry["latent"], carry["action"], observation, is_first, latent_key)
    action = behavior.act(world.dynamics.features(latent), action_key, explore=explore)
    return action, {"latent": latent, "action": action}, world.dynamics.pack(latent)

  def update(
    self, state: State, batch: Batch, key: jax.Array
  ) -> tuple[State, dict[str, jax.Array], dict[str, jax.Array]]:
    """One step of world model, actor and critic on one joint loss (Hafner et al. 2023).

    Returns:
      The new state, the refreshed latents [B, T, ...] of the batch, and metrics {name: scalar}.
    """
    gradients, (slow, latents, metrics) = jax.grad(self._loss, has_aux=True)(state["params"], state["slow"], batch, key)
    updates, optimizer = self._optimizer.update(gradients, state["optimizer"], state["params"])
    params: Params = jax.tree.map(jnp.add, state["params"], updates)
    _, behavior = self._modules(params)
    metrics["gradient_norm"] = optax.tree.norm(gradients)
    state = {
      "params": params,
      "slow": behavior.update_slow(slow),
      "optimizer": optimizer,
      "updates": state["updates"] + 1,
    }
    return state, latents, metrics

  def report(self, state: State, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
    """Videos "open_loop/<image>", uint8 [T, 3 H, rows W, C]: truth, prediction, error; the first half is observed.

    A green bar marks frames with observations, a red one those that are imagined.
    """
    world, _ = self._modules(state["params"])
    rows, length = min(6, batch.steps.reward.shape[0]), batch.steps.reward.shape[1]
    context = max(1, length // 2)
    batch = jax.tree.map(lambda x: x[:rows], batch)
    videos = {}
    for name, prediction in world.open_loop(batch, context, key).items():
      truth = batch.steps.observation[name].astype(jnp.float32) / 255
      error = (prediction - truth + 1) / 2
      tiles = jnp.concatenate([truth, prediction, error], 2)  # [B, T, 3 H, W, C]
      grid = tiles.transpose(1, 2, 0, 3, 4).reshape(length, tiles.shape[2], -1, tiles.shape[-1])
      videos[f"open_loop/{name}"] = _mark((jnp.clip(grid, 0, 1) * 255).astype(jnp.uint8), context)
    return videos

  def _build(self, key: jax.Array) -> tuple[WorldModelModule, BehaviorModule]:
    dtype = jnp.dtype(self._compute_dtype())
    rngs = nnx.Rngs(params=key)
    world = self.config.world_model.build(self.spec, dtype=dtype, rngs=rngs)
    behavior = self.config.behavior.build(world.dynamics.feature_size, self.spec.action, dtype=dtype, rngs=rngs)
    return world, behavior

  def _build_optimizer(self) -> optax.GradientTransformation:
    """One transformation for each group of parameters: the world model, and every child of the behaviour."""
    groups = self._behavior.optimizers
    labels = {"world_model": "world_model", "behavior": {name: name for name in groups}}
    parts = {"world_model": self.config.optimizer, **groups}
    return optax.partition({name: part.build() for name, part in parts.items()}, labels)

  def _compute_dtype(self) -> str:
    if self.config.compute_dtype == "auto":
      return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return self.config.compute_dtype

  def _modules(self, params: Mapping[str, Any]) -> tuple[WorldModelModule, BehaviorModule]:
    return with_params(self._world, params["world_model"]), with_params(self._behavior, params["behavior"])

  def _loss(self, params: Params, slow: Params, batch: Batch, key: jax.Array):
    observe_key, imagine_key = jax.random.split(key)
    world, behavior = self._modules(params)
    posterior = world.observe(batch, observe_key)
    step_losses, metrics = world.losses(batch.steps, posterior)
    losses = {name: loss.mean() for name, loss in step_losses.items()}

    start = jax.tree.map(lambda x: jax.lax.collapse(x, 0, 2), jax.lax.stop_gradient(posterior.latents))  # [B T, F]
    replayed = Replayed(world.dynamics.features(posterior.latents), batch.steps)
    behaved = behavior.losses(slow, _as_world(frozen(world)), start, replayed, imagine_key)

    losses |= behaved.losses
    scales = {**world.scales, **behavior.scales}
    metrics |= behaved.metrics | {f"loss/{name}": loss for name, loss in losses.items()}
    total = sum((scales[name] * loss for name, loss in losses.items()), start=jnp.zeros(()))
    metrics["loss/total"] = total
    return total, (behaved.slow, world.dynamics.pack(posterior.latents), metrics)


def _as_world(model: WorldModelModule) -> World:
  return World(
    step=model.dynamics.imagine_step,
    features=model.dynamics.features,
    reward=lambda features: model.reward(features).mean(),
    continues=lambda features: model.continues(features).mean(),
  )


def _mark(video: jax.Array, context: int) -> jax.Array:
  """Paints a bar above each frame: green while observing, red while imagining."""
  length, _, width, channels = video.shape
  green_red = jnp.array([[0, 192, 0], [224, 0, 0]], jnp.uint8)
  color = green_red[(jnp.arange(length) >= context).astype(jnp.int32)]  # [T, 3]
  color = jnp.resize(color, (length, channels)) if channels != 3 else color
  bar = jnp.broadcast_to(color[:, None, None], (length, 3, width, channels))
  return jnp.concatenate([bar, video], 1)
