"""A planner as a behaviour, in a world small enough to know the best action."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.base import Situation
from dreamerax.behavior.imagination import wrap
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planners.shooting import Shooting
from dreamerax.behavior.planning import Planning
from dreamerax.nets.heads import ActorHead, TwoHotHead
from dreamerax.types import ActionSpec, EnvSpec
from tests import plain
from tests.behavior.small_world import ACTION, SPEC, F, make_world, value

ENVS = 3
LATENT = {"x": np.random.default_rng(0).normal(size=(ENVS, F)).astype(np.float32)}
WORLD = make_world(0.5)  # reward is 3 times the first entry of the state, which the first action pushes
SMALL_CEM = CEM(horizon=4, candidates=200, elites=20, iterations=6)


def build(config):
  return config.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def decide(module, memory, latent=LATENT, key=0):
  now = Situation(latent, memory, {}, {})
  return jax.jit(lambda *args: module.act(WORLD, *args, explore=True))(now, jax.random.key(key))


@pytest.mark.parametrize("planner", [SMALL_CEM, MPPI(horizon=4)])
def test_it_pushes_the_way_that_pays_in_every_environment(planner):
  module = build(Planning(planner))
  action, memory = decide(module, module.initial_memory(ENVS))
  assert action.shape == (ENVS, ACTION)
  assert (action[:, 0] > 0.9).all()
  np.testing.assert_array_equal(action, memory["plan"][:, 0])


def test_an_open_loop_plan_is_executed_to_its_end_and_then_made_anew():
  module = build(Planning(SMALL_CEM, replan_every=3))
  _, memory = decide(module, module.initial_memory(ENVS))
  plan = memory["plan"]
  elsewhere = jax.tree.map(lambda x: -x, LATENT)
  for t in (1, 2):
    action, memory = decide(module, memory, elsewhere, key=t)
    np.testing.assert_array_equal(action, plan[:, t])
  action, _ = decide(module, memory, elsewhere, key=3)
  assert not np.array_equal(action, plan[:, 3])


def test_each_environment_plans_when_its_own_plan_ends():
  module = build(Planning(SMALL_CEM, replan_every=3))
  _, memory = decide(module, module.initial_memory(ENVS))
  plan, memory = memory["plan"], {**memory, "age": jnp.array([1, 0, 1])}  # the second has just begun an episode
  action, _ = decide(module, memory, key=1)
  np.testing.assert_array_equal((np.asarray(action) == plan[:, 1]).all(-1), [True, False, True])


def test_without_a_discount_the_last_reward_counts_as_much_as_the_first():
  """Only pushing late pays here; a strong discount makes the planner indifferent to it."""
  late = WORLD._replace(
    step=lambda latent, action, key: {"x": jnp.concatenate([latent["x"][:, 1:], action[:, :1]], 1)},
    reward=lambda x: x[..., 0],
  )
  actions = []
  for discount in (1.0, 0.0):
    module = build(Planning(SMALL_CEM, discount=discount))
    act = jax.jit(lambda now, module=module: module.act(late, now, jax.random.key(0), explore=True))
    actions.append(act(Situation(LATENT, module.initial_memory(ENVS), {}, {}))[0][:, 0])
  assert (actions[0] > 0.9).all() and not (actions[1] > 0.9).any()


def test_a_plan_is_judged_by_all_members_of_an_ensemble():
  """Two members gain by a push, the third loses more; another reward, of the same states, turns all around."""
  gains = jnp.array([0.5, 0.5, -3.0])
  ensemble = WORLD._replace(members=3, member=lambda index: make_world(gains[index]))
  turned = wrap(ensemble, lambda each: each._replace(reward=lambda features: -each.reward(features)))
  module, pushed = build(Planning(SMALL_CEM)), []
  for world in (WORLD, ensemble, turned):
    act = jax.jit(lambda now, world=world: module.act(world, now, jax.random.key(0), explore=True))
    pushed.append(act(Situation(LATENT, module.initial_memory(ENVS), {}, {}))[0][:, 0])
  assert (pushed[0] > 0.9).all() and (pushed[1] < -0.9).all() and (pushed[2] > 0.9).all()


def test_a_guide_values_the_state_at_the_horizon_and_learns():
  guide = ActorCriticV2(ActorHead(layers=1, units=5), TwoHotHead(layers=1, units=5, bins=11))
  config = Planning(Shooting(horizon=1, candidates=300), discount=0.9, guide=guide)
  module, params = plain.randomised(lambda: build(config))
  action, _ = decide(module, module.initial_memory(ENVS))

  def score(latent, action):
    x = 0.9 * latent + 0.5 * np.float64(action)
    return 3 * x[0] + 1 + 0.9 * value(params["guide"]["critic"], x)

  others = np.random.default_rng(1).uniform(-1, 1, (300, ACTION))
  for latent, chosen in zip(LATENT["x"], action, strict=True):
    scores = [score(latent, other) for other in others]
    assert score(latent, chosen) > np.quantile(scores, 0.97)
  assert module.optimizers == {"guide": {"actor": guide.actor_optimizer, "critic": guide.critic_optimizer}}
  assert module.scales == {"actor": 1.0, "critic": 1.0}


def test_what_it_cannot_do_is_refused():
  with pytest.raises(ValueError, match="replan_every=5 must lie between 1 and 4"):
    Planning(SMALL_CEM, replan_every=5)
  with pytest.raises(ValueError, match="planners search continuous actions"):
    Planning(SMALL_CEM).build(
      F, EnvSpec(SPEC.observation, ActionSpec(3, discrete=True)), dtype=jnp.float32, rngs=nnx.Rngs(0)
    )
