"""Runs the agent's updates on batches from replay, ahead of the host."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.replay import Prefetch, Replay, Slots
from dreamerax.runtime.checkpoint.leaves import from_leaves, to_leaves
from dreamerax.runtime.checkpoint.metadata import restoring
from dreamerax.runtime.devices.sharding import own_rows, put, put_rows, replicated
from dreamerax.runtime.learn.finite import Guard, RejectedUpdate, UpdateStatus
from dreamerax.runtime.learn.update import Programs, Running
from dreamerax.runtime.protocol import Params, State
from dreamerax.runtime.telemetry.timing import Timer
from dreamerax.types import Batch

_IN_FLIGHT = 4  # updates dispatched and not waited for; bounds the memory of their batches and latents
_NOTHING = Running({}, np.zeros((), np.int32), np.zeros((), bool))  # before the first update


class _Dispatched(NamedTuple):
  """An update that was dispatched and not waited for."""

  update: int
  batch: Batch
  slots: Slots
  latents: Mapping[str, jax.Array]
  status: UpdateStatus


class Learner:
  """Holds the state, which every update replaces, and which is always finite.

  Dispatch returns before the device is done, so that the caller acts and steps environments meanwhile, with parameters that
  are one update older than the newest. What goes into an update depends on the order of calls alone: batches are drawn when
  the previous update is dispatched, and refreshed latents return to replay before the next call of `run`, or at once behind
  `_IN_FLIGHT` updates. With `on_policy`, batches are drawn when `run` is called, and the policy gets what it made at once:
  it waits for the updates. An update whose losses or state would not be finite is not made; see `Guard`.
  """

  def __init__(
    self,
    programs: Programs,
    replay: Replay,
    *,
    state: State,
    updates: int,
    key: jax.Array,
    timer: Timer | None = None,
    guard: Guard | None = None,
    extra: Mapping[str, Any] | None = None,
    on_policy: bool = False,
  ):
    """
    Args:
      programs: of this replay's batches.
      replay: this host's, which gives its rows of every batch.
      state: lies on the mesh as `init_state` puts it; belongs to the learner from now on.
      updates: how many updates have made this state.
      key: update number n draws from this key folded with n, so that a restart continues the stream.
      timer: sums the sections "sample", "transfer", "update" and "write_back".
      guard: says what follows an update that is not sound; by default the run ends, or as `programs` skip such updates.
      extra: what `extra()` gave beside this state; None begins without a batch and without metrics.
      on_policy: no batch is older than the call of `run` that learns from it, and no policy older than the newest update.
    """
    self.state = state
    self.updates = updates
    self.programs = programs
    self._replay, self._timer, self._on_policy = replay, timer or Timer(), on_policy
    self._guard = guard or Guard(skip=programs.skip)
    self._all = replicated(programs.mesh)
    self._key = put(key, self._all)
    # Copies, because an update gives the memory of the state before it away.
    copy = jax.jit(lambda state: jax.tree.map(jnp.copy, programs.agent.policy_params(state)), out_shardings=self._all)
    self._coming = copy(state)
    self._acting = self._coming
    self._before = _NOTHING  # on the host, for the next update to go on from
    self._running: Running | None = None  # on the devices, since then
    self._in_flight: deque[_Dispatched] = deque()
    self._newest: Batch | None = None
    self._prefetch = Prefetch(replay.sample, lambda batch: put_rows(batch, programs.mesh), depth=1)
    if extra:
      with restoring():
        self._restore(extra)

  @property
  def acting_params(self) -> Params:
    """The parameters that the policy acts with: those before the newest dispatched
    update, so that nobody waits for it; `newest_params` where it has to be on policy."""
    return self._coming if self._on_policy else self._acting

  @property
  def newest_params(self) -> Params:
    """Parameters after the newest dispatched update; whoever uses them waits for it."""
    return self._coming

  def run(self, count: int) -> None:
    """Dispatches `count` updates. Waits for the compiler before the first one."""
    if count == 0:
      return
    program, metrics = self.programs.update
    if self._running is None:
      self._running = self._begin_sums(metrics)
    self.flush()
    if not self._prefetch.pending:
      self._request()
    for left in reversed(range(count)):
      batch, slots = self._prefetch.next()
      self._newest = batch
      with self._timer("update") as made:
        self._acting = self._coming
        self.state, self._running, self._coming, latents, status = program(
          self.state, self._running, batch, self._key, np.uint32(self.updates)
        )
        made(self._running)
      self._in_flight.append(_Dispatched(self.updates, batch, slots, latents, status))
      self.updates += 1
      self._write_back(_IN_FLIGHT)
      if left or not self._on_policy:
        self._request()

  def flush(self) -> None:
    """Waits for every dispatched update and returns its latents to replay.

    Raises:
      Diverged: one of them was not sound, and such updates are not skipped.
    """
    self._write_back(0)

  def take_metrics(self) -> dict[str, float]:
    """Means over the updates made since the last call, {} if there were none. Waits for the newest update."""
    sums = self._sums()
    if not sums.made:
      return {}
    self._before, self._running = _NOTHING._replace(stopped=sums.stopped), None
    return {name: float(total) / int(sums.made) for name, total in sums.totals.items()}

  def extra(self) -> dict[str, Any]:
    """Returns what a learner needs beside state, count of updates and replay to go on
    as if nothing had happened.

    The batch that was drawn for the next update, and the sums of metrics. Call `flush` before.
    """
    sums = self._sums()
    tree: dict[str, Any] = {"totals": dict(sums.totals), "made": np.asarray(sums.made)}
    tree["acting"] = to_leaves(self._acting)
    for batch, slots in self._prefetch.wait():
      tree["slots"] = slots._asdict()
      tree["batch"] = to_leaves(own_rows(batch))
    return tree

  @property
  def skipped(self) -> int:
    """Updates of this process that were left out because they were not finite."""
    return self._guard.skipped

  def report(self) -> dict[str, np.ndarray]:
    """The agent's report on the newest batch; {} before the first update of this process."""
    if self._newest is None:
      return {}
    report = self.programs.report(self.state, self._newest, self._key)
    return {name: np.asarray(value) for name, value in report.items()}

  def close(self) -> None:
    """Ends the thread that transfers batches."""
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
        status = jax.device_get(done.status)
        if status.finite:
          self._replay.update_latents(done.slots, own_rows(done.latents))
          continue
      losses = {name: float(value) for name, value in status.losses.items()}
      self._guard.reject(RejectedUpdate(done.update, losses, own_rows(done.batch), done.slots, self.state))

  def _restore(self, extra: Mapping[str, Any]) -> None:
    self._before = _NOTHING._replace(totals=extra["totals"], made=np.asarray(extra["made"], np.int32))
    self._acting = put(from_leaves(extra["acting"], self._coming), self._all)
    if "batch" in extra and len(extra["batch"]["0"]) == self._replay.config.batch_size:  # or devices have changed
      self._prefetch.put(from_leaves(extra["batch"], self.programs.batch), Slots(**extra["slots"]))

  def _sums(self) -> Running:
    """Brings the sums to the host. Waits for the newest update."""
    return self._before if self._running is None else jax.device_get(self._running)

  def _begin_sums(self, metrics: Sequence[str]) -> Running:
    """Begins sums on the devices, from those on the host on."""
    totals = {name: np.asarray(self._before.totals.get(name, 0), np.float32) for name in metrics}
    return put(self._before._replace(totals=totals), self._all)
