"""Chunks of a batch give what the whole batch gives: rows, sums, means and gradients."""

from functools import partial

import jax
import jax.export  # not imported by jax itself
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.ops import chunks
from dreamerax.ops.chunks import mean_over_chunks, over_chunks
from tests.ops import shards

ROWS = [1, 7, 12, 13, 24]  # one chunk of 6 and less; several; several and a rest; 13 has no divisor but itself


def rows_and_sums(x, y):
  return {"double": 2 * x, "both": x.sum(-1) * y}, (x * y[:, None]).sum(0)


@pytest.mark.parametrize("count", ROWS)
def test_rows_and_sums_equal_those_of_the_whole_batch(count):
  x, y = jnp.arange(3.0 * count).reshape(count, 3), jnp.cos(jnp.arange(count))
  whole, chunked = rows_and_sums(x, y), jax.jit(lambda x, y: over_chunks(rows_and_sums, 6, x, y))(x, y)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5), chunked, whole)


def test_no_more_than_a_chunk_is_computed_at_once():
  seen = []

  def look(x):
    seen.append(x.shape[0])
    return x, ()

  over_chunks(look, 6, jnp.zeros((13, 2)))
  assert seen and max(seen) <= 6


def test_a_batch_of_any_size_can_be_exported():
  (count,) = jax.export.symbolic_shape("count")
  shapes = jax.ShapeDtypeStruct((count, 3), jnp.float32), jax.ShapeDtypeStruct((count,), jnp.float32)
  exported = jax.export.export(jax.jit(lambda x, y: over_chunks(rows_and_sums, 6, x, y)))(*shapes)
  x, y = jnp.arange(39.0).reshape(13, 3), jnp.cos(jnp.arange(13))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5), exported.call(x, y), rows_and_sums(x, y)
  )


def errors(params, x, truth):
  painted = jnp.tanh(x @ params["kernel"])
  return {"near": jnp.square(painted - truth).sum(-1), "far": jnp.abs(painted + truth).sum(-1)}


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("count", ROWS)
def test_means_and_their_gradients_equal_those_of_the_whole_batch(count, on_cpu, monkeypatch):
  monkeypatch.setattr(chunks, "on_cpu", lambda: on_cpu)
  keys = jax.random.split(jax.random.key(0), 2)
  x, params = (
    jax.random.normal(keys[0], (count, 4)),
    {"kernel": jax.random.normal(keys[1], (4, 5)), "unused": jnp.ones(2)},
  )
  truth = jnp.arange(5 * count, dtype=jnp.uint8).reshape(count, 5)

  def whole(*arguments):
    return jax.tree.map(jnp.mean, errors(*arguments))

  def chunked(*arguments):
    return mean_over_chunks(errors, 6, *arguments)

  def with_gradients(means):
    def total(params, x):
      losses = means(params, x, truth)
      return losses["near"] - 3 * losses["far"], losses

    return jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(params, x)

  close = partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-5)
  jax.tree.map(close, with_gradients(chunked), with_gradients(whole))
  jax.tree.map(close, chunked(params, x, truth), whole(params, x, truth))


def test_several_agents_at_once_get_their_own_gradients():
  keys = jax.random.split(jax.random.key(0), 2)
  x, kernels = jax.random.normal(keys[0], (2, 13, 4)), jax.random.normal(keys[1], (2, 4, 5))
  truth = jnp.ones((2, 13, 5))

  def gradient(kernel, x, truth):
    return jax.grad(lambda kernel: mean_over_chunks(errors, 6, {"kernel": kernel}, x, truth)["near"])(kernel)

  together = jax.vmap(gradient)(kernels, x, truth)
  np.testing.assert_allclose(together, [gradient(*each) for each in zip(kernels, x, truth, strict=True)], rtol=1e-5)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from dreamerax.ops.chunks import mean_over_chunks
from tests.ops import shards

def errors(kernel, x, truth):
  return {"loss": jnp.square(jnp.tanh(x @ kernel) - truth).sum(-1)}

def loss(kernel, x, truth):
  return mean_over_chunks(errors, 16, kernel, x, truth)["loss"]

keys = jax.random.split(jax.random.key(0), 3)
x, kernel, truth = (jax.random.normal(k, s) for k, s in zip(keys, [(96, 7), (7, 5), (96, 5)]))
step = jax.jit(jax.value_and_grad(loss, (0, 1)))
single = step(kernel, x, truth)
mesh = Mesh(jax.devices(), ("data",))
copies, spread = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
arguments = jax.device_put((kernel, x, truth), (copies, spread, spread))
compiled = step.lower(*arguments).compile()
for a, b in zip(jax.tree.leaves(compiled(*arguments)), jax.tree.leaves(single)):
  np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
shards.assert_kept(compiled)
"""


def test_a_sharded_batch_keeps_its_shards():
  shards.run_on_eight_devices(SHARDED)
