"""Compiles what a learner runs in a thread of its own, from shapes alone, before there is a state or a batch."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from dreamerax.runtime.devices.sharding import abstract_key, batch_sharded, check_batch_size, replicated
from dreamerax.runtime.learn.compilation import Program, Source, compile_source, flops
from dreamerax.runtime.learn.finite import update_status
from dreamerax.runtime.protocol import Agent, State
from dreamerax.types import Array, ArraySpec, Batch

COMPILES = "compile"  # begins the name of the thread


class Running(NamedTuple):
  """The arrays that go from update to update beside the state."""

  totals: Mapping[str, Array]  # sums of the metrics since they were last taken
  made: Array  # int32: how many updates are in them
  stopped: Array  # bool: an update was not sound, and none is made after it


class Update(NamedTuple):
  """The compiled update."""

  program: Program  # (state, running, batch, key, index) -> (state, running, policy's parameters, latents, status)
  metrics: tuple[str, ...]  # names of the sums in its `running`


class Programs:
  """The update, which begins to compile at construction, and the report, which does when somebody asks for it."""

  def __init__(
    self,
    agent: Agent,
    state: State,
    batch: Batch,
    mesh: Mesh,
    *,
    skip: bool = False,
    compile_update: Callable[[Source], Program] = compile_source,
    compiling: Callable[[], str] = lambda: "compiling the update",
  ):
    """
    Args:
      state: shapes, dtypes and shardings, as `abstract_state` gives them.
      batch: this host's rows of every batch, as `Replay.batch_spec`.
      skip: updates that are not sound are left out and those after them made; else none is made after the first.
      compile_update: called in the thread.
      compiling: what it does, for people.

    Raises:
      ValueError: the batch cannot be split over the devices.
    """
    self.agent, self.mesh, self.skip, self.compiling = agent, mesh, skip, compiling
    hosts = len({device.process_index for device in mesh.devices.flat})

    def whole(rows: ArraySpec) -> jax.ShapeDtypeStruct:
      shape = (hosts * rows.shape[0], *rows.shape[1:])
      return jax.ShapeDtypeStruct(shape, jnp.dtype(rows.dtype), sharding=batch_sharded(mesh))

    self.batch: Batch = jax.tree.map(whole, batch)  # that of all hosts, as shapes
    check_batch_size(self.batch.steps.reward.shape[0], mesh)
    self._state = state
    self._key = abstract_key(mesh)
    self._learn = jax.jit(agent.update)  # traced for its metrics' names, and not once more as a part of the update
    self._threads = ThreadPoolExecutor(1, COMPILES)
    self._update: Future[Update] = self._threads.submit(self._compile_update, compile_update)
    self._report: Future[Program] | None = None

  @property
  def compiled(self) -> bool:
    """Whether the update is ready; raises what its tracing or compilation has raised."""
    return self._update.done() and self._update.result() is not None

  def wait_compiled(self, check: Callable[[], None]) -> None:
    """Waits until `compiled`; calls `check` meanwhile, which may raise to leave."""
    while not self.compiled:
      check()
      time.sleep(0.05)

  @property
  def update(self) -> Update:
    """Waits for the compiler."""
    return self._update.result()

  @property
  def flops(self) -> Mapping[str, int]:
    """Floating-point operations of the matrix products and convolutions of one update by dtype; takes seconds to count."""
    return flops(self._update_source(self.update.metrics))

  @property
  def batch_bytes(self) -> int:
    """Bytes of one batch."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.batch))

  def prepare_report(self) -> None:
    """Begins to compile `report`, after the update."""
    if self._report is None:
      self._report = self._threads.submit(self._compile_report)

  @property
  def report(self) -> Program:
    """The agent's report, (state, batch, key) -> {name: array}. Waits for the compiler."""
    self.prepare_report()
    assert self._report is not None
    return self._report.result()

  def close(self, *, wait: bool = True) -> None:
    """Ends the thread, after the compilation in progress. wait: until then; only the process's end stops a compiler."""
    self._threads.shutdown(wait=wait, cancel_futures=True)

  def _compile_update(self, compile_update: Callable[[Source], Program]) -> Update:
    with jax.set_mesh(self.mesh):
      _, _, metrics = self._learn.eval_shape(self._state, self.batch, self._key)
    names = tuple(sorted(metrics))
    return Update(compile_update(self._update_source(names)), names)

  def _update_source(self, metrics: tuple[str, ...]) -> Source:
    def update(state, running, batch, key, index):
      new, latents, metrics = self._learn(state, batch, jax.random.fold_in(key, index))
      status = update_status(new, metrics)
      made = status.finite & ~running.stopped
      state = jax.tree.map(lambda new, old: jnp.where(made, new, old), new, state)
      # Summed on the device: the host then neither waits for metrics nor keeps scalars of every update.
      totals = {
        name: total + jnp.where(made, jnp.asarray(metrics[name], jnp.float32), 0)
        for name, total in running.totals.items()
      }
      stopped = running.stopped if self.skip else running.stopped | ~status.finite
      return state, Running(totals, running.made + made, stopped), self.agent.policy_params(state), latents, status

    everywhere, split = replicated(self.mesh), batch_sharded(self.mesh)

    def scalar(dtype: Any) -> jax.ShapeDtypeStruct:
      return jax.ShapeDtypeStruct((), dtype, sharding=everywhere)

    running = Running({name: scalar(jnp.float32) for name in metrics}, scalar(jnp.int32), scalar(jnp.bool))
    state = jax.tree.map(lambda leaf: leaf.sharding, self._state)
    arguments = (self._state, running, self.batch, self._key, scalar(jnp.uint32))
    return Source(update, arguments, (state, everywhere, everywhere, split, everywhere), donated=(0, 1))

  def _compile_report(self) -> Program:
    everywhere = replicated(self.mesh)
    jitted = jax.jit(
      self.agent.report,
      in_shardings=jax.tree.map(lambda leaf: leaf.sharding, (self._state, self.batch, self._key)),
      out_shardings=everywhere,
    )
    return jitted.lower(self._state, self.batch, self._key).compile()
