"""What every latent dynamics promises, as tests to inherit: a subclass says how to build one."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.dynamics.base import Dynamics, DynamicsModule, Latent
from tests import plain

EMBED, ACTION = 6, 2
BATCH, LENGTH = 3, 5


class DynamicsContract(abc.ABC):
  """Name a subclass `Test...`; its configuration should be tiny."""

  @abc.abstractmethod
  def make(self) -> Dynamics: ...

  @pytest.fixture
  def dynamics(self) -> DynamicsModule:
    return plain.randomised(lambda: build(self.make()))[0]

  def test_a_sequence_equals_its_steps(self, dynamics):
    start, steps, key = latent(dynamics), inputs(), jax.random.key(3)

    def step_by_step(dynamics, state, steps, keys):
      outputs = []
      for t in range(LENGTH):
        state, stats = dynamics.observe_step(state, *(x[:, t] for x in steps), keys[t])
        outputs.append((state, stats))
      return jax.tree.map(lambda *x: jnp.stack(x, 1), *outputs)

    whole = plain.call(dynamics, observe, start, steps, key)
    single = plain.call(dynamics, step_by_step, start, steps, jax.random.split(key, LENGTH))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), whole, single)

  def test_a_reset_forgets_everything_before(self, dynamics):
    steps, key = inputs(), jax.random.key(0)
    is_first = np.zeros((BATCH, LENGTH), bool)
    is_first[1, 2] = True
    action, embed, _ = steps
    other_action, other_embed = action.copy(), embed.copy()
    other_action[1, :3] += 5  # the action that "led" to a first observation is not looked at either
    other_embed[1, :2] += 5
    one = plain.call(dynamics, observe, latent(dynamics, 0), (action, embed, is_first), key)
    other = plain.call(dynamics, observe, latent(dynamics, 1), (other_action, other_embed, is_first), key)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1, 2:], b[1, 2:]), one, other)
    before = jax.tree.map(lambda a, b: np.array_equal(a[1, :2], b[1, :2]), one, other)
    assert not all(jax.tree.leaves(before))  # each may agree: categorical samples do by chance, empty parts always

  def test_a_reset_equals_the_initial_state(self, dynamics):
    action, embed, _ = inputs()
    never, start = np.zeros((BATCH, LENGTH), bool), np.zeros((BATCH, LENGTH), bool)
    start[:, 0] = True
    action[:, 0] = 0
    key = jax.random.key(0)
    reset = plain.call(dynamics, observe, latent(dynamics), (action, embed, start), key)
    fresh = plain.call(dynamics, lambda d, *args: observe(d, d.initial(BATCH), *args), (action, embed, never), key)
    jax.tree.map(np.testing.assert_array_equal, reset, fresh)

  def test_imagining_begins_where_observing_does(self, dynamics):
    start, (action, embed, _) = latent(dynamics), inputs()
    never = np.zeros((BATCH, LENGTH), bool)
    seen, _ = plain.call(dynamics, observe, start, (action, embed, never), jax.random.key(0))
    imagined = plain.call(dynamics, lambda d, *args: d.imagine(*args), start, action, jax.random.key(1))
    assert jax.tree.map(jnp.shape, seen) == jax.tree.map(jnp.shape, imagined)
    # No observation was used yet in what the first step predicts; from the second on samples differ.
    for name in set(seen) - set(dynamics.drawn):
      np.testing.assert_allclose(seen[name][:, 0], imagined[name][:, 0], rtol=1e-4, atol=1e-5)
    one, other = (plain.call(dynamics, lambda d, x: d.prior(x), x) for x in (seen, imagined))
    np.testing.assert_allclose(one[:, 0], other[:, 0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(one[:, -1], other[:, -1], atol=1e-4)

  def test_imagining_depends_on_the_action_at_once(self, dynamics):
    start, (action, _, _) = latent(dynamics), inputs()
    one, other = (
      plain.call(dynamics, lambda d, *args: d.imagine_step(*args), start, x, jax.random.key(0))
      for x in (action[:, 0], -action[:, 0])
    )
    assert not np.allclose(dynamics.features(one), dynamics.features(other), atol=1e-4)

  def test_storing_loses_nothing(self, dynamics):
    (seen, _), spec = plain.call(dynamics, observe, latent(dynamics), inputs(), jax.random.key(0)), dynamics.latent_spec
    stored = dynamics.pack(seen)
    assert set(stored) == set(spec)
    for name, value in stored.items():
      assert (value.shape[2:], value.dtype.name) == (spec[name].shape, spec[name].dtype)
    # A straight-through sample is one-hot but for rounding.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), dynamics.unpack(stored), seen)

  def test_divergence_is_zero_from_itself_and_never_negative(self, dynamics):
    seen, posterior = plain.call(dynamics, observe, latent(dynamics), inputs(), jax.random.key(0))
    prior = plain.call(dynamics, lambda d, x: d.prior(x), seen)
    assert prior.shape == posterior.shape
    np.testing.assert_allclose(dynamics.kl(posterior, posterior), 0, atol=1e-5)
    assert (dynamics.kl(posterior, prior) > 0).all()
    assert dynamics.kl(posterior, prior).shape == (BATCH, LENGTH)
    assert dynamics.entropy(posterior).shape == (BATCH, LENGTH)

  def test_gradients_of_long_sequences_are_finite_and_reach_the_first_step(self, dynamics):
    start, steps = latent(dynamics), inputs(length=64)
    steps = (*steps[:2], np.zeros((BATCH, 64), bool))

    def last(dynamics, start, embed):
      seen, stats = observe(dynamics, start, (steps[0], embed, steps[2]), jax.random.key(0))
      return jnp.square(dynamics.features(seen)[:, -1]).sum() + dynamics.kl(stats, dynamics.prior(seen)).mean()

    def gradient(dynamics, start, embed):
      return jax.grad(lambda *args: last(dynamics, *args), (0, 1))(start, embed)

    to_start, to_embed = plain.call(dynamics, gradient, start, steps[1])
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((to_start, to_embed)))
    assert np.abs(dynamics.features(to_start)).max() > 0 and np.abs(to_embed).max() > 0

  def test_features_are_the_deterministic_and_the_stochastic_part(self, dynamics):
    start = latent(dynamics)
    np.testing.assert_array_equal(dynamics.features(start), np.concatenate([start["deter"], start["stoch"]], -1))
    sizes = tuple(start[name].shape[-1] for name in ("deter", "stoch"))
    assert (dynamics.deter_size, dynamics.stoch_size, dynamics.feature_size) == (*sizes, sum(sizes))

  def test_latents_stay_in_the_compute_dtype(self):
    def dtypes():
      dynamics = build(self.make(), jnp.bfloat16)
      start, (action, embed, is_first), key = dynamics.initial(BATCH), inputs(), jax.random.key(0)
      seen, _ = observe(dynamics, start, (action, embed, is_first), key)
      return start, seen, dynamics.imagine(start, action, key), dynamics.unpack(dynamics.pack(start))

    assert {x.dtype.name for x in jax.tree.leaves(jax.eval_shape(dtypes))} == {"bfloat16"}


def build(config: Dynamics, dtype: Any = jnp.float32) -> DynamicsModule:
  return config.build(EMBED, ACTION, dtype=dtype, rngs=nnx.Rngs(0))


def observe(dynamics: DynamicsModule, start: Latent, steps: tuple, key: jax.Array) -> tuple[Latent, jax.Array]:
  return dynamics.observe(start, *steps, key)


def latent(dynamics: DynamicsModule, seed: int = 0) -> Latent:
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), dynamics.initial(BATCH))


def inputs(length: int = LENGTH, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Actions, embeddings, is_first with a reset in the middle."""
  rng = np.random.default_rng(seed)
  action = rng.uniform(-1, 1, (BATCH, length, ACTION)).astype(np.float32)
  embed = rng.normal(size=(BATCH, length, EMBED)).astype(np.float32)
  is_first = np.zeros((BATCH, length), bool)
  is_first[0, 0] = is_first[2, length // 2] = True
  return action, embed, is_first
