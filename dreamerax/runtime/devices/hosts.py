"""The processes that train together, one on each host: a single process is one of one."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src.clusters import ClusterEnv  # what `initialize` asks; nothing public tells the address before it listens
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dreamerax.runtime.errors import HostLost

_HEARTBEAT_SECONDS = 30  # without a sign of life after which a host counts as lost
_SHUTDOWN_SECONDS = 60  # for the others to arrive at the end
_FIND_SECONDS = 300  # for the cluster to name the coordinator
# What gloo, NCCL and others raise has no class of its own: it is a ValueError or a RuntimeError that begins with a status.
_BROKEN = re.compile(
  "(CANCELLED|UNKNOWN|DEADLINE_EXCEEDED|FAILED_PRECONDITION|ABORTED|INTERNAL|UNAVAILABLE|DATA_LOSS): "
)


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
  """Makes this process one of those that train together; call it before jax has looked for devices.

  Args:
    coordinator: HOST:PORT of process 0, which listens there and nowhere else. None is found on TPUs, under Slurm, Open MPI
      and Kubernetes, as jax finds it.
    processes: how many there are. None: as the cluster says.
    process: which of them this one is, from 0. None: as the cluster says.

  Where that is found, too, process 0 listens at its own address alone, and not on all of its networks as jax would by
  itself; JAX_COORDINATOR_BIND_ADDRESS says otherwise.

  Raises:
    ValueError: something was neither given nor found.
    HostLost: the others did not come.
  """
  given = f"coordinator={coordinator}, processes={processes}, process={process}"
  coordinator, processes, process, _ = ClusterEnv.auto_detect_unset_distributed_params(
    coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"), processes, process, None, None, _FIND_SECONDS
  )
  if coordinator is None or processes is None or process is None:
    raise ValueError(f"{given}: no cluster was found that says the rest: give all three")
  if not re.fullmatch(r".+:\d+", coordinator) or not 0 <= process < processes:
    raise ValueError(f"{given}: the coordinator is HOST:PORT, and processes are numbered from 0 to {processes - 1}")
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  jax.config.update("jax_enable_preemption_service", False)  # its handler of SIGTERM would replace ours
  try:
    jax.distributed.initialize(
      coordinator,
      processes,
      process,
      coordinator_bind_address=os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", coordinator),
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )
  except RuntimeError as error:
    if _BROKEN.match(str(error)):
      raise _lost(error) from error
    raise


class Hosts:
  """The agreement of processes that train together. Each calls `sum` equally often, and
  in the same order as anything else that all compute."""

  def __init__(self):
    self.count, self.index = jax.process_count(), jax.process_index()
    # The last device of each is the one that acts, where one does nothing else: it need not wait for an update.
    last = {device.process_index: device for device in jax.devices()}
    mesh = Mesh(np.array([last[process] for process in range(self.count)]), ("hosts",))
    self._rows = NamedSharding(mesh, PartitionSpec("hosts"))
    self._sum = jax.jit(lambda x: x.sum(0), out_shardings=NamedSharding(mesh, PartitionSpec()))

  @property
  def leads(self) -> bool:
    """Whether this one speaks, evaluates and writes for all."""
    return self.index == 0

  @property
  def name(self) -> str:
    """The name of a folder for what this host alone has; empty on host 0, which needs
    none."""
    return f"host-{self.index}" if self.index else ""

  def ask_first(self, work: Callable[[], int]) -> int:
    """The whole number that `work` gives on host 0, on every host; it is called there alone.

    Raises:
      ValueError: `work` has raised on host 0, where the cause is told.
      HostLost: as `sum` does.
    """
    if not self.leads:
      answer, failed = self.sum([0, 0])
      if failed:
        raise ValueError(f"host 0 of {self.count} cannot begin or continue this run, and says why")
      return int(answer)
    try:
      answer = work()
    except Exception:
      self.sum([0, 1])
      raise
    return int(self.sum([answer, 0])[0])

  def sum(self, values: Any) -> np.ndarray:
    """Sums numbers [N] over all hosts, as float64: whole numbers below 2^53 exactly.

    Raises:
      HostLost: another host has ended, or cannot be reached.
    """
    values = np.asarray(values, np.float64)
    if self.count == 1:
      return values
    with self.noticing(), jax.enable_x64(True):
      rows = jax.make_array_from_process_local_data(self._rows, values[None])
      return np.asarray(self._sum(rows).addressable_data(0))

  def gather(self, text: str) -> list[str]:
    """The texts of all hosts, in their order.

    Raises:
      HostLost: as `sum` does.
    """
    own = np.frombuffer(text.encode(), np.uint8)
    sizes = self.sum(np.eye(self.count)[self.index] * len(own)).astype(int)
    rows = np.zeros((self.count, sizes.max()))
    rows[self.index, : len(own)] = own
    every = self.sum(rows.ravel()).reshape(rows.shape).astype(np.uint8)
    return [bytes(row[:size]).decode() for row, size in zip(every, sizes, strict=True)]

  @contextlib.contextmanager
  def noticing(self) -> Iterator[None]:
    """A context for what all hosts compute together.

    Raises:
      HostLost: in place of what jax raises where another host is gone.
    """
    try:
      yield
    except (ValueError, RuntimeError) as error:
      if self.count == 1 or not _BROKEN.match(str(error)):
        raise
      raise _lost(error) from error


def trains_with_others() -> bool:
  """Whether this process has joined others."""
  return jax.distributed.is_initialized()


def leave(status: int) -> NoReturn:
  """Ends a process whose run has failed, at once: jax would wait for the others, which wait for it, and then abort."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _lost(error: Exception) -> HostLost:
  reason = str(error).splitlines()[0][:200]
  return HostLost(
    f"another host of this run has ended or cannot be reached ({reason}): start all of them again with the same --logdir, "
    "and the run goes on from its newest checkpoint"
  )
