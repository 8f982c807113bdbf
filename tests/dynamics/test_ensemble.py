"""Several priors beside their members, one by one, and beside the inner dynamics where there is one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.config import from_dict, to_dict
from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.ensemble import PriorEnsemble
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.smoothing import Smoothing
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.nets.modules import params_of
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract

INNER = GruRSSM(deter=5, hidden=6, stochastic=Gaussian(dims=4))
THREE = PriorEnsemble(INNER, members=3)
PARTS = "prior_in", "prior_out"


class TestThreeMembers(DynamicsContract):
  def make(self):
    return THREE


def member_params(params, index):
  """The parameters of the inner dynamics with one member's prior."""
  inner = params["inner"]
  return {name: jax.tree.map(lambda x: x[index], x) if name in PARTS else x for name, x in inner.items()}


def prior(params, deter):
  return plain.linear(params["prior_out"], plain.relu(plain.linear(params["prior_in"], deter)))


def moments(stats):
  mean, raw = np.split(stats, 2, -1)
  return mean, np.log1p(np.exp(raw)) + 0.1


def test_priors_and_divergence_are_those_of_the_members():
  dynamics, params = plain.randomised(lambda: contract.build(THREE))
  seen, posterior = plain.call(
    dynamics, contract.observe, contract.latent(dynamics), contract.inputs(), jax.random.key(0)
  )
  deter, priors = (
    np.float64(seen["deter"]),
    [prior(member_params(params, k), np.float64(seen["deter"])) for k in range(3)],
  )
  stats = plain.call(dynamics, type(dynamics).prior, seen)
  np.testing.assert_allclose(stats, np.concatenate(priors, -1), rtol=1e-4, atol=1e-5)
  assert deter.shape == (contract.BATCH, contract.LENGTH, 5)
  own = np.float64(posterior[..., :8])
  np.testing.assert_array_equal(posterior, np.tile(np.asarray(posterior[..., :8]), 3))
  (mean, std), divergences = moments(own), []
  for each in priors:
    other_mean, other_std = moments(each)
    terms = np.log(other_std / std) + (std**2 + (mean - other_mean) ** 2) / (2 * other_std**2) - 0.5
    divergences.append(terms.sum(-1))
  np.testing.assert_allclose(dynamics.kl(posterior, stats), np.mean(divergences, 0), rtol=1e-4, atol=1e-5)
  entropies = [(0.5 * np.log(2 * np.pi * np.e) + np.log(moments(each)[1])).sum(-1) for each in priors]
  np.testing.assert_allclose(dynamics.entropy(stats), np.mean(entropies, 0), rtol=1e-4)
  z, densities = np.float64(seen["stoch"]), []
  for each in priors:
    other_mean, other_std = moments(each)
    densities.append((-0.5 * ((z - other_mean) / other_std) ** 2 - np.log(other_std * np.sqrt(2 * np.pi))).sum(-1))
  np.testing.assert_allclose(dynamics.log_prob(seen["stoch"], stats), np.mean(densities, 0), rtol=1e-4, atol=1e-5)


def test_steps_of_a_member_are_those_of_the_inner_dynamics_with_its_prior():
  dynamics, params = plain.randomised(lambda: contract.build(THREE))
  inner = contract.build(INNER)
  start, action = contract.latent(dynamics), contract.inputs()[0][:, 0]
  key, means = jax.random.key(4), []
  for k in range(3):
    own = jax.tree.map(np.float32, member_params(params, k))
    for method, args in (("imagine_step", (start, action, key)), ("expect_step", (start, action))):
      found = plain.call(dynamics, lambda d, *a: getattr(d, f"{method}_as")(k, *a), *args)  # noqa: B023
      expected = jax.jit(lambda p, *a: getattr(nnx.merge(nnx.graphdef(inner), p), method)(*a))(own, *args)  # noqa: B023
      jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
    means.append(expected["stoch"])
  assert np.abs(means[0] - means[1]).max() > 0.1
  mean = plain.call(dynamics, type(dynamics).expect_step, start, action)
  np.testing.assert_allclose(mean["stoch"], np.mean(means, 0), rtol=1e-4, atol=1e-5)


