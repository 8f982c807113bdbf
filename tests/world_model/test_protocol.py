"""A second world model: what agent, behaviours and reports ask of one, they get from a class that has no dynamics."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dreamerax.agent import Agent, AgentConfig
from dreamerax.behavior.uniform import Uniform
from dreamerax.nets.blocks import Linear
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.base import WorldModelBase, WorldModelBaseModule
from tests import tiny

SIZE = 3


@dataclass(frozen=True)
class Follower(WorldModelBase):
  """Its latent is the last position seen, which then moves linearly with the action."""

  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "FollowerModule":
    return FollowerModule(spec, dtype, rngs)


class Positions(NamedTuple):
  latents: dict[str, jax.Array]
  embed: jax.Array


class FollowerModule(WorldModelBaseModule):
  def __init__(self, spec: EnvSpec, dtype: Any, rngs: nnx.Rngs):
    self.spec = spec
    self.move = Linear(spec.action.size, SIZE, dtype=dtype, rngs=rngs)

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    return {"place": ArraySpec((SIZE,))}

  @property
  def feature_size(self) -> int:
    return SIZE

  @property
  def scales(self) -> Mapping[str, float]:
    return {"moved": 0.5}

  @property
  def decoded(self) -> tuple[str, ...]:
    return ("position",)

  def initial(self, batch: int) -> dict[str, jax.Array]:
    return {"place": jnp.zeros((batch, SIZE))}

  def pack(self, latent: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return latent

  def observe(self, batch: Batch, key: jax.Array) -> Positions:
    embed = self.encode(batch.steps.observation, key)
    return Positions({"place": embed}, embed)

  def observe_step(self, latent, action, observation: ArrayDict, is_first, key):
    return {"place": jnp.asarray(observation["position"])}

  def step(self, latent, action, key):
    return self.expect(latent, action)

  def expect(self, latent, action):
    return {"place": latent["place"] + self.move(action)}

  def imagine(self, latent, action, key):
    return {"place": latent["place"][:, None] + jnp.cumsum(self.move(action), 1)}

  def encode(self, observation: ArrayDict, key: jax.Array) -> jax.Array:
    return jnp.asarray(observation["position"])

  def glance(self, embed: jax.Array, key: jax.Array) -> jax.Array:
    return embed

  def features(self, latent) -> jax.Array:
    return latent["place"]

  def expected_reward(self, features: jax.Array) -> jax.Array:
    return -jnp.square(features).sum(-1)

  def continue_probability(self, features: jax.Array) -> jax.Array:
    return jnp.full(features.shape[:-1], 0.9)

  def decode(self, latent) -> dict[str, jax.Array]:
    return {"position": latent["place"]}

  def losses(self, slow, steps: Transition, seen: Positions, updates, key):
    place = seen.latents["place"]
    error = jnp.square(place[:, :-1] + self.move(steps.action[:, 1:]) - place[:, 1:]).sum(-1)
    return {"moved": jnp.where(steps.is_first[:, 1:], 0.0, error)}, {}


def agent(**changes: Any) -> Agent:
  return Agent(
    replace(AgentConfig(Follower(), tiny.config().behavior, tiny.config().optimizer), **changes), tiny.VECTOR
  )


def test_it_learns_acts_and_is_looked_into():
  follower = agent()
  state, batch, key = follower.init(jax.random.key(0)), tiny.batch(follower), jax.random.key(1)
  new, latents, metrics = jax.jit(follower.update)(state, batch, key)
  assert jax.tree.map(jnp.shape, latents) == {"place": (4, 5, SIZE)}
  assert np.any(new["params"]["world_model"]["move"]["kernel"] != state["params"]["world_model"]["move"]["kernel"])
  assert metrics["loss/moved"] > 0 and metrics["loss/actor"] != 0
  carry, seen = follower.initial_carry(2), tiny.observation(tiny.VECTOR, 2)
  action, carry, stored = follower.act(state["params"], carry, seen, np.ones(2, bool), key, explore=True)
  np.testing.assert_array_equal(stored["place"], seen["position"])
  there = follower.imagine(state["params"], carry, key)
  move = state["params"]["world_model"]["move"]
  expected = seen["position"] + action @ move["kernel"] + move["bias"]
  prediction = follower.expect(state["params"], there)
  np.testing.assert_allclose(prediction.observation["position"], expected, rtol=1e-5)
  np.testing.assert_allclose(prediction.reward, -np.square(expected).sum(-1), rtol=1e-5)


def test_its_predictions_follow_the_recorded_actions_after_the_context():
  follower = agent(behavior=Uniform())
  params, batch = follower.init(jax.random.key(0))["params"], tiny.batch(follower)
  predicted = follower.predict(params, batch, 2, jax.random.key(1))
  seen, move = batch.steps.observation["position"], params["world_model"]["move"]
  place = seen[:, 1]
  for t in range(2, 5):
    place = place + batch.steps.action[:, t] @ move["kernel"] + move["bias"]
    np.testing.assert_allclose(predicted.observation["position"][:, t], place, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predicted.reward[:, t], -np.square(place).sum(-1), rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(predicted.observation["position"][:, :2], seen[:, :2])
  carry, shown = follower.initial_carry(2), tiny.observation(tiny.VECTOR, 2)
  action, _, _ = follower.act(params, carry, shown, np.ones(2, bool), jax.random.key(2), explore=True)
  assert action.shape == (2, 2)
