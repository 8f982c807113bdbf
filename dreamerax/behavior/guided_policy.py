"""Guided policy search by mirror descent: a policy of what is seen learns from LQR teachers that know the true state."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import (
  Behavior,
  BehaviorLosses,
  BehaviorModule,
  Iteration,
  Memory,
  Optimizers,
  Replayed,
  Situation,
)
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.local_lqr import check_whole
from dreamerax.behavior.trajectory import Trajectory, policy_of, stored
from dreamerax.nets.blocks import Linear, PlainMLP
from dreamerax.nets.encoders import Encoder
from dreamerax.nets.modules import Params, frozen
from dreamerax.nets.observations import concatenate_vectors, image_keys, vector_shapes
from dreamerax.nets.spatial import SpatialSoftmaxEncoder
from dreamerax.ops import linear_gaussian
from dreamerax.ops.optimizers import Adam, Optimizer
from dreamerax.types import CONDITION, GOAL, TRUE, ArrayDict, ArraySpec, EnvSpec, Transition


@dataclass(frozen=True)
class GuidedPolicySearch(Behavior):
  """Mirror descent guided policy search (Montgomery and Levine 2016; the network: Levine et al. 2016).

  Only the student acts, on what is seen. An iteration takes its newest episodes from each of several first states
  (`true/condition`), fits linear-Gaussian dynamics of the true state to them, and to the student's mean actions a linear
  policy of that state. The teacher of a first state is the policy of least expected cost within a KL of it (`Trajectory`). All
  updates of the iteration then move the student's mean towards the teachers', weighted with their precision, at random
  steps of these episodes; the gradient reaches the encoder.

  The true state is all observations `true/<name>`, one after the other. The cost is the squared distance of one of them to
  its goal, `goal/<name>`, or to zero where that is not shown. Actions are cut to [-1, 1], the teachers' too.
  """

  target: str = "state"  # name of the true observation whose distance to its goal is the cost
  horizon: int = 50  # H, steps of an episode
  updates: int = 200  # of an iteration, the first of which improves the teachers
  steps: int = 64  # at which an update compares student and teachers
  encoder: Encoder = field(default_factory=lambda: SpatialSoftmaxEncoder(depths=(16, 16, 16)))  # of the images
  layers: int = 2  # of the network on feature points and vectors; 0: a linear map
  units: int = 64  # of each layer
  trajectory: Trajectory = field(default_factory=Trajectory)  # how teachers are improved
  optimizer: Optimizer = field(default_factory=lambda: Adam(learning_rate=1e-3))

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "updates", "steps", "units")
    checks.at_least(0, self, "layers")

  @property
  def iteration(self) -> Iteration:
    return Iteration(self.updates)

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "GuidedPolicySearchModule":
    """Raises ValueError for discrete actions, and where the true state or first states of a fixed number are not shown."""
    shown = ", ".join(spec.observation)
    if spec.action.discrete:
      raise ValueError(
        "GuidedPolicySearch has linear teachers, and actions are choices: choose a --task with continuous actions"
      )
    if TRUE + self.target not in spec.observation:
      raise ValueError(
        f"GuidedPolicySearch needs the true state, {TRUE + self.target!r} of it for the cost, and the environment shows "
        f"{shown}: name the state in --observations with true/ before each vector, and --agent.behavior.target one of them"
      )
    if CONDITION not in spec.observation:
      raise ValueError(
        f"GuidedPolicySearch has a teacher for each of a few first states, and the environment shows {shown}, not "
        f"{CONDITION!r}: give --conditions 4"
      )
    return GuidedPolicySearchModule(self, spec, dtype=dtype, rngs=rngs)


class GuidedPolicySearchModule(BehaviorModule):
  """Built from `GuidedPolicySearch`; child "student", and beside its parameters the teachers, one for each condition."""

  def __init__(self, config: GuidedPolicySearch, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.actions, self.seen = config, spec.action.size, tuple(spec.visible)
    self.conditions = spec.observation[CONDITION].shape[0]
    self.goal = GOAL + config.target if GOAL + config.target in spec.observation else None
    hidden = spec.observation.keys() - spec.visible.keys()
    names = {name for name in hidden if name.startswith(TRUE) and name != CONDITION}
    self.shapes = vector_shapes({name: spec.observation[name] for name in names})
    self.states = sum(math.prod(shape) for _, shape in self.shapes)
    self.student = StudentModule(config, spec.visible, self.actions, dtype=dtype, rngs=rngs)

  @property
  def needs(self) -> tuple[str, ...]:
    """The visible observations: the student's inputs."""
    return self.seen

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    action = self.student(now.hidden)
    if explore:
      action += now.state["deviation"] * jax.random.normal(key, action.shape)
    return jnp.clip(action, -1, 1), now.memory

  def init_slow(self) -> Params:
    kept = self.config.trajectory.begin(self.config.horizon, self.states, self.actions)
    kept = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.conditions, *x.shape)), kept)
    teachers = {
      "trajectory": kept,
      "weight": jnp.zeros((self.conditions, self.config.horizon, self.actions, self.actions)),
      "deviation": jnp.full(self.actions, self.config.trajectory.init_std),
    }
    return {"teachers": teachers, "updates": jnp.zeros((), jnp.int32)}

  def acting(self, slow: Params) -> Params:
    return {"deviation": slow["teachers"]["deviation"]}

  @property
  def optimizers(self) -> Optimizers:
    return {"student": self.config.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"student": 1.0}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    steps, student = replayed.steps, frozen(self.student)
    check_whole(steps, self.config.horizon)
    episodes = steps.reward.shape[0]
    if episodes < 2 * self.conditions:
      raise ValueError(
        f"GuidedPolicySearch fits to two episodes or more of each of conditions={self.conditions}, and "
        f"replay.batch_size={episodes}: give --replay.batch-size {4 * self.conditions}"
      )

    def improve(teachers: Params) -> Params:
      return self._improve(teachers, student, steps)

    begins = slow["updates"] % self.config.updates == 0
    teachers = jax.lax.cond(begins, improve, lambda teachers: teachers, slow["teachers"])
    loss = self._distance(teachers, steps, key)
    values = teachers["trajectory"]["metrics"] | {"deviation": teachers["deviation"]}
    metrics = {f"guided/{name}": value.mean() for name, value in values.items()}
    return BehaviorLosses({"student": loss}, {"teachers": teachers, "updates": slow["updates"] + 1}, metrics)

  def _improve(self, teachers: Params, student: "StudentModule", steps: Transition) -> Params:
    """The teachers after an iteration on the student's episodes [B, H + 1]."""
    order = jnp.argsort(_condition(steps), stable=True)

    def by_condition(x: jax.Array) -> jax.Array:
      """[B, ...] -> [K, B / K, ...]: all conditions have as many environments."""
      return x[order].reshape(self.conditions, -1, *x.shape[1:])

    seen = {name: jnp.asarray(steps.observation[name])[:, :-1] for name in self.seen}
    means = jnp.clip(jax.lax.map(student, seen), -1, 1)  # an episode after the other, for the memory's sake
    goal = jnp.asarray(steps.observation[self.goal])[:, 0] if self.goal else jnp.zeros((len(order), 1))
    improve = jax.vmap(self._improve_one, in_axes=(0, 0, 0, 0, 0, None))
    kept = improve(
      teachers["trajectory"],
      by_condition(self._state(steps)),
      by_condition(jnp.asarray(steps.action)[:, 1:]),
      by_condition(means),
      by_condition(goal)[:, 0],
      teachers["deviation"],
    )
    precision = jnp.linalg.inv(policy_of(kept).covariance)
    deviation = jnp.diagonal(precision, axis1=-2, axis2=-1).mean((0, 1)) ** -0.5
    return {"trajectory": kept, "weight": weights(precision), "deviation": deviation}

  def _improve_one(
    self, kept: Params, states: jax.Array, actions: jax.Array, means: jax.Array, goal: jax.Array, deviation: jax.Array
  ) -> Params:
    """One teacher: states [N, H + 1, X], actions and the student's means [N, H, U], goal [G], deviation [U]."""
    trajectory = self.config.trajectory
    student = linear_gaussian.fit_policy(states[:, :-1], means, trajectory.prior_strength)
    student = student._replace(covariance=student.covariance + jnp.diag(jnp.square(deviation)))
    target = self._target()
    return trajectory.improve(
      kept | stored(student), states, actions, lambda x: jnp.square(x[:, target] - goal).sum(-1)
    )

  def _distance(self, teachers: Params, steps: Transition, key: jax.Array) -> jax.Array:
    """Half the mean squared distance of the student's mean to the teachers', in the metric of their weights."""
    episodes, horizon = steps.reward.shape[0], self.config.horizon
    drawn = jax.random.choice(key, episodes * horizon, (min(self.config.steps, episodes * horizon),), replace=False)
    episode, t = drawn // horizon, drawn % horizon
    mean = self.student({name: jnp.asarray(steps.observation[name])[episode, t] for name in self.seen})
    state, condition = self._state(steps)[episode, t], _condition(steps)[episode]
    gains = {name: teachers["trajectory"][name][condition, t] for name in ("feedback", "feedforward")}
    target = jnp.einsum("nux,nx->nu", gains["feedback"], state, precision="highest") + gains["feedforward"]
    error = mean - jnp.clip(target, -1, 1)
    return jnp.einsum("nu,nuv,nv->n", error, teachers["weight"][condition, t], error).mean() / 2

  def _state(self, steps: Transition) -> jax.Array:
    """The true states [B, T, X]."""
    return concatenate_vectors(steps.observation, self.shapes)

  def _target(self) -> slice:
    """Where in a true state the target stands."""
    names = [name for name, _ in self.shapes]
    sizes = [math.prod(shape) for _, shape in self.shapes]
    at = names.index(TRUE + self.config.target)
    return slice(sum(sizes[:at]), sum(sizes[: at + 1]))


