"""PC3's objective against loops, and what it leaves out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.dynamics.point_embedding import PointEmbedded, PointEmbeddedModule
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.dynamics.transitions import Residual
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from dreamerax.world_model.objectives.base import Seen, Sizes
from dreamerax.world_model.objectives.predictive_coding import PredictiveCoding, curvature
from tests import plain
from tests.contracts.dynamics import DynamicsContract

B, T, N, EMBED, ACTION = 2, 4, 2, 3, 2
SPEC = EnvSpec({"x": ArraySpec((EMBED,))}, ActionSpec(ACTION))
DYNAMICS = PointEmbedded(Residual(layers=1, units=4, activation="elu"), Gaussian(dims=N, min_std=0.01), layers=0)
OBJECTIVE = PredictiveCoding(noise=0.0).build(Sizes(EMBED, N, 0), SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


class TestPointEmbedded(DynamicsContract):
  def make(self):
    return PointEmbedded(Residual(layers=1, units=4), Gaussian(dims=3, min_std=1e-3))


class Parts(NamedTuple):
  """The part of a world model that the objective needs."""

  dynamics: PointEmbeddedModule

  def features(self, latent):
    return latent["stoch"]


def build(config=DYNAMICS):
  return plain.randomised(lambda: config.build(EMBED, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0)))


@pytest.fixture(scope="module")
def steps():
  """An episode begins within the first sequence."""
  rng = np.random.default_rng(0)
  action = rng.normal(size=(B, T, ACTION)).astype(np.float32)
  first, flags = np.zeros((B, T), bool), np.zeros((B, T), bool)
  first[0, 2] = True
  x = rng.normal(size=(B, T, EMBED)).astype(np.float32)
  return Transition({"x": x}, action, np.zeros((B, T)), first, flags, flags)


def run(module, params, steps, x, objective=OBJECTIVE):
  """All losses and what was seen; embeddings are the observations themselves."""
  dynamics = with_params(module, params)
  action, first = jnp.asarray(steps.action), jnp.asarray(steps.is_first)
  latents, posterior = dynamics.observe(dynamics.initial(B), action, x, first, jax.random.key(0))
  seen = Seen(steps.observation, x, latents, posterior, dynamics.prior(latents))
  return objective.losses({}, Parts(dynamics), seen, steps, jnp.int32(0), jax.random.key(1)), seen


def moved(params, z, u):
  """Mean and deviation of the next state."""
  hidden = plain.elu(plain.linear(params["transition"]["mlp"]["linears"]["linear0"], np.concatenate([z, u])))
  out = plain.linear(params["transition"]["out"], hidden)
  return z + out[:N], plain.softplus(out[N:]) + 0.01


def log_density(x, mean, std):
  return float((-0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum())


def test_losses_equal_loops(steps):
  module, params = build()
  losses, seen = jax.jit(lambda p, x: run(module, p, steps, x))(params_of(module), steps.observation["x"])
  points = plain.linear(params["out"], np.float64(steps.observation["x"]))  # [B, T, N]
  np.testing.assert_allclose(seen.latents["stoch"], points, atol=0.05)  # a posterior's deviation is 0.01
  z = np.float64(seen.latents["stoch"])
  pairs = [(b, t) for b in range(B) for t in range(T - 1) if not steps.is_first[b, t + 1]]
  assert len(pairs) == 5
  contrast, consistent = [], []
  for b, t in pairs:
    density = {
      (c, s): np.exp(log_density(z[b, t + 1], *moved(params, z[c, s], steps.action[c, s + 1]))) for c, s in pairs
    }
    contrast.append(-np.log(density[b, t] / np.mean(list(density.values()))))
    consistent.append(-np.log(density[b, t]))
  assert losses["contrast"] == pytest.approx(np.mean(contrast), rel=1e-3)
  assert losses["consistency"] == pytest.approx(np.mean(consistent), rel=1e-3)
  assert losses["centre"] == pytest.approx(np.square(z.mean((0, 1))).sum(), rel=1e-3)
  assert OBJECTIVE.scales == {"contrast": 1.0, "consistency": 1.0, "curvature": 7.0, "centre": 0.1}
  assert losses.keys() == OBJECTIVE.scales.keys()


def test_curvature_is_what_the_first_order_expansion_leaves_and_of_a_linear_step_nothing():
  module, params = build()
  rng = np.random.default_rng(3)
  z, u = rng.normal(size=(2, 5, N)).astype(np.float32)
  latent = {**module.initial(5), "stoch": jnp.asarray(z)}
  found = jax.jit(lambda p: curvature(with_params(module, p), latent, jnp.asarray(u), 1.5, jax.random.key(2)))(
    params_of(module)
  )
  leaves, structure = jax.tree.flatten((latent, jnp.asarray(u)))
  keys = jax.random.split(jax.random.key(2), len(leaves))
  drawn = structure.unflatten([1.5 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)])
  e, d = np.float64(drawn[0]["stoch"]), np.float64(drawn[1])
  for n in range(5):
    here, small = moved(params, np.float64(z[n]), u[n])[0], 1e-6
    ahead = moved(params, z[n] + small * e[n], u[n] + small * d[n])[0]
    slope = (ahead - here) / small
    expected = ((moved(params, z[n] + e[n], u[n] + d[n])[0] - here - slope) ** 2).sum()
    assert found[n] == pytest.approx(expected, rel=2e-2, abs=1e-7)
  assert (found > 1e-5).all()
  flat, _ = build(PointEmbedded(Residual(layers=0), Gaussian(dims=N)))
  np.testing.assert_allclose(curvature(flat, latent, jnp.asarray(u), 1.5, jax.random.key(2)), 0, atol=1e-8)


def test_contrast_of_equal_pasts_is_nothing(steps):
  module, _ = build()
  same = steps._replace(action=np.ones_like(steps.action))
  x = np.broadcast_to(steps.observation["x"][:1, :1], (B, T, EMBED))
  losses, _ = run(module, params_of(module), same, jnp.asarray(x))
  assert abs(losses["contrast"]) < 0.2 < abs(losses["consistency"])  # the posterior's own deviation is 0.01


@pytest.mark.parametrize(
  ("name", "reached"),
  [
    ("contrast", [[1, 1, 1, 1], [1, 1, 1, 1]]),
    ("consistency", [[1, 1, 1, 1], [1, 1, 1, 1]]),
    ("curvature", [[0, 0, 0, 0], [0, 0, 0, 0]]),
  ],
)
def test_both_ends_of_a_pair_learn_but_curvature_moves_none(steps, name: str, reached: list):
  module, _ = build()
  x = jnp.asarray(steps.observation["x"])
  gradient = jax.jit(jax.grad(lambda x: run(module, params_of(module), steps, x)[0][name]))(x)
  np.testing.assert_array_equal(np.abs(gradient).max(-1) > 1e-7, np.array(reached, bool))


def test_pairs_of_two_episodes_are_left_out(steps):
  """Two sequences of two steps; in the second one, an episode begins at the last step."""
  module, _ = build()
  two = jax.tree.map(lambda x: x[:, 1:3], steps)
  x = jnp.asarray(two.observation["x"])
  assert two.is_first.tolist() == [[False, True], [False, False]]
  gradient = jax.jit(jax.grad(lambda x: run(module, params_of(module), two, x)[0]["consistency"]))(x)
  np.testing.assert_array_equal(np.abs(gradient).max(-1) > 1e-7, [[False, False], [True, True]])
  alone = two._replace(is_first=np.array([[False, True], [False, True]]))
  gradient = jax.jit(jax.grad(lambda x: sum(run(module, params_of(module), alone, x)[0].values())))(x)
  assert np.isfinite(gradient).all()


def test_noise_keeps_the_density_of_what_is_predicted_down(steps):
  """Where all is told exactly, the density is bounded by the noise on the next state alone."""
  module, _ = build()
  x = jnp.asarray(steps.observation["x"])
  with_noise = PredictiveCoding(noise=3.0).build(Sizes(EMBED, N, 0), SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  quiet, _ = run(module, params_of(module), steps, x)
  noisy, _ = run(module, params_of(module), steps, x, with_noise)
  assert noisy["consistency"] > quiet["consistency"]


def test_factors_that_do_not_exist_are_refused():
  with pytest.raises(ValueError, match="curvature=-1 must be at least 0"):
    PredictiveCoding(curvature=-1)
  with pytest.raises(ValueError, match="reach=0 must be more than 0"):
    PredictiveCoding(reach=0)
