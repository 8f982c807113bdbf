"""Embed to Control's objective against loops, and what it leaves out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.dynamics.propagated import Propagated, PropagatedModule
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.dynamics.transitions import LocallyLinear
from dreamerax.nets.decoders import ConvDecoder
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from dreamerax.world_model.objectives.base import Seen, Sizes
from dreamerax.world_model.objectives.foresight import Foresight
from tests import plain

B, T, N, EMBED, ACTION = 2, 4, 2, 3, 2
SPEC = EnvSpec({"x": ArraySpec((EMBED,)), "goal/x": ArraySpec((EMBED,))}, ActionSpec(ACTION))
CONFIG = Foresight(ConvDecoder(units=5, layers=1), scale=2.0, consistency=0.3, normality=0.7)
DYNAMICS = Propagated(LocallyLinear(layers=1, units=4), FactoredGaussian(dims=N), layers=0)


class Parts(NamedTuple):
  """A world model of the two parts that the objective needs."""

  dynamics: PropagatedModule

  def features(self, latent):
    return latent["stoch"]


def build():
  def both():
    rngs = nnx.Rngs(0)
    how = {"dtype": jnp.float32, "rngs": rngs}
    return nnx.Dict(
      dynamics=DYNAMICS.build(EMBED, ACTION, **how), objective=CONFIG.build(Sizes(EMBED, N, 0), SPEC, **how)
    )

  return plain.randomised(both)


@pytest.fixture(scope="module")
def case():
  """Parts, their parameters, and steps; an episode begins within the first sequence."""
  modules, params = build()
  rng = np.random.default_rng(0)
  x = rng.normal(size=(B, T, EMBED)).astype(np.float32)
  action = rng.normal(size=(B, T, ACTION)).astype(np.float32)
  first = np.zeros((B, T), bool)
  first[0, 2] = True
  flags = np.zeros((B, T), bool)
  return modules, params, Transition({"x": x, "goal/x": x}, action, np.zeros((B, T)), first, flags, flags)


def run(modules, params, steps, x, name=None):
  """All losses, what was seen and the predicted latents; or one loss alone."""
  bound = with_params(modules, params)
  dynamics, objective = bound["dynamics"], bound["objective"]
  start = dynamics.initial(B)
  latents, posterior = dynamics.observe(
    start, jnp.asarray(steps.action), x, jnp.asarray(steps.is_first), jax.random.key(0)
  )
  seen = Seen(steps.observation, x, latents, posterior, dynamics.prior(latents))
  losses = objective.losses({}, Parts(dynamics), seen, steps, jnp.int32(0), jax.random.key(1))
  before = jax.tree.map(lambda a: a[:, :-1], latents)
  predicted = dynamics.imagine_step(before, jnp.asarray(steps.action[:, 1:]), jax.random.key(1))
  return losses if name is None else losses[name].mean(), (seen, predicted, losses)


def decoded(params, stoch):
  net = params["objective"]["decoder"]
  return plain.linear(net["heads"]["x"], plain.mlp(net["mlp"], np.float64(stoch)[None]))[0]


def gaussian(stats):
  stats = np.float64(stats)
  factor = stats[N:].reshape(N, N) + np.eye(N)
  return stats[:N], factor @ factor.T


def dense_kl(one, other):
  (mean, cov), (other_mean, other_cov) = one, other
  inverse, gap = np.linalg.inv(other_cov), other_mean - mean
  volumes = np.linalg.slogdet(other_cov)[1] - np.linalg.slogdet(cov)[1]
  return 0.5 * (np.trace(inverse @ cov) + gap @ inverse @ gap - N + volumes)


def test_losses_equal_loops(case):
  modules, params, steps = case
  x = steps.observation["x"]
  _, (seen, predicted, losses) = jax.jit(lambda p: run(modules, p, steps, jnp.asarray(x)))(params_of(modules))
  truth = np.sign(x) * np.log1p(np.abs(np.float64(x)))  # vectors are compared in symlog space
  own, normal, foreseen, agree = [], [], [], []
  for b in range(B):
    for t in range(T):
      own.append(((decoded(params, seen.latents["stoch"][b, t]) - truth[b, t]) ** 2).sum())
      normal.append(dense_kl(gaussian(seen.posterior[b, t]), (np.zeros(N), np.eye(N))))
      if t and not steps.is_first[b, t]:
        foreseen.append(((decoded(params, predicted["stoch"][b, t - 1]) - truth[b, t]) ** 2).sum())
        agree.append(dense_kl(gaussian(seen.prior[b, t]), gaussian(seen.posterior[b, t])))
  assert len(foreseen) == B * (T - 1) - 1
  expected = {"reconstruction/x": own, "foresight/x": foreseen, "consistency": agree, "normality": normal}
  assert losses.keys() == expected.keys() == modules["objective"].scales.keys()
  for name, rows in expected.items():
    assert losses[name].mean() == pytest.approx(np.mean(rows), rel=2e-3), name
  scales = {"reconstruction/x": 2.0, "foresight/x": 2.0, "consistency": 0.3, "normality": 0.7}
  assert modules["objective"].scales == scales


@pytest.mark.parametrize("name", ["foresight/x", "consistency"])
def test_pairs_of_two_episodes_are_left_out_and_both_ends_of_others_learn(case, name):
  modules, _, steps = case

  def loss(x):
    return run(modules, params_of(modules), steps, x, name)[0]

  x = jnp.asarray(steps.observation["x"])
  gradient = np.asarray(jax.jit(jax.grad(loss))(x))
  ends = {"foresight/x": (True, False), "consistency": (True, True)}[
    name
  ]  # of a pair: what predicts, what is predicted
  reached = np.abs(gradient).max(-1) > 1e-7
  np.testing.assert_array_equal(reached[1], [True, True, True, ends[1]])
  np.testing.assert_array_equal(reached[0], [True, ends[1], True, ends[1]])  # 1 is the last of its episode, 2 the first


def test_factors_below_zero_are_refused():
  with pytest.raises(ValueError, match="consistency=-1 must be at least 0"):
    Foresight(consistency=-1)
