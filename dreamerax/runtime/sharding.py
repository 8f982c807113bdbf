"""Which devices learn, all of them as one mesh (one device is a mesh of one), and which one acts."""

import contextlib
import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from dreamerax.runtime.protocol import Agent, State

DATA = "data"
_CPU_DEVICES = 2  # one that learns, and one that acts


def reserve_policy_device() -> None:
  """Where the CPU is all there is, lets the policy act while an update runs: a device does one thing after the other.

  The second device is the same CPU. Call it before jax has looked for devices; afterwards it changes nothing, nor where
  somebody has asked for a number of CPU devices.
  """
  if _cpu_devices_asked_for() > 0 or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
    return
  with contextlib.suppress(RuntimeError):  # jax has looked already
    jax.config.update("jax_num_cpu_devices", _CPU_DEVICES)


def local_mesh() -> Mesh:
  """A mesh of all local devices that learn, with the one axis "data"."""
  devices = jax.local_devices()
  return Mesh(np.array(devices[:-1] if _acts_apart() else devices), (DATA,))


def policy_sharding() -> Sharding:
  """Where the policy acts: on a device of its own where there is one, else on all that learn."""
  return SingleDeviceSharding(jax.local_devices()[-1]) if _acts_apart() else replicated(local_mesh())


def _cpu_devices_asked_for() -> int:
  return jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]


def _acts_apart() -> bool:
  return jax.default_backend() == "cpu" and _cpu_devices_asked_for() == _CPU_DEVICES == jax.local_device_count()


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
