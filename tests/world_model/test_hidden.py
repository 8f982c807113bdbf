"""Hidden observations reach objectives and behaviours, and change nothing that the world model computes."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.behavior.base import Situation
from dreamerax.behavior.uniform import Uniform, UniformModule
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests import plain, tiny

IMAGE, VECTOR = ArraySpec((12, 12, 3), "uint8"), ArraySpec((3,))
SEEN = {"image": IMAGE, "place": VECTOR}
HIDDEN = {"goal/image": IMAGE, "goal/place": VECTOR, "event/contact": ArraySpec((1,))}
PLAIN = EnvSpec(SEEN, ActionSpec(2))
SPEC = EnvSpec({**HIDDEN, **SEEN}, ActionSpec(2))


class Follows(Uniform):
  """Goes to the goal that it is shown."""

  def build(self, features: int, spec: EnvSpec, **_: Any) -> "FollowsModule":
    return FollowsModule(spec.action)


class FollowsModule(UniformModule):
  needs = ("goal/place",)

  def act(self, world, now: Situation, key, *, explore: bool):
    assert now.hidden.keys() == set(self.needs) and now.state == {}
    return jnp.asarray(now.hidden["goal/place"])[:, :2], now.memory


def agent(spec: EnvSpec, behavior: Uniform | None = None, **changes: Any) -> Agent:
  config = tiny.config()
  world_model = replace(config.world_model, **changes)
  return Agent(replace(config, world_model=world_model, behavior=behavior or Uniform()), spec)


def test_names_say_what_is_hidden():
  assert SPEC.visible == SEEN and PLAIN.visible == SEEN


@pytest.mark.slow
def test_an_update_ends_in_the_same_bits_with_and_without_them():
  with_them, without = (agent(spec, image_bits=5) for spec in (SPEC, PLAIN))  # cut images draw from the key
  assert with_them.decoded == without.decoded == ("image", "place")
  state, batch, key = without.init(jax.random.key(0)), tiny.batch(without), jax.random.key(1)
  jax.tree.map(np.testing.assert_array_equal, with_them.init(jax.random.key(0)), state)
  hidden = tiny.observation(EnvSpec(HIDDEN, SPEC.action), *batch.steps.reward.shape)
  more = batch._replace(steps=batch.steps._replace(observation={**hidden, **batch.steps.observation}))
  found = [jax.jit(each.update)(state, given, key) for each, given in ((with_them, more), (without, batch))]
  jax.tree.map(np.testing.assert_array_equal, *found)


def test_a_behaviour_gets_those_that_it_needs_in_an_environment_and_in_a_dream():
  follower = agent(SPEC, Follows())
  assert list(follower.policy_spec.observation) == ["goal/place", "image", "place"]
  params, carry = follower.init(jax.random.key(0))["params"], follower.initial_carry(2)
  assert jax.tree.map(jnp.shape, carry["hidden"]) == {"goal/place": (2, 3)}
  shown = tiny.observation(follower.policy_spec, 2)
  first, key = np.ones(2, bool), jax.random.key(1)
  action, carry, _ = follower.act(params, carry, {**shown, "event/contact": 1}, first, key, explore=True)
  np.testing.assert_array_equal(action, shown["goal/place"][:, :2])
  action, carry = follower.choose(params, follower.imagine(params, carry, key), key)
  np.testing.assert_array_equal(action, shown["goal/place"][:, :2])
  np.testing.assert_array_equal(carry["hidden"]["goal/place"], shown["goal/place"])


def test_a_behaviour_whose_observation_is_not_shown_is_refused():
  with pytest.raises(
    ValueError, match="needs the observation 'goal/place', and the environment shows image, place: ch"
  ):
    agent(PLAIN, Follows())


def test_a_glance_is_the_first_step_of_an_episode():
  config = agent(PLAIN).config.world_model
  world, _ = plain.randomised(lambda: config.build(PLAIN, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)))
  shown, key = tiny.observation(PLAIN, 2, 3), jax.random.key(2)
  rows = jax.tree.map(lambda x: x.reshape(6, *x.shape[2:]), shown)
  before = {name: jnp.ones_like(x) for name, x in world.initial(6).items()}

  def glance(world, shown):
    image_key, sample_key = jax.random.split(key)  # as `observe_step` has it
    return world.glance(world.encode(shown, image_key), sample_key)

  def first(world, rows, before):
    return world.features(world.observe_step(before, jnp.ones((6, 2)), rows, jnp.ones(6, bool), key))

  found = plain.call(world, glance, shown)
  assert found.shape == (2, 3, world.feature_size)
  np.testing.assert_allclose(found.reshape(6, -1), plain.call(world, first, rows, before), rtol=1e-5, atol=1e-6)
