"""Places arrays on a mesh: batches are split over `data`, large weights over `model`, and all else is everywhere."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dreamerax.runtime.devices.mesh import DATA, MODEL, MeshConfig
from dreamerax.runtime.protocol import Agent, State

LARGE = 2**16  # elements from which on an array of the state is worth splitting


def replicated(mesh: Mesh) -> NamedSharding:
  """A full copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
  """Split over the devices on the leading axis, B."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def rows_sharded(mesh: Mesh, count: int) -> NamedSharding:
  """`count` rows [E, ...], split over the devices where that can be done evenly, else on each of them."""
  return replicated(mesh) if count % mesh.shape[DATA] else batch_sharded(mesh)


def state_sharded(state: State, mesh: Mesh) -> Any:
  """Returns the sharding of each array of a state, or of its shapes.

  The rule: an array of at least `LARGE` elements is split over `model` on its longest axis that can be split evenly, on the
  last of them where several are equally long. It looks at shapes alone, so that a weight, its moments in the optimiser and
  its slow copy lie alike, and an update moves none of them.
  """
  return jax.tree.map(lambda leaf: NamedSharding(mesh, _weight_spec(leaf, mesh.shape[MODEL])), state)


def batch_rows(batch_size: int, config: MeshConfig, mesh: Mesh) -> int:
  """Sequences in the whole batch, B.

  Args:
    batch_size: as configured, of the whole batch or of each share of it.

  Raises:
    ValueError: the batch cannot be split evenly over the devices.
  """
  if config.batch == "per_device":
    return batch_size * mesh.shape[DATA]
  check_batch_size(batch_size, mesh)
  return batch_size


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
  """
  Raises:
    ValueError: the batch cannot be split evenly over the devices.
  """
  shares = mesh.shape[DATA]
  if batch_size % shares:
    above = -(-batch_size // shares) * shares
    raise ValueError(
      f"replay.batch_size={batch_size} cannot be split evenly over mesh.data={shares}: "
      f"use a multiple of {shares}, such as {above}"
    )


def init_state(agent: Agent, mesh: Mesh, key: jax.Array) -> State:
  """The agent's first state, made on the devices where it stays."""
  shardings = state_sharded(jax.eval_shape(agent.init, abstract_key(mesh)), mesh)
  return jax.jit(agent.init, out_shardings=shardings)(put(key, replicated(mesh)))


def abstract_state(agent: Agent, mesh: Mesh) -> State:
  """Shapes, dtypes and shardings of the agent's state, without its memory."""
  shapes = jax.eval_shape(agent.init, abstract_key(mesh))
  return jax.tree.map(
    lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), shapes, state_sharded(shapes, mesh)
  )


def abstract_key(mesh: Mesh) -> jax.ShapeDtypeStruct:
  """A key that every device of the mesh has."""
  return jax.eval_shape(lambda: jax.random.key(0)).update(sharding=replicated(mesh))


def put(tree: Any, shardings: Any) -> Any:
  """Arrays and keys that every host has alike, as they lie on the devices of all.

  Args:
    shardings: one for each leaf, or one for all.
  """

  def place(leaf: Any, where: NamedSharding) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return jax.jit(jax.random.wrap_key_data)(place(jax.random.key_data(leaf), where))
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, where, lambda index: array[index])

  if isinstance(shardings, NamedSharding):
    return jax.tree.map(lambda leaf: place(leaf, shardings), tree)
  return jax.tree.map(place, tree, shardings)


def put_rows(tree: Any, mesh: Mesh) -> Any:
  """A batch on the devices of all hosts: [B / hosts, ...] on each host to [B, ...]."""
  where = batch_sharded(mesh)
  return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(where, leaf), tree)


def own_rows(tree: Any) -> Any:
  """This host's rows [B / hosts, ...] of a batch [B, ...], as NumPy's."""

  def rows(leaf: jax.Array) -> np.ndarray:
    shards = {shard.index[0].start or 0: shard.data for shard in leaf.addressable_shards}
    return np.concatenate([np.asarray(shards[start]) for start in sorted(shards)])

  return jax.tree.map(rows, tree)


def to_host(state: Any) -> Any:
  """Copies, as NumPy's, of arrays that are whole on the devices of each host: not split over `data`, that is."""

  def whole(leaf: jax.Array) -> np.ndarray:
    array = np.empty(leaf.shape, leaf.dtype)
    for index, data in {str(shard.index): (shard.index, shard.data) for shard in leaf.addressable_shards}.values():
      array[index] = data
    return array

  return jax.tree.map(whole, state)


def put_on(tree: Any, mesh: Mesh) -> Any:
  """Copies, on every device of `mesh`, of arrays that are whole on each of the devices where they lie."""
  where = replicated(mesh)

  def copy(leaf: Any) -> jax.Array:
    return jax.device_put(leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf, where)

  return jax.tree.map(copy, tree)


def _weight_spec(leaf: Any, parts: int) -> PartitionSpec:
  axes = [axis for axis, length in enumerate(leaf.shape) if length % parts == 0]
  if parts == 1 or leaf.size < LARGE or not axes:
    return PartitionSpec()
  longest = max(axes, key=lambda axis: (leaf.shape[axis], axis))
  return PartitionSpec(*(MODEL if axis == longest else None for axis in range(len(leaf.shape))))
