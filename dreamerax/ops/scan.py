"""Scans over sequences with gradients that leave as little as possible to the single steps."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal, jaxpr_as_fun

from dreamerax.ops.backend import on_cpu, unroll

Carry = Any  # a pytree of floating-point arrays
Inputs = Any  # a pytree of arrays [T, ...]
Outputs = Any  # a pytree of arrays [T, ...]


def scan(step: Callable[[Carry, Any], tuple[Carry, Any]], carry: Carry, inputs: Inputs) -> tuple[Carry, Outputs]:
  """Every state and output of `step(carry, x) -> (next carry, output)` along inputs: (carries [T, ...], outputs [T, ...]).

  With the gradients of a `jax.lax.scan` that writes its carry down, sooner. Differentiated, `lax.scan` writes down in every
  step what its gradient will need, dozens of small arrays, and going backwards adds to the gradients of inputs and weights in
  every step: small products, and over a batch that is sharded over devices a sum across all of them, T times an update. Here
  the steps forward write down the state alone, and the steps backward carry the gradient of the state alone. Between the two,
  all T steps are computed once more, side by side, for what the steps backward need; after them, with what arrived at each
  step known, inputs and weights get theirs, in large products and with one sum across devices. What a step does to its weights
  alone, such as to cast and to cut them, is done once before the steps.

  `step` is a pure function; reverse mode, once.
  """
  first = jax.tree.map(lambda x: x[0], inputs)
  step, shared = jax.closure_convert(step, carry, first)
  return _scan(step, tuple(shared), carry, inputs)


def forgetful(step: Callable[..., Any]) -> Callable[..., Any]:
  """`step` over large maps, for a `jax.lax.scan` or its branches, with equal gradients that a CPU computes sooner.

  Going backwards, a CPU computes a step again sooner than it reads all that the step would have written down.
  """
  return jax.checkpoint(step, prevent_cse=False) if on_cpu() else step


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(step: Callable[..., Any], shared: tuple[Any, ...], carry: Carry, inputs: Inputs) -> tuple[Carry, Outputs]:
  step = _with_weights(step, shared, carry, jax.tree.map(lambda x: x[0], inputs))

  def step_and_keep(carry: Carry, x: Any) -> tuple[Carry, tuple[Carry, Any]]:
    carry, output = step(carry, x)
    return carry, (carry, output)

  return jax.lax.scan(step_and_keep, carry, inputs, unroll=unroll())[1]


def _forward(step: Callable[..., Any], shared: tuple[Any, ...], carry: Carry, inputs: Inputs) -> tuple[Any, Any]:
  kept: Any = _scan(step, shared, carry, inputs)
  return kept, (shared, carry, kept[0], inputs)


def _backward(
  step: Callable[..., Any], saved: tuple[Any, ...], gradient: tuple[Carry, Outputs]
) -> tuple[Any, Any, Any]:
  shared, carry, carries, inputs = saved
  states = jax.tree.map(lambda first, after: jnp.concatenate([first[None], after[:-1]]), carry, carries)
  pull, each, common = _pull_states(step, shared, states, inputs)

  def step_back(by_carry: Carry, at: tuple[Any, tuple[Carry, Any]]) -> tuple[Carry, Carry]:
    each, (by_kept, by_output) = at
    arrived = jax.tree.map(jnp.add, by_carry, by_kept)
    return pull(each, common, (arrived, by_output)), arrived

  nothing = jax.tree.map(jnp.zeros_like, carry)
  by_carry, arrived = jax.lax.scan(step_back, nothing, (each, gradient), reverse=True, unroll=unroll())

  def side_by_side(shared: tuple[Any, ...], inputs: Inputs) -> tuple[Carry, Outputs]:
    return jax.vmap(lambda state, x: step(state, x, *shared))(states, inputs)

  _, pull_rest = jax.vjp(side_by_side, shared, inputs)
  by_shared, by_inputs = pull_rest((arrived, gradient[1]))
  return by_shared, by_carry, by_inputs


_scan.defvjp(_forward, _backward)


def _with_weights(
  step: Callable[..., Any], shared: tuple[Any, ...], carry: Carry, x: Any
) -> Callable[[Carry, Any], tuple[Carry, Any]]:
  """`step` of one carry and input of these shapes, with what depends on `shared` alone computed now."""
  traced, results = jax.make_jaxpr(step, return_shape=True)(carry, x, *shared)
  jaxpr, count = traced.jaxpr, len(jax.tree.leaves((carry, x)))
  varying, fixed = jaxpr.invars[:count], jaxpr.invars[count:]
  known = dict(zip([*jaxpr.constvars, *fixed], [*traced.consts, *shared], strict=True))
  dependent = _dependent(jaxpr, varying)
  _evaluate([equation for equation in jaxpr.eqns if dependent.isdisjoint(equation.outvars)], known)
  rest = [equation for equation in jaxpr.eqns if not dependent.isdisjoint(equation.outvars)]

  def rest_of_step(carry: Carry, x: Any) -> tuple[Carry, Any]:
    values = known | dict(zip(varying, jax.tree.leaves((carry, x)), strict=True))
    _evaluate(rest, values)
    return jax.tree.unflatten(jax.tree.structure(results), [_value(each, values) for each in jaxpr.outvars])

  return rest_of_step


def _pull_states(
  step: Callable[..., Any], shared: tuple[Any, ...], states: Carry, inputs: Inputs
) -> tuple[Callable[..., Carry], list[jax.Array], list[jax.Array]]:
  """All steps, linearised side by side.

  Returns:
    A function (each, common, (by_carry, by_output)) -> gradient of one step's state, where `each` are the arrays of that
    step; those arrays of all steps [T, ...]; and arrays that all steps have in common, such as the weights.
  """
  structure = None

  def residuals(state: Carry, x: Any, *shared: Any) -> list[jax.Array]:
    nonlocal structure
    _, pull = jax.vjp(lambda state: step(state, x, *shared), state)
    leaves, structure = jax.tree.flatten(pull)
    return leaves

  first = jax.tree.map(lambda x: x[0], (states, inputs))
  traced = jax.make_jaxpr(residuals)(*first, *shared)
  flat = jax.tree.leaves((states, inputs))
  dependent = _dependent(traced.jaxpr, traced.jaxpr.invars[: len(flat)])
  varying = [not isinstance(variable, Literal) and variable in dependent for variable in traced.jaxpr.outvars]
  arrays = jax.vmap(
    jaxpr_as_fun(traced),
    in_axes=[0] * len(flat) + [None] * len(shared),
    out_axes=[0 if varies else None for varies in varying],
  )(*flat, *shared)

  def pull(each: list[jax.Array], common: list[jax.Array], gradient: tuple[Carry, Any]) -> Carry:
    parts = {True: iter(each), False: iter(common)}
    (by_state,) = jax.tree.unflatten(structure, [next(parts[varies]) for varies in varying])(gradient)
    return by_state

  each = [array for array, varies in zip(arrays, varying, strict=True) if varies]
  common = [array for array, varies in zip(arrays, varying, strict=True) if not varies]
  return pull, each, common


def _dependent(jaxpr: Any, arguments: Iterable[Any]) -> set[Any]:
  """The variables that depend on these arguments."""
  dependent = set(arguments)
  for equation in jaxpr.eqns:
    if any(not isinstance(variable, Literal) and variable in dependent for variable in equation.invars):
      dependent.update(equation.outvars)
  return dependent


def _evaluate(equations: Iterable[Any], values: dict[Any, Any]) -> None:
  """Adds the equations' results to `values`, where their arguments are."""
  for equation in equations:
    arguments = [_value(variable, values) for variable in equation.invars]
    results = equation.primitive.bind(*arguments, **equation.primitive.get_bind_params(equation.params))
    several = equation.primitive.multiple_results
    values.update(zip(equation.outvars, results if several else [results], strict=True))


def _value(variable: Any, values: dict[Any, Any]) -> Any:
  return variable.val if isinstance(variable, Literal) else values[variable]
