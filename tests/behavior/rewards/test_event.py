"""The price of an event: beside another reward, in a room with a wall, and of a model that foresees none."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.behavior.base import Situation
from dreamerax.behavior.exploring import Exploring
from dreamerax.behavior.goals.world import with_goals
from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.event import EventReward
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.nets.heads import BinaryHead
from dreamerax.presets import build
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from dreamerax.world_model.objectives.event_forecast import EventForecast
from tests import tiny
from tests.behavior.small_world import ACTION, F, make_world

SPEC = EnvSpec({"x": ArraySpec((F,)), "goal/x": ArraySpec((F,))}, ActionSpec(ACTION))
BUMP = "event/bump"


def wall(x: jax.Array) -> jax.Array:
  """Likely near the line from (0, -1.2) to (0, 0.2), which stands between start and goal."""
  return jax.nn.sigmoid(20 * (0.3 - jnp.hypot(x[..., 0], jnp.maximum(jnp.abs(x[..., 1] + 0.5) - 0.7, 0))))


WORLD = make_world(0.3)._replace(
  step=lambda latent, action, key: {"x": latent["x"] + 0.3 * action},
  event_probabilities=lambda features: {BUMP: wall(features)},
)


@pytest.mark.parametrize(("weight", "bumps"), [(0.0, True), (-5.0, False)])
def test_a_planner_goes_around_the_wall_for_its_price_and_through_it_for_none(weight: float, bumps: bool):
  planning = Planning(MPPI(horizon=10, candidates=256, elites=32, iterations=4))
  config = Rewarded(Rewarded(planning, EventReward(BUMP, weight)), GoalDistance())
  module = config.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  assert module.needs == ("goal/x",) and module.events == (BUMP,)
  goal = {"goal/x": jnp.array([[1.0, 0.0]])}

  @jax.jit
  def decide(x, memory, key):
    action, memory = module.act(WORLD, Situation({"x": x}, memory, goal, {}), key, explore=False)
    return x + 0.3 * action, memory

  x, memory, met = jnp.array([[-1.0, 0.0]]), module.initial_memory(1), []
  for key in jax.random.split(jax.random.key(0), 14):
    x, memory = decide(x, memory, key)
    met.append(float(wall(x)[0]))
  assert max(met) > 0.9 if bumps else max(met) < 0.1
  np.testing.assert_allclose(x[0], goal["goal/x"][0], atol=0.2)


def test_the_price_is_added_to_the_worlds_reward():
  reward = EventReward(BUMP, -2.0).build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  x = np.random.default_rng(0).normal(size=(5, F)).astype(np.float32)
  np.testing.assert_allclose(reward(WORLD, x), WORLD.reward(x) - 2 * wall(x), rtol=1e-6)


def test_the_price_is_that_of_the_state_whatever_size_the_goal_has():
  reward = EventReward(BUMP, -2.0).build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  rng = np.random.default_rng(0)
  for size in (1, F, 3):
    x, goal = rng.normal(size=(5, F)).astype(np.float32), rng.normal(size=(5, size)).astype(np.float32)
    told = with_goals(WORLD, lambda features, goal: jnp.zeros(len(features)), size)
    np.testing.assert_allclose(reward(told, jnp.concatenate([x, goal], -1)), -2 * wall(x), rtol=1e-6)


def test_a_model_that_does_not_foresee_the_event_is_refused():
  config = tiny.config()
  spec = EnvSpec({**tiny.VECTOR.observation, BUMP: ArraySpec((1,))}, ActionSpec(2))
  priced = Rewarded(config.behavior, EventReward(BUMP))
  for behavior in (priced, Exploring(config.behavior, priced)):
    with pytest.raises(
      ValueError, match="asks for the probability of 'event/bump', and the world model foresees no event"
    ):
      Agent(replace(config, behavior=behavior), spec)
  forecast = EventForecast((BUMP,), head=BinaryHead(layers=1, units=4))
  objectives = {**config.world_model.objectives, "events": forecast}
  agent = Agent(replace(config, behavior=priced, world_model=replace(config.world_model, objectives=objectives)), spec)
  twice = {**objectives, "more": replace(forecast, scale=0.5)}
  with pytest.raises(ValueError, match="objectives: two of them have a loss called 'events/bump'"):
    Agent(replace(config, world_model=replace(config.world_model, objectives=twice)), spec)
  assert agent.parameter_count() > 0


def test_the_preset_refuses_other_environments_by_name():
  agent, image = build("events").agent, ArraySpec((48, 48, 3), "uint8")
  with pytest.raises(ValueError, match="event 'event/contact' is not shown: the environment's events are none"):
    Agent(agent, EnvSpec({"image": image, "goal/image": image}, ActionSpec(2)))
  with pytest.raises(ValueError, match="needs the observation 'goal/image'"):
    Agent(agent, EnvSpec({"image": image, "event/contact": ArraySpec((1,))}, ActionSpec(2)))