class StudentModule(nnx.Module):
  """From what is seen to a mean action: feature points and the vectors as they are, and fully connected layers."""

  def __init__(
    self, config: GuidedPolicySearch, spec: Mapping[str, ArraySpec], actions: int, *, dtype: Any, rngs: nnx.Rngs
  ):
    """spec: of the visible observations."""
    images = {name: spec[name] for name in image_keys(spec)}
    self.shapes = vector_shapes(spec)
    self.encoder = config.encoder.build(images, dtype=dtype, rngs=rngs) if images else None
    size = sum(math.prod(shape) for _, shape in self.shapes) + (self.encoder.output_size if self.encoder else 0)
    self.mlp = PlainMLP(size, config.units, config.layers, "relu", dtype=dtype, rngs=rngs)
    self.out = Linear(self.mlp.output_size, actions, scale=0.1, dtype=dtype, rngs=rngs)

  def __call__(self, observation: ArrayDict) -> jax.Array:
    """{name: [..., *shape]} -> [..., U] float32."""
    parts = [concatenate_vectors(observation, self.shapes)] if self.shapes else []
    if self.encoder:
      parts.append(self.encoder(observation))
    return self.out(self.mlp(jnp.concatenate(parts, -1))).astype(jnp.float32)


def weights(precision: jax.Array) -> jax.Array:
  """Precisions [K, H, U, U] as weights of steps: none larger than twice the median, and 1 on average."""
  size = jnp.trace(precision, axis1=-2, axis2=-1) / precision.shape[-1]
  scale = jnp.minimum(1, 2 * jnp.median(size) / size)
  return precision * (scale / (scale * size).mean())[..., None, None]


def _condition(steps: Transition) -> jax.Array:
  """The number [B] of each episode's first state."""
  return jnp.asarray(steps.observation[CONDITION])[:, 0].argmax(-1)
