"""Makes a policy of an agent: in this program, or as a file that jax alone can run (StableHLO)."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export  # not imported by jax itself
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

from dreamerax import files
from dreamerax.agent import Agent
from dreamerax.deploy.policy import FORMAT, HEADER, PARAMETERS, PROGRAM, LoadedPolicy, PolicyState, Step, check_computes
from dreamerax.nets.modules import Params
from dreamerax.types import ArrayDict


def make_policy(agent: Agent, params: Params, *, explore: bool, header: Mapping[str, Any]) -> LoadedPolicy:
  """Acts in this program.

  Args:
    params: of the agent, on one device.
    explore: samples actions as in training, in place of the mode.
  """
  return LoadedPolicy(jax.jit(_step(agent, explore)), params, agent.initial_carry, {**header, "batch": None})


def export(
  agent: Agent,
  params: Params,
  path: Path,
  *,
  explore: bool,
  batch: int | None,
  platforms: Sequence[str],
  header: Mapping[str, Any],
) -> None:
  """Writes the policy's program and those parameters that it uses, for `policy.load`.

  Args:
    params: of the agent.
    explore: as `make_policy` has it.
    batch: N of every call; None: any.

  Raises:
    ValueError: the agent has no program for any N, or one that `policy.load` would refuse.
  """
  flat = {keystr(key, simple=True, separator="/"): leaf for key, leaf in tree_leaves_with_path(params)}
  structure, names = jax.tree.structure(params), list(flat)
  step = _step(agent, explore)

  def of_some(some: Mapping[str, Any], state: PolicyState, observation: ArrayDict, is_first: jax.Array):
    # A parameter that is not among those used, the decoder's say, has no influence, and is compiled away.
    leaves = [some[name] if name in some else jnp.zeros(flat[name].shape, flat[name].dtype) for name in names]
    return step(jax.tree.unflatten(structure, leaves), state, observation, is_first)

  def program(parameters: Mapping[str, Any], batch: int | None) -> jax.export.Exported:
    shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in parameters.items()}
    return jax.export.export(jax.jit(of_some), platforms=platforms)(shapes, *_arguments(agent, batch))

  # Arguments are numbered in the order of a dict's sorted keys. A program for any N keeps them all, whatever it uses.
  kept = set(program(flat, 1).module_kept_var_idx)
  used = {name: flat[name] for i, name in enumerate(sorted(flat)) if i in kept}
  try:
    exported = program(used, batch)
  except Exception as error:  # what cannot be said of a symbol raises whatever the code that met it raises
    if batch is not None:
      raise
    raise ValueError(f"batch: this agent has no program for any number of environments; name one ({error})") from error
  try:
    check_computes(exported)
  except ValueError as error:
    raise ValueError(f"this policy cannot be a file, act with dreamerax.load_policy: {error}") from error
  text = json.dumps({**header, "format": FORMAT, "batch": batch, "platforms": list(exported.platforms)})
  path.parent.mkdir(parents=True, exist_ok=True)
  arrays = {PARAMETERS + name: np.asarray(leaf) for name, leaf in used.items()}
  arrays |= {HEADER: _bytes(text.encode()), PROGRAM: _bytes(exported.serialize())}
  content = io.BytesIO()
  np.savez(content, allow_pickle=False, **arrays)
  files.write_whole(path, content.getvalue())


def _step(agent: Agent, explore: bool) -> Step:
  """The agent's decision, as `LoadedPolicy` calls it."""

  def step(
    params: Params, state: PolicyState, observation: ArrayDict, is_first: jax.Array
  ) -> tuple[jax.Array, PolicyState]:
    now, later = jax.random.split(jax.random.wrap_key_data(state["random"], impl="threefry2x32"))
    action, carry, _ = agent.act(params, state["carry"], observation, is_first, now, explore=explore)
    return action, {"carry": carry, "random": jax.random.key_data(later)}

  return step


def _arguments(agent: Agent, batch: int | None) -> tuple[PolicyState, ArrayDict, jax.ShapeDtypeStruct]:
  """Shapes of state, observation and is_first for `batch` environments, or for a symbol."""
  size = jax.export.symbolic_shape("batch")[0] if batch is None else batch

  def batched(x: Any, shape: Sequence[int]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((size, *shape), x.dtype)

  one = jax.eval_shape(lambda: agent.initial_carry(1))
  carry = jax.tree.map(lambda x: batched(x, x.shape[1:]), one)
  state = {"carry": carry, "random": jax.ShapeDtypeStruct((2,), jnp.uint32)}
  observation = {
    name: jax.ShapeDtypeStruct((size, *x.shape), x.dtype) for name, x in agent.policy_spec.observation.items()
  }
  return state, observation, jax.ShapeDtypeStruct((size,), jnp.bool_)


def _bytes(data: bytes | bytearray) -> np.ndarray:
  return np.frombuffer(bytes(data), np.uint8)
