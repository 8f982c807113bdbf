"""The posterior that sees the future: what of a dynamics' contract holds for it, and what its backward state knows."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.config import from_dict, to_dict
from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.smoothing import Smoothing
from dreamerax.dynamics.stochastic import Gaussian
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract

SEEING = Smoothing(GruRSSM(deter=5, hidden=6, stochastic=Gaussian(dims=4)), hidden=3, blind=0.0)


class SmoothingContract(DynamicsContract):
  """Its sequences do not equal their steps, except for the last one."""

  def test_a_sequence_equals_its_steps(self, dynamics):
    (action, embed, first), key = contract.inputs(), jax.random.key(3)

    def last(dynamics, start, *steps):
      seen, stats = dynamics.observe(start, *steps, key)
      before = jax.tree.map(lambda x: x[:, -2], seen)
      alone, alone_stats = dynamics.observe_step(before, *(x[:, -1] for x in steps), key)
      at_last = jax.tree.map(lambda x: x[:, -1], seen)
      return (dynamics.prior(at_last), stats[:, -1]), (dynamics.prior(alone), alone_stats)

    whole, single = plain.call(dynamics, last, contract.latent(dynamics), action, embed, first)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), whole, single)


class TestSmoothing(SmoothingContract):
  def make(self):
    return SEEING


class TestSmoothedEmbedding(SmoothingContract):
  def make(self):
    return Smoothing(Embedded(stochastic=Gaussian(dims=4), units=5), hidden=3)


@pytest.fixture(scope="module")
def seeing():
  return plain.randomised(lambda: contract.build(SEEING))


def stats_of(dynamics, action, embed, first, key=0):
  start = contract.latent(dynamics)
  return np.asarray(plain.call(dynamics, contract.observe, start, (action, embed, first), jax.random.key(key))[1])


def test_the_future_of_the_episode_is_seen_and_that_of_another_is_not(seeing):
  dynamics, _ = seeing
  action, embed, first = contract.inputs()
  first[:] = False
  first[0, 3] = True
  later_embed, later_action = embed.copy(), action.copy()
  later_embed[:, 3:] += 1
  later_action[:, 3:] += 1
  before = stats_of(dynamics, action, embed, first)
  for changed in ((action, later_embed), (later_action, embed)):
    after = stats_of(dynamics, *changed, first)
    np.testing.assert_array_equal(after[0, :3], before[0, :3])  # another episode begins at 3
    assert (after[1:, :3] != before[1:, :3]).any(-1).all()  # each earlier step of this one


def test_the_backward_state_equals_a_loop(seeing):
  dynamics, params = seeing
  action, embed, first = contract.inputs()
  future = plain.call(dynamics, lambda d, *args: d.future(*args), action, embed, first)
  cell = params["cell"]
  for b in range(contract.BATCH):
    after = np.zeros(3)
    for t in reversed(range(contract.LENGTH)):
      if t + 1 < contract.LENGTH and first[b, t + 1]:
        after = np.zeros(3)
      np.testing.assert_allclose(future[b, t], after, rtol=1e-4, atol=1e-5)
      inputs = plain.linear(cell["inputs"], np.concatenate([embed[b, t], action[b, t]]))
      state = plain.linear(cell["recurrent"], after)
      update, reset = (plain.sigmoid(inputs[i : i + 3] + state[i : i + 3]) for i in (0, 3))
      candidate = np.tanh(inputs[6:] + reset * state[6:])
      after = update * after + (1 - update) * candidate


def test_blind_sequences_are_filtered(seeing):
  seeing, _ = seeing
  action, embed, first = contract.inputs()
  blind, _ = plain.randomised(lambda: contract.build(Smoothing(SEEING.inner, hidden=3, blind=1.0)))
  shown = np.concatenate([embed, np.zeros((*embed.shape[:2], 3), np.float32)], -1)
  key = jax.random.split(jax.random.key(0))[1]
  start = contract.latent(blind)
  inner = plain.call(blind, lambda d, *args: d.inner.observe(*args, key)[1], start, action, shown, first)
  np.testing.assert_allclose(stats_of(blind, action, embed, first), inner, rtol=1e-5, atol=1e-6)
  assert not np.allclose(stats_of(seeing, action, embed, first), inner, atol=1e-4)


def test_half_of_the_sequences_are_blind_and_which_ones_is_drawn():
  dynamics, _ = plain.randomised(lambda: contract.build(Smoothing(SEEING.inner, hidden=3)))
  action, embed, first = (jnp.repeat(jnp.asarray(x[:1]), 40, 0) for x in contract.inputs())
  start = jax.tree.map(lambda x: jnp.zeros((40, x.shape[-1])), contract.latent(dynamics))
  stats = plain.call(dynamics, contract.observe, start, (action, embed, first), jax.random.key(0))[1]
  kinds, counts = np.unique(np.round(stats[:, 0], 4), axis=0, return_counts=True)
  assert len(kinds) == 2 and counts.min() > 8


def test_its_configuration_survives_json_and_is_checked():
  assert from_dict(Dynamics, json.loads(json.dumps(to_dict(SEEING)))) == SEEING
  with pytest.raises(ValueError, match="hidden=0 must be at least 1"):
    Smoothing(hidden=0)
  with pytest.raises(ValueError, match="blind=2 must lie between 0 and 1"):
    Smoothing(blind=2)
