"""What every planner promises, and what those promise that draw, as tests to inherit: a subclass says how to build one."""

import abc
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.behavior.planners.base import Planner, Problem

ENVS, HORIZON, ACTION, CARTS = 3, 3, 2, 16
GOAL = np.array([3.0, -3.0], np.float32)
STARTS = np.zeros((ENVS, ACTION), np.float32)
NOTHING = np.zeros((ENVS, HORIZON, ACTION), np.float32)


class PlannerContract(abc.ABC):
  """Name a subclass `Test...`; its planner should try few candidates."""

  @abc.abstractmethod
  def make(self, horizon: int) -> Planner: ...

  @pytest.fixture
  def plans(self):
    return compiled(self.make(HORIZON))

  def test_plans_stay_within_the_bounds_and_get_nearer(self, plans):
    actions = plans(keys(0, 1, 2), STARTS, NOTHING)
    assert actions.shape == (ENVS, HORIZON, ACTION)
    assert np.abs(actions).max() <= 1
    assert (distance(STARTS, actions) < 0.8 * distance(STARTS, NOTHING)).all()

  def test_the_same_key_gives_the_same_plan(self, plans):
    one, _, again = plans(keys(0, 1, 0), STARTS, NOTHING)
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, plans(keys(0, 1, 2), STARTS, NOTHING)[0])

  def test_a_plan_is_worth_more_than_doing_nothing_from_anywhere(self):
    """Of a cart that is to reach the goal and stop there, on a slope that differs from start to start."""
    planner = self.make(8)
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(CARTS, 2)).astype(np.float32) for _ in range(3)]
    nothing = jnp.zeros((CARTS, 8, 2))

    def plan_and_score(key, position, speed, slope, previous):
      problem = cart(position, speed, slope)
      plan = planner.plan(key, problem, previous)
      return plan, problem.score(jnp.stack([plan, previous]), key)

    plans, scores = jax.jit(jax.vmap(plan_and_score))(jax.random.split(jax.random.key(0), CARTS), *starts, nothing)
    assert np.abs(plans).max() <= 1
    assert (scores[:, 0] > scores[:, 1]).all()

  def test_an_environment_alone_gets_the_plan_it_gets_among_others(self, plans):
    rng = np.random.default_rng(0)
    starts = rng.normal(size=STARTS.shape).astype(np.float32)
    previous = rng.uniform(-1, 1, NOTHING.shape).astype(np.float32)
    alone, _ = compiled_alone(self.make(HORIZON))
    expected = [alone(*inputs) for inputs in zip(keys(0, 1, 2), starts, previous, strict=True)]
    np.testing.assert_allclose(plans(keys(0, 1, 2), starts, previous), expected, atol=1e-3)

  def test_a_horizon_of_one_step(self):
    actions = compiled(self.make(1))(keys(0, 1, 2), STARTS, NOTHING[:, :1])
    assert actions.shape == (ENVS, 1, ACTION)
    assert (distance(STARTS, actions) < distance(STARTS, NOTHING[:, :1])).all()

  def test_other_shapes_are_refused(self):
    planner, key = self.make(HORIZON), jax.random.key(0)
    with pytest.raises(AssertionError):
      plan_from(planner, key, STARTS[0], jnp.zeros((HORIZON + 1, ACTION)))
    with pytest.raises(AssertionError):
      planner.plan(key, point(STARTS[0])._replace(reward=lambda states: states), jnp.asarray(NOTHING[0]))

  def test_a_horizon_of_none_is_refused(self):
    with pytest.raises(ValueError, match="horizon=0 must be at least 1"):
      self.make(0)


class SamplingPlannerContract(PlannerContract):
  """Of planners that compare random plans along rollouts that may be random too."""

  def test_another_key_gives_another_plan(self, plans):
    one, other, _ = plans(keys(0, 1, 0), STARTS, NOTHING)
    assert not np.allclose(one, other, atol=1e-6)

  def test_each_step_of_each_rollout_draws_anew(self):
    alone, drawn = compiled_alone(self.make(HORIZON))
    drawn.clear()
    alone(jax.random.key(0), STARTS[0], NOTHING[0])
    jax.effects_barrier()
    assert drawn
    assert len(set(drawn)) == len(drawn)


def point(start) -> Problem:
  """A point [A] that actions move, is to reach the goal, and can just do so at full speed."""
  return Problem(
    start=start,
    step=lambda states, actions, key: states + actions,
    expect=lambda states, actions: states + actions,
    reward=closeness,
  )


def cart(position, speed, slope) -> Problem:
  """Carts in two dimensions: position, speed and slope [2] are states, actions are forces."""

  def expect(states, actions):
    position, speed, slope = states
    speed = 0.9 * speed + 0.3 * actions - 0.1 * jnp.sin(slope + position)
    return position + 0.3 * speed, speed, slope

  return Problem(
    start=(position, speed, slope),
    step=lambda states, actions, key: expect(states, actions),
    expect=expect,
    reward=lambda states: closeness(states[0]),
    value=lambda states: 3 * closeness(states[0]) - jnp.square(states[1]).sum(1),
    discount=0.95,
  )


def closeness(states):
  return -jnp.square(states - GOAL).sum(1)


def plan_from(planner: Planner, key, start, previous):
  return planner.plan(key, point(start), previous)


@functools.cache
def compiled(planner: Planner):
  """`plan_from` for ENVS points at once."""
  return jax.jit(jax.vmap(functools.partial(plan_from, planner)))


@functools.cache
def compiled_alone(planner: Planner):
  """`plan_from` for one point, with states in a tree; and a list that gets the key of each step."""
  drawn = []

  def expect(tree, actions):
    return {"x": tree["x"] + actions[:, 0], "rest": (tree["rest"][0] + actions[:, 1:],)}

  def step(tree, actions, key):
    jax.debug.callback(lambda data: drawn.append(tuple(data.tolist())), jax.random.key_data(key))
    return expect(tree, actions)

  @jax.jit
  def plan(key, start, previous):
    problem = Problem(
      start={"x": start[0], "rest": (start[1:],)},
      step=step,
      expect=expect,
      reward=lambda tree: closeness(jnp.concatenate([tree["x"][:, None], *tree["rest"]], 1)),
    )
    return planner.plan(key, problem, previous)

  return plan, drawn


def keys(*seeds: int) -> jax.Array:
  return jax.vmap(jax.random.key)(jnp.array(seeds))


def distance(starts, actions) -> np.ndarray:
  """[ENVS] squared, summed over the steps, in NumPy."""
  return np.square(starts[:, None] + np.cumsum(actions, 1) - GOAL).sum((1, 2))
