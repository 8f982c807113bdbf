import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dreamerax.nets.heads import NormalHead
from dreamerax.nets.stopped_head import StoppedHead


def test_it_is_its_head_but_its_likelihood_gives_the_features_no_gradient():
  plain, x = NormalHead(layers=1, units=4), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
  head, stopped = (each.build(3, dtype=jnp.float32, rngs=nnx.Rngs(0)) for each in (plain, StoppedHead(plain)))
  np.testing.assert_array_equal(stopped(x).mean(), head(x).mean())
  np.testing.assert_array_equal(stopped(x).log_prob(jnp.ones(5)), head(x).log_prob(jnp.ones(5)))
  likelihood = jax.grad(lambda x: stopped(x).log_prob(jnp.ones(5)).sum())(x)
  np.testing.assert_array_equal(likelihood, np.zeros_like(x))
  means = (jax.grad(lambda x: each(x).mean().sum())(x) for each in (head, stopped))  # noqa: B023
  np.testing.assert_array_equal(*means)


def test_its_head_learns_as_it_would_alone():
  plain, x = NormalHead(layers=1, units=4), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
  head, stopped = (each.build(3, dtype=jnp.float32, rngs=nnx.Rngs(0)) for each in (plain, StoppedHead(plain)))
  one = nnx.grad(lambda module: module(x).log_prob(jnp.ones(5)).sum())(head)
  other = nnx.grad(lambda module: module(x).log_prob(jnp.ones(5)).sum())(stopped)
  jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(one), nnx.to_pure_dict(other)["head"])
