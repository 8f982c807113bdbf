"""World model and behaviour as one agent: init, act, update, report; owns the optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from dreamerax import checks, comparison_video
from dreamerax.behavior.action_noise import with_noise
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Replayed, Situation
from dreamerax.behavior.world import as_world, check_fits
from dreamerax.dynamics.base import Latent, reset_where
from dreamerax.nets.modules import Params, frozen, params_of, with_params
from dreamerax.ops.backend import on_cpu
from dreamerax.ops.optimizers import LaProp, Optimizer
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec
from dreamerax.world_model.base import SequencePrediction, WorldModelBase, WorldModelBaseModule
from dreamerax.world_model.model import WorldModel

State = dict[str, Any]
Carry = dict[str, Any]


class _Seen(NamedTuple):
  """The world model's latents and losses of a batch."""

  latents: Latent  # [B, T, F], of the posterior
  embed: jax.Array  # [B, T, E]
  losses: dict[str, jax.Array]  # scalars, not scaled
  metrics: dict[str, jax.Array]  # scalars


class LatentPrediction(NamedTuple):
  """The prediction of an agent for latent states [E, F]."""

  observation: dict[str, jax.Array]  # of what the model decodes: {name: [E, *shape]} float32; images aim at [0, 1]
  reward: jax.Array  # [E], on arriving there
  continues: jax.Array | None  # [E], probability that the episode goes on; None where the model takes it to
  value: jax.Array | None  # [E], discounted return from there on; None where the behaviour has no critic


@dataclass(frozen=True)
class AgentConfig:
  """A world model and a behaviour, and how both are trained."""

  world_model: WorldModelBase = field(default_factory=WorldModel)
  behavior: Behavior = field(default_factory=ActorCritic)
  optimizer: Optimizer = field(default_factory=LaProp)  # of the world model; the behaviour brings its own
  model_first: bool = (
    False  # the behaviour learns in the model as just updated (Dreamer v2), not at the same parameters
  )
  exploration_noise: float = 0.0  # deviation of noise on exploring actions; for discrete ones, the chance of any choice
  compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: float32 on CPU, bfloat16 on accelerators

  def __post_init__(self):
    checks.at_least(0, self, "exploration_noise")