def test_without_a_member_each_state_is_moved_by_any_of_them():
  """The members' means are far apart here, so that a sample tells whose it is."""
  dynamics, params = plain.randomised(lambda: contract.build(PriorEnsemble(INNER, members=3)))
  rows = 300
  start = jax.tree.map(lambda x: np.zeros((rows, *x.shape[1:]), np.float32), contract.latent(dynamics))
  bias = np.zeros((3, 8), np.float32)
  bias[:, 0], bias[:, 4:] = [-100, 0, 100], -9
  params = jax.tree.map(np.float32, params)
  params["inner"]["prior_out"]["bias"] = bias
  moved = nnx.merge(nnx.graphdef(dynamics), params)
  stoch = plain.call(moved, type(moved).imagine_step, start, np.zeros((rows, 2), np.float32), jax.random.key(0))[
    "stoch"
  ]
  whose = np.round(np.asarray(stoch[:, 0]) / 100)
  counts = np.array([(whose == member).sum() for member in (-1, 0, 1)])
  assert counts.sum() == rows
  assert counts.min() > 60


def test_one_member_is_the_inner_dynamics_to_the_bit():
  one, inner = (contract.build(config) for config in (PriorEnsemble(INNER, members=1), INNER))
  jax.tree.map(np.testing.assert_array_equal, member_params(params_of(one), 0), params_of(inner))
  start, steps, key = contract.latent(inner), contract.inputs(), jax.random.key(0)

  def loss_and_steps(dynamics, start, steps):
    seen, stats = contract.observe(dynamics, start, steps, key)
    last = jax.tree.map(lambda x: x[:, -1], seen)
    moved = dynamics.imagine_step(last, steps[0][:, 0], key), dynamics.expect_step(last, steps[0][:, 0])
    return seen, stats, dynamics.prior(seen), dynamics.kl(stats, dynamics.prior(seen)), moved

  whole = [plain.call(each, loss_and_steps, start, steps) for each in (one, inner)]
  jax.tree.map(np.testing.assert_array_equal, *whole)


def test_members_begin_apart_and_one_more_leaves_the_first_as_it_is():
  kernels = params_of(contract.build(PriorEnsemble(INNER, members=40)))["inner"]["prior_in"]["kernel"]
  assert kernels.shape == (40, 5, 6)
  assert len(np.unique(np.asarray(kernels[:, 0, 0]))) == 40
  np.testing.assert_array_equal(kernels[0], params_of(contract.build(INNER))["prior_in"]["kernel"])


def test_smoothing_around_an_ensemble_has_its_members():
  dynamics = contract.build(Smoothing(THREE, hidden=3))
  assert dynamics.members == 3
  start, action = contract.latent(dynamics), contract.inputs()[0][:, 0]

  def steps(dynamics, start, action):
    of_two = dynamics.expect_step_as(2, start, action), dynamics.imagine_step_as(2, start, action, jax.random.key(0))
    inner = dynamics.inner
    return of_two, (inner.expect_step_as(2, start, action), inner.imagine_step_as(2, start, action, jax.random.key(0)))

  found, expected = plain.call(dynamics, steps, start, action)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_configurations_survive_json():
  assert from_dict(Dynamics, json.loads(json.dumps(to_dict(THREE)))) == THREE


def test_what_makes_no_sense_is_refused():
  with pytest.raises(ValueError, match="members=0 must be at least 1"):
    PriorEnsemble(members=0)
  with pytest.raises(
    ValueError, match=r"dynamics\.inner=Embedded has no prior that stands apart: choose RSSM or GruRSSM"
  ):
    contract.build(PriorEnsemble(Embedded()), jnp.float32)
