"""What every planner promises, as tests to inherit: a subclass says how to build one."""

import abc
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.behavior.planners.base import Planner

HORIZON, ACTION = 3, 2
GOAL = np.array([3.0, -3.0], np.float32)
START = np.zeros(ACTION, np.float32)
NOTHING = np.zeros((HORIZON, ACTION), np.float32)


class PlannerContract(abc.ABC):
  """Name a subclass `Test...`; its planner should try few candidates."""

  @abc.abstractmethod
  def make(self, horizon: int) -> Planner: ...

  @pytest.fixture
  def plan(self):
    return compiled(self.make(HORIZON))

  def test_a_plan_stays_within_the_bounds_and_gets_nearer(self, plan):
    actions = plan(jax.random.key(0), START, NOTHING)
    assert actions.shape == (HORIZON, ACTION)
    assert np.abs(actions).max() <= 1
    assert distance(START, actions) < 0.8 * distance(START, NOTHING)

  def test_the_key_decides(self, plan):
    actions = plan(jax.random.key(0), START, NOTHING)
    np.testing.assert_array_equal(plan(jax.random.key(0), START, NOTHING), actions)
    assert not np.allclose(plan(jax.random.key(1), START, NOTHING), actions, atol=1e-6)

  def test_environments_do_not_disturb_each_other(self, plan):
    rng = np.random.default_rng(0)
    keys = jax.random.split(jax.random.key(0), 3)
    start = rng.normal(size=(3, ACTION)).astype(np.float32)
    previous = rng.uniform(-1, 1, (3, HORIZON, ACTION)).astype(np.float32)
    together = jax.jit(jax.vmap(functools.partial(plan_from, self.make(HORIZON))))(keys, start, previous)
    alone = [plan(*inputs) for inputs in zip(keys, start, previous, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-3)

  def test_states_may_be_any_tree(self, plan):
    def rollout(actions, key):
      states = moved(START, actions)
      return {"x": states[..., 0], "rest": (states[..., 1:],)}

    def objective(tree):
      return closeness(jnp.concatenate([tree["x"][..., None], *tree["rest"]], -1))

    search = jax.jit(lambda key: self.make(HORIZON).plan(key, rollout, objective, jnp.asarray(NOTHING)))
    np.testing.assert_allclose(search(jax.random.key(0)), plan(jax.random.key(0), START, NOTHING), atol=1e-3)

  def test_each_rollout_draws_anew(self):
    drawn = []

    def rollout(actions, key):
      jax.debug.callback(lambda data: drawn.append(tuple(data.tolist())), jax.random.key_data(key))
      return moved(START, actions)

    jax.jit(lambda key: self.make(HORIZON).plan(key, rollout, closeness, jnp.asarray(NOTHING)))(jax.random.key(0))
    jax.effects_barrier()
    assert drawn
    assert len(set(drawn)) == len(drawn)

  def test_a_horizon_of_one_step(self):
    actions = compiled(self.make(1))(jax.random.key(0), START, NOTHING[:1])
    assert actions.shape == (1, ACTION)
    assert distance(START, actions) < distance(START, NOTHING[:1])

  def test_other_shapes_are_refused(self):
    planner, key = self.make(HORIZON), jax.random.key(0)
    with pytest.raises(AssertionError):
      plan_from(planner, key, START, jnp.zeros((HORIZON + 1, ACTION)))
    with pytest.raises(AssertionError):
      planner.plan(key, lambda actions, key: actions, lambda states: states.sum(2), jnp.asarray(NOTHING))

  def test_a_horizon_of_none_is_refused(self):
    with pytest.raises(ValueError, match="horizon=0 must be at least 1"):
      self.make(0)


def moved(start, actions):
  """A point that every action moves: [N, H, A]."""
  return start + jnp.cumsum(actions, 1)


def closeness(states):
  return -jnp.square(states - GOAL).sum((1, 2))


def plan_from(planner: Planner, key, start, previous):
  """The plan for a point that is to reach the goal, and can just do so at full speed."""
  return planner.plan(key, lambda actions, key: moved(start, actions), closeness, previous)


@functools.cache
def compiled(planner: Planner):
  return jax.jit(functools.partial(plan_from, planner))


def distance(start, actions) -> float:
  """Squared, summed over the steps, in NumPy."""
  return float(np.square(start + np.cumsum(actions, 0) - GOAL).sum())
