"""Sequences computed step by step, whose shared weights get their gradients from all steps at once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

Carry = Any  # a pytree of floating-point arrays
Inputs = Any  # a pytree of arrays [T, ...]
Outputs = Any  # a pytree of arrays [T, ...]


def scan(step: Callable[[Carry, Any], tuple[Carry, Any]], carry: Carry, inputs: Inputs) -> tuple[Carry, Outputs]:
  """`jax.lax.scan(step, carry, inputs)` with other gradients of what `step` closes over: equal ones, and sooner.

  Going backwards, `lax.scan` adds to the gradients of the weights in every step: small products, and over a batch that is
  sharded over devices a sum across all of them, T times an update. Here the steps backwards carry the gradient of the state
  alone. With what arrived at each step known, one more step, of all T side by side, gives the weights theirs: large products,
  and one sum across devices. It computes every step once more for that, without the sequence.

  `step` is a pure function; reverse mode, once.
  """
  first = jax.tree.map(lambda x: x[0], inputs)
  step, shared = jax.closure_convert(step, carry, first)
  return _scan(step, tuple(shared), carry, inputs)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(step: Callable[..., Any], shared: tuple[Any, ...], carry: Carry, inputs: Inputs) -> tuple[Carry, Outputs]:
  return jax.lax.scan(lambda carry, x: step(carry, x, *shared), carry, inputs)


def _forward(step: Callable[..., Any], shared: tuple[Any, ...], carry: Carry, inputs: Inputs) -> tuple[Any, Any]:
  length = len(jax.tree.leaves(inputs)[0])
  # Added to the state that each step hands on, so that the gradient which arrives there can be asked for.
  nothing = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), carry)

  def run(carry: Carry, inputs: Inputs, nothing: Any) -> tuple[tuple[Carry, Outputs], Any]:
    def step_from(before: Carry, x: tuple[Any, Any]) -> tuple[Carry, tuple[Carry, Any]]:
      after, output = step(before, x[0], *shared)
      return jax.tree.map(jnp.add, after, x[1]), (before, output)

    last, (states, outputs) = jax.lax.scan(step_from, carry, (inputs, nothing))
    return (last, outputs), states

  result, pull, states = jax.vjp(run, carry, inputs, nothing, has_aux=True)
  return result, (pull, shared, states, inputs)


def _backward(
  step: Callable[..., Any], saved: tuple[Any, ...], gradient: tuple[Carry, Outputs]
) -> tuple[Any, Any, Any]:
  pull, shared, states, inputs = saved
  by_carry, by_inputs, arrived = pull(gradient)
  _, pull_shared = jax.vjp(lambda shared: jax.vmap(lambda state, x: step(state, x, *shared))(states, inputs), shared)
  (by_shared,) = pull_shared((arrived, gradient[1]))
  return by_shared, by_carry, by_inputs


_scan.defvjp(_forward, _backward)