class Agent:
  """Pure functions over a state of nested dicts; safe to jit. Parameters are float32 always."""

  def __init__(self, config: AgentConfig, spec: EnvSpec):
    """Raises ValueError where the configuration does not fit the environment."""
    self.config, self.spec = config, spec
    # The modules' structure, without any memory for their parameters.
    self._world, self._behavior = nnx.eval_shape(lambda: self._build(jax.random.key(0)))
    check_fits(self._behavior, self._world, spec)
    self._optimizers = {"world_model": config.optimizer.build(), "behavior": self._behavior_optimizer()}
    self._init = jax.jit(self._first_state)  # traced once, where both the state's shapes and the state are asked for

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    """Latents per step that replay stores as the context of later batches."""
    return self._world.latent_spec

  @property
  def decoded(self) -> tuple[str, ...]:
    """Names of the observations that the world model decodes; () where it decodes nothing."""
    return self._world.decoded

  @property
  def policy_spec(self) -> EnvSpec:
    """The visible observations, the hidden ones that acting needs, and the actions."""
    shown = self.spec.visible.keys() | set(self._behavior.needs)
    observation = {name: array for name, array in self.spec.observation.items() if name in shown}
    return EnvSpec(observation, self.spec.action)

  @property
  def compute_dtype(self) -> str:
    """Name of the dtype that the networks compute in on this machine."""
    if self.config.compute_dtype == "auto":
      return "float32" if on_cpu() else "bfloat16"
    return self.config.compute_dtype

  def init(self, key: jax.Array) -> State:
    """State before the first update.

    "params", "slow" (the behaviour's state beside its parameters), "optimizer", "updates", and "world_slow" where the
    world model has such a state, too.
    """
    return self._init(key)

  def _first_state(self, key: jax.Array) -> State:
    world, behavior = self._build(key)
    params = {"world_model": params_of(world), "behavior": params_of(behavior)}
    world_slow = world.init_slow()
    return {
      **({"world_slow": world_slow} if world_slow else {}),
      "params": params,
      "slow": behavior.init_slow(),
      "optimizer": {name: optimizer.init(params[name]) for name, optimizer in self._optimizers.items()},
      "updates": jnp.zeros((), jnp.int32),
    }

  def parameter_count(self) -> int:
    """Number of optimised parameters (the slow critic is a copy and does not count)."""
    modules = (params_of(self._world), params_of(self._behavior))
    return sum(x.size for x in jax.tree.leaves(modules))

  def policy_params(self, state: State) -> Params:
    """The part of the state that acting needs: the parameters, and what behaviours name beside them."""
    acting = self._behavior.acting(state["slow"])
    return {**state["params"], "state": acting} if acting else state["params"]

  def initial_carry(self, num_envs: int) -> Carry:
    """Returns the policy's memory before the first observation."""
    hidden = {name: self.spec.observation[name] for name in self._behavior.needs}
    return {
      "latent": self._world.initial(num_envs),
      "hidden": {name: jnp.zeros((num_envs, *array.shape), array.dtype) for name, array in hidden.items()},
      "action": jnp.zeros((num_envs, self.spec.action.size)),
      "memory": self._behavior.initial_memory(num_envs),
    }

  def act(
    self, params: Params, carry: Carry, observation: ArrayDict, is_first: jax.Array, key: jax.Array, *, explore: bool
  ) -> tuple[jax.Array, Carry, dict[str, jax.Array]]:
    """One decision for E environments.

    Args:
      observation: {name: [E, *shape]} of `policy_spec`; others are left aside. is_first: [E]; there the memory is cleared.
      explore: static; True samples the policy, False takes its mode.

    Returns:
      Actions [E, A], the next carry, and the latents [E, ...] to store with this step.
    """
    latent_key, action_key, noise_key = jax.random.split(key, 3)
    carry = self.observe(params, carry, observation, is_first, latent_key)
    action, carry = self._decide(params, carry, action_key, explore=explore)
    if explore and self.config.exploration_noise:
      action = with_noise(action, self.config.exploration_noise, self.spec.action, noise_key)
    return action, {**carry, "action": action}, self._world.pack(carry["latent"])

  def observe(self, params: Params, carry: Carry, observation: ArrayDict, is_first: jax.Array, key: jax.Array) -> Carry:
    """The carry that has seen an observation, as `act` sees it, before anything is decided."""
    world, behavior = self.modules(params)
    latent = world.observe_step(carry["latent"], carry["action"], observation, is_first, key)
    hidden = {name: jnp.asarray(observation[name]) for name in behavior.needs}
    return {**carry, "latent": latent, "hidden": hidden, "memory": reset_where(is_first, carry["memory"])}

  def choose(self, params: Params, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
    """The mode action [E, A] in the carry's latent states, without a look at the environment; the carry that has it."""
    return self._decide(params, carry, key, explore=False)

  def follow(self, params: Params, carry: Carry, action: jax.Array, key: jax.Array) -> Carry:
    """The carry where somebody else has decided on the action [E, A]."""
    world, behavior = self.modules(params)
    memory = behavior.follow(as_world(world), _situation(params, carry), action, key)
    return {**carry, "action": action, "memory": memory}

  def imagine(self, params: Params, carry: Carry, key: jax.Array) -> Carry:
    """The carry after its action was taken in the world model: the latents that it expects there."""
    world, _ = self.modules(params)
    return {**carry, "latent": world.step(carry["latent"], carry["action"], key)}

  def expect(self, params: Params, carry: Carry) -> LatentPrediction:
    """Predicts what the agent expects in the carry's latent states."""
    world, behavior = self.modules(params)
    features = world.features(carry["latent"])
    return LatentPrediction(
      observation=world.decode(carry["latent"]),
      reward=world.expected_reward(features),
      continues=world.episode_continues(features),
      value=behavior.value(features),
    )

  def update(
    self, state: State, batch: Batch, key: jax.Array
  ) -> tuple[State, dict[str, jax.Array], dict[str, jax.Array]]:
    """One step of world model and behaviour on a batch.

    Returns:
      The new state, the refreshed latents [B, T, ...] of the batch, and metrics {name: scalar}.
    """
    learn = self._learn_model_first if self.config.model_first else self._learn_jointly
    gradients, new, seen, behaved = learn(state, batch, key)
    behavior = with_params(self._behavior, new["params"]["behavior"])
    losses = seen.losses | behaved.losses
    metrics = seen.metrics | behaved.metrics | {f"loss/{name}": loss for name, loss in losses.items()}
    metrics["loss/total"] = self._total(losses)
    metrics["gradient_norm"] = optax.tree.norm(gradients)
    new |= {"slow": behavior.update_slow(behaved.slow, state["updates"]), "updates": state["updates"] + 1}
    if "world_slow" in state:
      world = with_params(self._world, new["params"]["world_model"])
      new["world_slow"] = world.update_slow(state["world_slow"], state["updates"])
    return new, self._world.pack(seen.latents), metrics

  def report(self, state: State, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
    """Videos "open_loop/<image>", uint8 [T, 12 + 3 H, 36 + rows W, 3]: truth, prediction, error; the first half is observed.

    The rows are named on their left. A green strip marks frames with observations, a red one those that are imagined.
    """
    rows, length = min(6, batch.steps.reward.shape[0]), batch.steps.reward.shape[1]
    context = max(1, length // 2)
    batch = jax.tree.map(lambda x: x[:rows], batch)
    predicted = self.open_loop(state["params"], batch, context, key)
    seen = batch.steps.observation
    return {f"open_loop/{name}": comparison_video.draw(seen[name], video, context) for name, video in predicted.items()}

  def predict(self, params: Params, batch: Batch, context: int, key: jax.Array) -> SequencePrediction:
    """Predicts observations and rewards after `context` (static) observed steps, from
    the recorded actions: [B, T, ...]."""
    world, _ = self.modules(params)
    return world.predict(batch, context, key)

  def open_loop(self, params: Params, batch: Batch, context: int, key: jax.Array) -> dict[str, jax.Array]:
    """The world model's pictures of `context` (static) observed steps and of its dream from there: {image: [B, T, H, W, C]}."""
    world, _ = self.modules(params)
    return world.open_loop(batch, context, key)

  def _decide(self, params: Params, carry: Carry, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Carry]:
    world, behavior = self.modules(params)
    action, memory = behavior.act(as_world(world), _situation(params, carry), key, explore=explore)
    return action, {**carry, "action": action, "memory": memory}

  def _build(self, key: jax.Array) -> tuple[WorldModelBaseModule, BehaviorModule]:
    dtype = jnp.dtype(self.compute_dtype)
    rngs = nnx.Rngs(params=key)
    world = self.config.world_model.build(self.spec, dtype=dtype, rngs=rngs)
    behavior = self.config.behavior.build(world.feature_size, self.spec, dtype=dtype, rngs=rngs)
    return world, behavior

  def _behavior_optimizer(self) -> optax.GradientTransformation:
    """One transformation for each part of the behaviour that names an optimiser, by the path to it."""
    groups = self._behavior.optimizers
    labels = jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.keystr(path), groups)
    parts = zip(jax.tree.leaves(labels), jax.tree.leaves(groups), strict=True)
    return optax.partition({label: part.build() for label, part in parts}, labels)

  def modules(self, params: Params) -> tuple[WorldModelBaseModule, BehaviorModule]:
    """World model and behaviour with these parameters, those of a state or of `policy_params`."""
    return with_params(self._world, params["world_model"]), with_params(self._behavior, params["behavior"])

  def _learn_jointly(self, state: State, batch: Batch, key: jax.Array):
    """All gradients at the same parameters, of one loss: the behaviour's may reach the world model (Hafner et al. 2023)."""

    def loss(params: Params):
      world_key, behavior_key = jax.random.split(key)
      world_loss, seen = self._world_loss(params["world_model"], state, batch, world_key)
      behavior_loss, behaved = self._behavior_loss(
        params["behavior"], params["world_model"], state, batch, seen, behavior_key
      )
      return world_loss + behavior_loss, (seen, behaved)

    gradients, (seen, behaved) = jax.grad(loss, has_aux=True)(state["params"])
    return gradients, self._step(state, gradients), seen, behaved

  def _learn_model_first(self, state: State, batch: Batch, key: jax.Array):
    """The world model steps; then the behaviour learns in the new model, from states that the old one saw (Dreamer v2)."""
    world_key, behavior_key = jax.random.split(key)
    params = state["params"]
    world_gradient, seen = jax.grad(self._world_loss, has_aux=True)(params["world_model"], state, batch, world_key)
    state = self._step(state, {"world_model": world_gradient})
    behavior_gradient, behaved = jax.grad(self._behavior_loss, has_aux=True)(
      params["behavior"], state["params"]["world_model"], state, batch, seen, behavior_key
    )
    gradients = {"world_model": world_gradient, "behavior": behavior_gradient}
    return gradients, self._step(state, {"behavior": behavior_gradient}), seen, behaved

  def _step(self, state: State, gradients: Params) -> State:
    """The state after one step of the optimisers whose parameters have gradients here."""
    params, optimizer = dict(state["params"]), dict(state["optimizer"])
    for name, gradient in gradients.items():
      updates, optimizer[name] = self._optimizers[name].update(gradient, optimizer[name], params[name])
      params[name] = jax.tree.map(jnp.add, params[name], updates)
    return {**state, "params": params, "optimizer": optimizer}

  def _world_loss(self, params: Params, state: State, batch: Batch, key: jax.Array) -> tuple[jax.Array, _Seen]:
    observe_key, loss_key = jax.random.split(key)
    world = with_params(self._world, params)
    batch = world.augment(batch, observe_key)
    seen = world.observe(batch, observe_key)
    losses, metrics = world.losses(state.get("world_slow", {}), batch.steps, seen, state["updates"], loss_key)
    losses = {name: loss.mean() for name, loss in losses.items()}
    return self._total(losses), _Seen(seen.latents, seen.embed, losses, metrics)

  def _behavior_loss(
    self, params: Params, world_params: Params, state: State, batch: Batch, seen: _Seen, key: jax.Array
  ) -> tuple[jax.Array, BehaviorLosses]:
    world, behavior = with_params(self._world, world_params), with_params(self._behavior, params)
    latents = seen.latents
    start = jax.tree.map(lambda x: jax.lax.collapse(x, 0, 2), jax.lax.stop_gradient(latents))  # [B T, F]
    replayed = Replayed(world.features(latents), seen.embed, batch.steps)
    behaved = behavior.losses(state["slow"], as_world(frozen(world)), start, replayed, key)
    return self._total(behaved.losses), behaved

  def _total(self, losses: Mapping[str, jax.Array]) -> jax.Array:
    scales = {**self._world.scales, **self._behavior.scales}
    return sum((scales[name] * loss for name, loss in losses.items()), start=jnp.zeros(()))


def _situation(params: Params, carry: Carry) -> Situation:
  """What a behaviour decides by, with an agent's memory before that decision."""
  return Situation(carry["latent"], carry["memory"], carry["hidden"], params.get("state", {}))
