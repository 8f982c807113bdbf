"""The world model as the prior of fitted dynamics: it is linearised in what a policy sees, whatever else its latent holds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from dreamerax.behavior.dynamics_prior import WorldStep, linearised
from dreamerax.behavior.goals.world import with_goal, with_goals
from dreamerax.dynamics.linear_system import LinearSystem
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.ops import linear_gaussian as lg
from tests import plain
from tests.behavior.small_world import make_world
from tests.contracts import dynamics as contract

N, HORIZON, EPISODES = 3, 4, 6


def system():
  """A linear system as a world, and its parameters."""
  dynamics, params = plain.randomised(lambda: contract.build(LinearSystem(FactoredGaussian(dims=N))))
  return make_world(0)._replace(expect=dynamics.expect_step, features=dynamics.features), dynamics, params


def test_a_linear_system_is_its_own_linear_model():
  world, dynamics, params = system()
  latent, action = jax.tree.map(lambda x: x[0], contract.latent(dynamics)), jnp.float32([0.4, -0.2])
  found = jax.jit(partial(linearised, world))(latent, action)
  assert_allclose(found.transition, np.concatenate([params["turn"], params["push"]], 1), atol=1e-5)
  assert_allclose(found.offset, 0, atol=1e-5)


def test_goals_stay_where_they_are():
  world, dynamics, params = system()
  inside = with_goals(world, lambda features, goal: -jnp.square(features - goal).sum(-1), N)
  latent = with_goal(jax.tree.map(lambda x: x[0], contract.latent(dynamics)), jnp.float32([1, 2, 3]))
  found = jax.jit(partial(linearised, inside))(latent, jnp.float32([0.4, -0.2]))
  expected = np.zeros((2 * N, 2 * N + contract.ACTION))
  expected[:N, :N], expected[:N, 2 * N :], expected[N:, N : 2 * N] = params["turn"], params["push"], np.eye(N)
  assert_allclose(found.transition, expected, atol=1e-5)


def test_a_curved_world_is_its_tangent_at_each_steps_mean():
  """x' = sin x + u: with much of the prior, the fit is cos at the step's mean state, and the noise that of all errors."""
  world = make_world(0)._replace(expect=lambda latent, action: {"x": jnp.sin(latent["x"]) + action})
  rng = np.random.default_rng(0)
  states, actions = (jnp.float32(rng.normal(size=(EPISODES, HORIZON + more, 2))) for more in (1, 0))
  fit = jax.jit(lambda x, u: lg.fit_dynamics(x, u, 1e6, WorldStep()(world, {"x": x}, x, u)))
  found = fit(states, actions)
  for t in range(HORIZON):
    mean = np.asarray(states[:, t].mean(0))
    assert_allclose(found.transition[t], np.concatenate([np.diag(np.cos(mean)), np.eye(2)], 1), atol=1e-3)
    assert_allclose(found.offset[t], np.sin(mean) - np.cos(mean) * mean, atol=1e-3)
  expected = np.einsum("hxz,bhz->bhx", found.transition, np.concatenate([states[:, :-1], actions], -1)) + found.offset
  rest = (np.asarray(states[:, 1:]) - expected).reshape(-1, 2)
  assert_allclose(found.covariance[0], rest.T @ rest / len(rest), rtol=2e-3, atol=2e-3)


def test_what_no_episode_varies_moves_as_the_world_says():
  """All episodes have one goal; the fit keeps any other where it is, too."""
  world, _, _ = system()
  inside = with_goals(world, lambda features, goal: -jnp.square(features - goal).sum(-1), N)
  rng, goal = np.random.default_rng(0), jnp.broadcast_to(jnp.float32([1, 2, 3]), (EPISODES, HORIZON + 1, N))
  latents = contract.build(LinearSystem(FactoredGaussian(dims=N))).initial(EPISODES * (HORIZON + 1))
  latents = jax.tree.map(lambda x: x.reshape(EPISODES, HORIZON + 1, -1), latents)
  latents |= {"stoch": jnp.float32(rng.normal(size=latents["stoch"].shape)), "begun": jnp.ones_like(latents["begun"])}
  actions = jnp.float32(rng.normal(size=(EPISODES, HORIZON, contract.ACTION)))
  states = jnp.concatenate([latents["stoch"], goal], -1)
  fit = jax.jit(lambda x, s, u: lg.fit_dynamics(s, u, 10.0, WorldStep()(inside, x, s, u)))
  found = fit(with_goal(latents, goal), states, actions)
  expected = np.broadcast_to(np.eye(N), (HORIZON, N, N))
  assert_allclose(found.transition[:, N:, N : 2 * N], expected, atol=2e-3)
