"""Runs the agent's updates on batches from replay, ahead of the host."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dreamerax.replay import Prefetch, Replay, ReplayConfig, Slots
from dreamerax.runtime.compilation import Program, Source, compile_source, flops
from dreamerax.runtime.guard import Guard, Spoilt, Verdict, judge
from dreamerax.runtime.leaves import from_leaves, to_leaves
from dreamerax.runtime.protocol import Agent, Params, State
from dreamerax.runtime.sharding import batch_sharded, check_batch_size, own_rows, put, put_rows, replicated
from dreamerax.runtime.timing import Timer
from dreamerax.types import Array, ArraySpec, Batch, EnvSpec, Transition

_IN_FLIGHT = 4  # updates dispatched and not waited for; bounds the memory of their batches and latents


class _Running(NamedTuple):
  """What goes from update to update beside the state, on the device."""

  totals: Mapping[str, Array]  # sums of the metrics since they were last taken
  made: Array  # int32: how many updates are in them
  stopped: Array  # bool: an update was not sound, and none is made after it


class _Dispatched(NamedTuple):
  """An update that was dispatched and not waited for."""

  update: int
  batch: Batch
  slots: Slots
  latents: Mapping[str, jax.Array]
  verdict: Verdict


class Learner:
  """Holds the state, which every update replaces, and which is always finite.

  Dispatch returns before the device is done, so that the caller acts and steps environments meanwhile, with parameters that
  are one update older than the newest. What goes into an update depends on the order of calls alone: batches are drawn when
  the previous update is dispatched, and refreshed latents return to replay before the next call of `run`, or at once behind
  `_IN_FLIGHT` updates. An update whose losses or state would not be finite is not made; see `Guard`.
  """

  def __init__(
    self,
    agent: Agent,
    spec: EnvSpec,
    replay: Replay,
    mesh: Mesh,
    *,
    state: State,
    updates: int,
    key: jax.Array,
    timer: Timer | None = None,
    guard: Guard | None = None,
    extra: Mapping[str, Any] | None = None,
    compile_update: Callable[[Source], Program] = compile_source,
  ):
    """
    Args:
      spec: of the environments whose steps are in the replay.
      replay: this host's, which gives its rows of every batch.
      state: lies on the mesh as `init_state` puts it; belongs to the learner from now on.
      updates: how many updates have made this state.
      key: update number n draws from this key folded with n, so that a restart continues the stream.
      timer: sums the sections "sample", "transfer", "update" and "write_back".
      guard: says what follows an update that is not sound; by default the run ends.
      extra: what `extra()` gave beside this state; None begins without a batch and without metrics.
      compile_update: called in a thread of its own.

    Raises:
      ValueError: the batch cannot be split over the devices.
    """
    hosts = len({device.process_index for device in mesh.devices.flat})
    check_batch_size(replay.config.batch_size * hosts, mesh)
    self.state = state
    self.updates = updates
    self._agent, self._replay, self._timer, self._guard = agent, replay, timer or Timer(), guard or Guard()
    self._data, self._all = batch_sharded(mesh), replicated(mesh)
    self._state = jax.tree.map(lambda leaf: leaf.sharding, state)
    self._key = put(key, self._all)
    batch = _batch_shapes(spec, agent.latent_spec, replay.config, hosts, self._data)
    _, _, metrics = jax.eval_shape(agent.update, state, batch, key)
    zeros = {name: np.zeros((), np.float32) for name in metrics}
    # Copies, because an update gives the memory of the state before it away.
    copy = jax.jit(lambda state: jax.tree.map(jnp.copy, agent.policy_params(state)), out_shardings=self._all)
    self._coming = copy(state)
    self._acting = self._coming
    self._nothing = _Running(zeros, np.zeros((), np.int32), np.zeros((), bool))
    self._running = put(self._nothing, self._all)
    self._in_flight: deque[_Dispatched] = deque()
    self._newest: Batch | None = None
    self._prefetch = Prefetch(replay.sample, lambda batch: put_rows(batch, mesh), depth=1)
    self._threads = ThreadPoolExecutor(1, "compile")
    self._shapes = (_shapes(state), _shapes(self._running), batch, _shapes(self._key))
    if extra:
      self._restore(extra)
    self._compile = compile_update
    self._update: Future[Program] = self._threads.submit(lambda: self._compile(self._update_source()))
    self._report: Future | None = None

  @property
  def acting_params(self) -> Params:
    """What the policy acts with: the parameters before the newest dispatched update, so that nobody waits for that one."""
    return self._acting

  @property
  def newest_params(self) -> Params:
    """Parameters after the newest dispatched update; whoever uses them waits for it."""
    return self._coming

  @property
  def compiled(self) -> bool:
    """Whether the update is ready; it began to compile at construction."""
    return self._update.done()

  def wait_compiled(self, check: Callable[[], None]) -> None:
    """Waits until `compiled`; calls `check` meanwhile, which may raise to leave."""
    while not self.compiled:
      check()
      time.sleep(0.05)
    self._update.result()

  @property
  def flops(self) -> int:
    """Floating-point operations of the matrix products and convolutions of one update; takes seconds to count."""
    return flops(self._update_source())

  @property
  def batch_bytes(self) -> int:
    """Bytes of one batch."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self._shapes[2]))

  def run(self, count: int) -> None:
    """Dispatches `count` updates."""
    if count == 0:
      return
    self.flush()
    if not self._prefetch.pending:
      self._request()
    for _ in range(count):
      batch, slots = self._prefetch.next()
      self._newest = batch
      with self._timer("update") as made:
        self._acting = self._coming
        self.state, self._running, self._coming, latents, verdict = self._update.result()(
          self.state, self._running, batch, self._key, np.uint32(self.updates)
        )
        made(self._running)
      self._in_flight.append(_Dispatched(self.updates, batch, slots, latents, verdict))
      self.updates += 1
      self._write_back(_IN_FLIGHT)
      self._request()

  def flush(self) -> None:
    """Waits for every dispatched update and returns its latents to replay.

    Raises:
      Diverged: one of them was not sound, and such updates are not skipped.
    """
    self._write_back(0)

  def take_metrics(self) -> dict[str, float]:
    """Means over the updates made since the last call, {} if there were none. Waits for the newest update."""
    running = jax.device_get(self._running)
    if not running.made:
      return {}
    self._running = put(self._nothing._replace(stopped=running.stopped), self._all)
    return {name: float(total) / int(running.made) for name, total in running.totals.items()}

  def extra(self) -> dict[str, Any]:
    """What a learner needs beside state, count of updates and replay to go on as if nothing had happened, on the host.

    The batch that was drawn for the next update, and the sums of metrics. Call `flush` before.
    """
    running = jax.device_get(self._running)
    tree: dict[str, Any] = {"totals": dict(running.totals), "made": np.asarray(running.made)}
    tree["acting"] = to_leaves(self._acting)
    for batch, slots in self._prefetch.wait():
      tree["slots"] = slots._asdict()
      tree["batch"] = to_leaves(own_rows(batch))
    return tree

  @property
  def skipped(self) -> int:
    """Updates of this process that were left out because they were not finite."""
    return self._guard.skipped

  def prepare_report(self) -> None:
    """Begins to compile `report`, after the update."""
    if self._report is None:
      self._report = self._threads.submit(self._compile_report)

  def report(self) -> dict[str, np.ndarray]:
    """The agent's report on the newest batch; {} before the first update of this process."""
    if self._newest is None:
      return {}
    self.prepare_report()
    assert self._report is not None
    report = self._report.result()(self.state, self._newest, self._key)
    return {name: np.asarray(value) for name, value in report.items()}

  def close(self) -> None:
    """Ends the threads, after the compilation in progress."""
    self._threads.shutdown(wait=True, cancel_futures=True)
    self._prefetch.close()

  def _request(self) -> None:
    with self._timer("sample"):
      self._prefetch.request()
    if self._timer.synchronous:
      with self._timer("transfer") as made:
        made([batch for batch, _ in self._prefetch.wait()])

  def _write_back(self, keep: int) -> None:
    while len(self._in_flight) > keep:
      done = self._in_flight.popleft()
      with self._timer("write_back"):
        verdict = jax.device_get(done.verdict)
        if verdict.sound:
          self._replay.update_latents(done.slots, own_rows(done.latents))
          continue
      losses = {name: float(value) for name, value in verdict.losses.items()}
      self._guard.refuse(Spoilt(done.update, losses, own_rows(done.batch), done.slots, self.state))

  def _restore(self, extra: Mapping[str, Any]) -> None:
    totals = {name: np.asarray(extra["totals"].get(name, zero)) for name, zero in self._nothing.totals.items()}
    running = self._nothing._replace(totals=totals, made=np.asarray(extra["made"], np.int32))
    self._running = put(running, self._all)
    self._acting = put(from_leaves(extra["acting"], self._coming), self._all)
    if "batch" in extra and len(extra["batch"]["0"]) == self._replay.config.batch_size:  # or devices have changed
      self._prefetch.put(from_leaves(extra["batch"], self._shapes[2]), Slots(**extra["slots"]))

  def _update_source(self) -> Source:
    stop = not self._guard.skip

    def update(state, running, batch, key, index):
      new, latents, metrics = self._agent.update(state, batch, jax.random.fold_in(key, index))
      verdict = judge(new, metrics)
      made = verdict.sound & ~running.stopped
      state = jax.tree.map(lambda new, old: jnp.where(made, new, old), new, state)
      # Summed on the device: the host then neither waits for metrics nor keeps scalars of every update.
      totals = {
        name: total + jnp.where(made, jnp.asarray(metrics[name], jnp.float32), 0)
        for name, total in running.totals.items()
      }
      running = _Running(totals, running.made + made, running.stopped | (~verdict.sound & stop))
      return state, running, self._agent.policy_params(state), latents, verdict

    index = jax.ShapeDtypeStruct((), jnp.uint32, sharding=self._all)
    results = (self._state, self._all, self._all, self._data, self._all)
    return Source(update, (*self._shapes, index), results, donated=(0, 1))

  def _compile_report(self) -> Any:
    jitted = jax.jit(self._agent.report, in_shardings=(self._state, self._data, self._all), out_shardings=self._all)
    state, _, batch, key = self._shapes
    return jitted.lower(state, batch, key).compile()


def _shapes(tree: Any) -> Any:
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def _batch_shapes(
  spec: EnvSpec, latents: Mapping[str, ArraySpec], config: ReplayConfig, hosts: int, sharding: Any
) -> Batch:
  """What `Replay.sample` gives on all hosts together, as shapes."""
  size, length = config.batch_size * hosts, config.batch_length

  def shape(array: ArraySpec, *leading: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((*leading, *array.shape), jnp.dtype(array.dtype), sharding=sharding)

  flag = shape(ArraySpec((), "bool"), size, length)
  steps = Transition(
    observation={name: shape(array, size, length) for name, array in spec.observation.items()},
    action=shape(ArraySpec((spec.action.size,)), size, length),
    reward=shape(ArraySpec(()), size, length),
    is_first=flag,
    is_last=flag,
    is_terminal=flag,
  )
  return Batch(steps, {name: shape(array, size) for name, array in latents.items()} if config.context else {})
