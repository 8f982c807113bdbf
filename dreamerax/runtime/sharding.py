"""All devices of this machine as one mesh; one device is a mesh of one."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dreamerax.runtime.protocol import Agent, State

DATA = "data"


def local_mesh() -> Mesh:
  """A mesh of all local devices with the one axis "data"."""
  return Mesh(np.array(jax.local_devices()), (DATA,))


def replicated(mesh: Mesh) -> NamedSharding:
  """A full copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
  """Split over the devices on the leading axis, B."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
  """
  Raises:
    ValueError: the batch cannot be split evenly over the devices.
  """
  if batch_size % mesh.size:
    above = -(-batch_size // mesh.size) * mesh.size
    raise ValueError(
      f"replay.batch_size={batch_size} cannot be split evenly over {mesh.size} devices: "
      f"use a multiple of {mesh.size}, such as {above}"
    )


def init_state(agent: Agent, mesh: Mesh, key: jax.Array) -> State:
  """The agent's first state, made on the devices where it stays."""
  return jax.jit(agent.init, out_shardings=replicated(mesh))(key)


def abstract_state(agent: Agent, mesh: Mesh) -> State:
  """Shapes, dtypes and shardings of the agent's state, without its memory."""
  shapes = jax.eval_shape(agent.init, jax.random.key(0))
  where = replicated(mesh)
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), shapes)
