"""The linear system beside one dense Gaussian over all states of a sequence: messages, marginals, divergences, the filter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dreamerax.dynamics.linear_system import LinearSystem
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.nets.modules import with_params
from dreamerax.ops import potentials
from dreamerax.ops.potentials import Potential
from tests import plain
from tests.contracts import dynamics as contract
from tests.dynamics.test_smoothing import SmoothingContract

N, T, COUNT = 3, 5, 20_000
SYSTEM = LinearSystem(FactoredGaussian(dims=N), units=5)


@pytest.mark.slow
class TestLinearSystem(SmoothingContract):
  def make(self):
    return SYSTEM


class Case:
  """A system with parameters A, B, D, one episode, and the blocks of its densities over all states, z_1 to z_T in a row."""

  def __init__(self):
    dynamics, params = plain.randomised(lambda: contract.build(SYSTEM))
    rng = np.random.default_rng(1)
    params |= {"turn": 0.6 * rng.normal(size=(N, N)), "log_deviation": rng.uniform(-2, 0, N)}
    self.dynamics = with_params(dynamics, jax.tree.map(jnp.float32, params))
    self.turn, self.push, self.noise = params["turn"], params["push"], np.exp(2 * params["log_deviation"])
    action, embed, first = contract.inputs(T)
    first[:], first[:, 0] = False, True
    self.steps = action[:1], embed[:1], first[:1]
    mean, raw = np.split(plain.linear(params["out"], embed[0]), 2, -1)
    self.seen = 1 / (plain.softplus(raw) + SYSTEM.min_std) ** 2  # diagonals of the potentials' precisions [T, N]
    self.told = self.seen * mean

  def prior(self, begin=0):
    """Precision and linear term of the states from `begin` on; but for N(0, I) where that is not the first."""
    count = T - begin
    precision, linear = np.zeros((count * N, count * N)), np.zeros(count * N)
    if begin == 0:
      precision[:N, :N] = np.eye(N)
    for t in range(count - 1):
      # -½ |z' - A z - b|² in the metric of the noise.
      error = np.concatenate([-self.turn, np.eye(N)], 1)
      both, moved = slice(t * N, (t + 2) * N), self.push @ self.steps[0][0, begin + t + 1]
      precision[both, both] += error.T @ (error / self.noise[:, None])
      linear[both] += error.T @ (moved / self.noise)
    return precision, linear

  def posterior(self, begin=0, end=T):
    """`prior` times the potentials of the observations before `end`."""
    precision, linear = self.prior(begin)
    known = (np.arange(begin, T) < end)[:, None]
    precision = precision + np.diag((self.seen[begin:] * known).ravel())
    return precision, linear + (self.told[begin:] * known).ravel()


@pytest.fixture(scope="module")
def case():
  return Case()


@pytest.fixture(scope="module")
def observed(case):
  """Latents and statistics of the episode, observed COUNT times."""
  steps = [np.repeat(x, COUNT, 0) for x in case.steps]
  start = case.dynamics.initial(COUNT)
  latents, stats = plain.call(case.dynamics, contract.observe, start, steps, jax.random.key(0))
  return {**latents, "kl": case.dynamics.kl(stats, case.dynamics.prior(latents))}, stats


def rows(t):
  return slice(t * N, (t + 1) * N)


def test_messages_integrate_the_later_states_out(case):
  own = Potential(jnp.float32([np.diag(x) for x in case.seen])[:, None], jnp.float32(case.told)[:, None])
  moved = jnp.float32(case.steps[0] @ case.push.T).swapaxes(0, 1)
  first = jnp.asarray(case.steps[2]).T
  arguments = (jnp.float32(case.turn), moved, jnp.float32(np.sqrt(case.noise)))
  found = jax.jit(potentials.messages)(own, *arguments, first)
  for t in range(T):
    precision, linear = case.posterior(t)
    if t == 0:
      precision[:N, :N] -= np.eye(N)
    here, later = precision[:N, N:], precision[N:, N:]
    shift = here @ np.linalg.solve(later, np.concatenate([here.T, linear[N:, None]], 1)) if t < T - 1 else 0
    expected = np.concatenate([precision[:N, :N], linear[:N, None]], 1) - shift
    assert_allclose(found.precision[t, 0], expected[:, :N], rtol=1e-4, atol=1e-4)
    assert_allclose(found.linear[t, 0], expected[:, N], rtol=1e-4, atol=1e-4)
  cut = jax.jit(potentials.messages)(own, *arguments, first.at[3].set(True))
  assert_allclose(cut.precision[2], own.precision[2])  # another episode follows
  assert_allclose(cut.linear[3:], found.linear[3:])


def test_each_state_is_drawn_from_the_posterior_given_the_one_before_it(case, observed):
  latents, stats = observed
  precision, linear = case.posterior()
  for t in range(T):
    own, before = rows(t), rows(t - 1)
    # Of z_t given z_t-1: later states are integrated out, earlier ones do not matter.
    rest = slice((t + 1) * N, None)
    later = precision[own, rest] @ np.linalg.inv(precision[rest, rest])
    conditional = precision[own, own] - later @ precision[rest, own]
    drive = linear[own] - later @ linear[rest]
    if t > 0:
      drive = drive - precision[own, before] @ np.asarray(latents["stoch"][0, t - 1])
    mean, factor = case.dynamics.stochastic.mean_and_factor(stats[0, t])
    assert_allclose(mean, np.linalg.solve(conditional, drive), rtol=1e-4, atol=1e-4)
    assert_allclose(factor @ factor.T, np.linalg.inv(conditional), rtol=1e-4, atol=1e-5)


def test_samples_have_the_marginals_and_the_divergences_add_up_to_that_of_the_sequence(case, observed):
  precision, linear = case.posterior()
  covariance, drawn = np.linalg.inv(precision), np.asarray(observed[0]["stoch"]).reshape(COUNT, -1)
  deviation = np.sqrt(np.diag(covariance))
  assert (np.abs(drawn.mean(0) - covariance @ linear) < 5 * deviation / np.sqrt(COUNT)).all()
  scaled = (np.cov(drawn.T) - covariance) / np.outer(deviation, deviation)
  assert np.abs(scaled).max() < 6 / np.sqrt(COUNT)  # all pairs of states, not those of a step alone
  prior, drive = case.prior()
  gap = covariance @ linear - np.linalg.solve(prior, drive)
  logs = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(prior)[1]
  expected = (np.trace(prior @ covariance) + gap @ prior @ gap - N * T + logs) / 2
  found = np.asarray(observed[0]["kl"]).sum(1)
  assert found.std() > 0
  assert_allclose(found.mean(), expected, atol=5 * found.std() / np.sqrt(COUNT))


def test_acting_is_the_kalman_filter_and_its_last_belief_the_smoothers(case, observed):
  latent, step = case.dynamics.initial(1), jax.jit(case.dynamics.observe_step)
  for t in range(T):
    latent, stats = step(latent, *(x[:, t] for x in case.steps), jax.random.key(t))
    precision, linear = case.posterior(end=t + 1)  # given what was seen so far; later states are free
    covariance = np.linalg.inv(precision)
    spread = np.asarray(latent["spread"]).reshape(N, N)
    assert_allclose(latent["stoch"][0], (covariance @ linear)[rows(t)], rtol=1e-4, atol=1e-4)
    assert_allclose(spread @ spread.T, covariance[rows(t), rows(t)], rtol=1e-4, atol=1e-5)
    mean, _ = case.dynamics.stochastic.mean_and_factor(stats)
    np.testing.assert_array_equal(mean, latent["stoch"])
  drawn = np.asarray(observed[0]["stoch"][:, -1])  # of the smoother
  deviation = np.sqrt(np.diag(spread @ spread.T))
  assert (np.abs(drawn.mean(0) - latent["stoch"][0]) < 5 * deviation / np.sqrt(COUNT)).all()


def test_imagining_goes_on_from_the_belief(case):
  belief = jax.tree.map(lambda x: x[0], contract.latent(case.dynamics))
  action = np.array([0.3, -0.7], np.float32)
  spread = belief["spread"].reshape(N, N)
  following = plain.call(case.dynamics, lambda d, *args: d.expect_step(*args), belief, action)
  mean, factor = case.dynamics.stochastic.mean_and_factor(following["prior"])
  assert_allclose(mean, case.turn @ belief["stoch"] + case.push @ action, rtol=1e-4, atol=1e-5)
  expected = case.turn @ spread @ spread.T @ case.turn.T + np.diag(case.noise)
  assert_allclose(factor @ factor.T, expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(following["stoch"], mean)
  nothing = jax.tree.map(lambda x: x[0], case.dynamics.initial(1))
  first = plain.call(case.dynamics, lambda d, *args: d.expect_step(*args), nothing, action)
  np.testing.assert_array_equal(first["prior"], 0)  # N(0, I), whatever the action
  np.testing.assert_array_equal(first["begun"], 1)


def test_a_wide_first_state_leaves_a_single_observation_where_it_is():
  wide = LinearSystem(FactoredGaussian(dims=N), first_std=1e3, start_push=0.5)
  dynamics, params = plain.randomised(lambda: contract.build(wide))
  embed = contract.inputs(T)[1][:, 0]
  count = len(embed)
  still, first = np.zeros((count, contract.ACTION), np.float32), np.ones(count, bool)
  latent, _ = jax.jit(dynamics.observe_step)(dynamics.initial(count), still, embed, first, jax.random.key(0))
  mean, raw = np.split(plain.linear(params["out"], embed), 2, -1)
  assert_allclose(latent["stoch"], mean, rtol=1e-3, atol=1e-3)
  spread = np.asarray(latent["spread"]).reshape(count, N, N)
  deviation = plain.softplus(raw) + wide.min_std
  assert_allclose(spread @ spread.mT, deviation[:, None] * np.eye(N) * deviation[:, None], rtol=1e-3, atol=1e-4)


def test_actions_push_along_the_axes_in_the_beginning():
  system = contract.build(LinearSystem(FactoredGaussian(dims=N), start_push=0.5))
  assert_allclose(system.project_action(jnp.eye(contract.ACTION)), 0.5 * np.eye(contract.ACTION, N))


def test_what_makes_no_sense_is_refused():
  with pytest.raises(ValueError, match="min_std=0 must be more than 0"):
    LinearSystem(min_std=0)
  with pytest.raises(ValueError, match="start_std=-1 must be more than 0"):
    LinearSystem(start_std=-1)
  with pytest.raises(ValueError, match="first_std=0 must be more than 0"):
    LinearSystem(first_std=0)
  with pytest.raises(ValueError, match="start_push=0 must be more than 0"):
    LinearSystem(start_push=0)
