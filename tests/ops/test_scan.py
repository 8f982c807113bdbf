"""A scan with late gradients gives what `lax.scan` gives, and adds its weights' gradients across devices once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.ops import backend
from dreamerax.ops.scan import forgetful, scan
from tests.ops import shards

LENGTH, ROWS = 5, 3


def problem(seed: int = 0):
  """Weights, first carry and inputs [T, ...] that have no gradient (flags, keys) beside ones that have."""
  keys = jax.random.split(jax.random.key(seed), 5)
  weights = {"kernel": jax.random.normal(keys[0], (4, 4)), "bias": jax.random.normal(keys[1], (4,))}
  carry = {"state": jax.random.normal(keys[2], (ROWS, 4)), "mean": jnp.ones((ROWS, 2))}
  flags = jax.random.bernoulli(keys[3], 0.3, (LENGTH, ROWS))
  return weights, carry, (jax.random.normal(keys[4], (LENGTH, ROWS, 4)), flags, jax.random.split(keys[3], LENGTH))


def plain(step, carry, inputs):
  def step_and_keep(carry, x):
    carry, output = step(carry, x)
    return carry, (carry, output)

  return jax.lax.scan(step_and_keep, carry, inputs)[1]


def total(scan, weights, carry, drive, flags, keys):
  def step(carry, inputs):
    drive, flag, key = inputs
    state = jnp.where(flag[:, None], 0.0, carry["state"])
    hidden = jnp.tanh(state @ weights["kernel"] + drive) + weights["bias"] * jax.random.normal(key, state.shape)
    carry = {"state": hidden, "mean": 0.9 * carry["mean"] + hidden[:, :2] * carry["mean"]}
    return carry, jnp.square(hidden)

  carries, squares = scan(step, carry, (drive, flags, keys))
  last = jax.tree.map(lambda x: x[-1], carries)
  return (squares * jnp.cos(carries["state"])).sum() + jnp.sin(last["mean"]).sum() + last["state"][0, 0]


def gradients(scan, weights, carry, inputs):
  return jax.jit(jax.value_and_grad(lambda *of: total(scan, *of, *inputs[1:]), (0, 1, 2)))(weights, carry, inputs[0])


def close(one, other):
  """To rounding, which is that of the largest entry: the products are added up in another order."""

  def compare(a, b):
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5 * max(1.0, np.abs(b).max()))

  jax.tree.map(compare, one, other)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_values_and_gradients_are_those_of_a_plain_scan(on_cpu, monkeypatch):
  monkeypatch.setattr(backend, "on_cpu", lambda: on_cpu)
  weights, carry, inputs = problem()
  expected = gradients(plain, weights, carry, inputs)
  assert all(np.abs(leaf).max() > 0.1 for leaf in jax.tree.leaves(expected))
  close(gradients(scan, weights, carry, inputs), expected)
  close(total(scan, weights, carry, *inputs), expected[0])


def test_a_step_that_is_computed_again_has_the_same_gradients():
  def again(step, carry, inputs):
    assert forgetful(step) is not step
    return plain(forgetful(step), carry, inputs)

  weights, carry, inputs = problem()
  close(gradients(again, weights, carry, inputs), gradients(plain, weights, carry, inputs))


def test_a_loss_of_the_last_state_alone_and_one_without_weights():
  weights, carry, (drive, _, _) = problem()

  def last(scan, weights, drive):
    return scan(lambda state, x: (jnp.tanh(state @ weights["kernel"] + x), None), carry["state"], drive)[0][-1].sum()

  def weightless(scan, drive):
    return scan(lambda state, x: (jnp.sin(state) * x, state), carry["state"], drive)[1].sum()

  close(*(jax.grad(last, (1, 2))(each, weights, drive) for each in (scan, plain)))
  close(*(jax.grad(weightless, 1)(each, drive) for each in (scan, plain)))


def test_several_agents_at_once_get_their_own_gradients():
  each = [problem(seed) for seed in range(2)]
  weights, carry, inputs = (jax.tree.map(lambda *of: jnp.stack(of), *parts) for parts in zip(*each, strict=True))
  together = jax.vmap(lambda *of: gradients(scan, *of))(weights, carry, inputs)
  for seed, alone in enumerate(each):
    close(jax.tree.map(lambda x, seed=seed: x[seed], together), gradients(plain, *alone))


def test_no_step_computes_what_depends_on_the_weights_alone():
  """On an accelerator each such cast or slice is a launch, and reads all the weights."""
  weights, carry, (drive, _, _) = problem()

  def states(weights):
    return scan(lambda state, x: (jnp.cos(state @ jnp.sin(weights["kernel"].T) + x), None), carry["state"], drive)[0]

  (outer,) = (each for each in jax.make_jaxpr(states)(weights).eqns if each.primitive.name == "custom_vjp_call")
  (inner,) = (each for each in outer.params["call_jaxpr"].eqns if each.primitive.name == "scan")
  names = {each.primitive.name for each in inner.params["jaxpr"].eqns}
  assert {"dot_general", "cos"} <= names
  assert not {"sin", "transpose"} & names


SHARDED = """
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from dreamerax.ops.scan import scan
from tests.ops import shards

mesh = Mesh(jax.devices(), ("data",))
rows, everywhere = NamedSharding(mesh, PartitionSpec(None, "data")), NamedSharding(mesh, PartitionSpec())

def loss(kernel, drive):
  return jnp.square(scan(lambda state, x: (jnp.tanh(state @ kernel + x), None), drive[0], drive)[0]).sum()

gradient = jax.jit(jax.grad(loss), in_shardings=(everywhere, rows), out_shardings=everywhere)
shards.assert_kept(gradient.lower(jnp.ones((4, 4)), jnp.ones((6, 16, 4))).compile())
"""


def test_gradients_are_added_across_devices_once():
  shards.run_on_eight_devices(SHARDED)
