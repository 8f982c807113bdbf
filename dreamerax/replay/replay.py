"""Keeps rows of many streams on the host, and draws sequences of them to train on."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamerax.memory_limit import machine_memory
from dreamerax.replay.budget import fit, size_of
from dreamerax.replay.config import ReplayConfig
from dreamerax.replay.log import reshard
from dreamerax.replay.log.load import Loaded, Loader
from dreamerax.replay.log.segment import Layout
from dreamerax.replay.log.writer import LogFiles, RowLog, disk_budget
from dreamerax.replay.newest import NewestEpisodes
from dreamerax.replay.ring import Ring
from dreamerax.replay.sampling import Sampler
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec, Transition, column_specs, to_columns, to_transition

LATENT = "latent/"  # begins the names of latents among the columns of a row


class Slots(NamedTuple):
  """The places of a batch in the replay, where refreshed latents return."""

  streams: np.ndarray  # [B] int64
  positions: np.ndarray  # [B] int64, of steps[:, 0] in its stream; a position is never used twice


class Replay:
  """Keeps the newest steps of `streams` streams, which may grow at different speeds, and samples sequences of them.

  A sequence is `context + batch_length` consecutive steps of one stream. It may run over the end of an episode;
  `is_first` marks where. The same additions and samples in the same order give the same batches for the same seed.
  Only one thread may use it; `Prefetch` draws in its caller's thread for that reason.
  """

  def __init__(
    self, spec: EnvSpec, latent_spec: Mapping[str, ArraySpec], *, config: ReplayConfig, streams: int, seed: int
  ):
    """Reserves memory without touching it.

    Raises:
      ValueError: stored latents are asked for, and there are none; capacity or a byte budget hold less than one sequence
        per stream, or the machine has less memory; or the streams do not share the episodes of a batch evenly, where
        those are drawn.
    """
    if streams < 1:
      raise ValueError(f"streams={streams} must be at least 1: one for each environment")
    if config.context and not latent_spec:
      raise ValueError(
        f"replay.context={config.context} begins sequences with stored latents, and this world model stores none: give "
        "--replay.context 0"
      )
    self.config = config
    self._latents = list(latent_spec) if config.context else []
    columns = column_specs(spec) | {LATENT + key: latent_spec[key] for key in self._latents}
    self._budget = fit(
      columns,
      asked_steps=config.capacity,
      max_bytes=config.max_bytes,
      streams=streams,
      sequence=config.sequence,
      memory=machine_memory(),
    )
    self._layout = Layout(columns, streams)
    self._disk_bytes = 0
    if config.max_disk_bytes != 0:
      self._disk_bytes = disk_budget(config.max_disk_bytes, self._layout, self._budget.rows)
    self._log: RowLog | None = None
    self._ring = Ring(columns, streams, self._budget.rows)
    if config.draw == "newest":
      self._sampler = NewestEpisodes(self._ring, config.sequence, config.batch_size, older=config.older, seed=seed)
    else:
      self._sampler = Sampler(self._ring, config.sequence, online=config.online, seed=seed)
    self._all_streams = np.arange(streams)

  @property
  def steps(self) -> int:
    """Steps now held, over all streams."""
    return int(self._ring.stored.sum())

  @property
  def sequences(self) -> int:
    """The number of different sequences that can be sampled now."""
    return self._sampler.sequences

  @property
  def capacity(self) -> int:
    """Steps that fit, over all streams."""
    return self._budget.steps

  @property
  def bytes(self) -> int:
    """Bytes that the replay occupies once full."""
    return self._ring.nbytes

  @property
  def held(self) -> np.ndarray:
    """First and one past the last position that each stream holds, [streams, 2] int64."""
    return np.stack([self._ring.oldest, self._ring.written], -1)

  def rows(self, stream: int) -> dict[str, np.ndarray]:
    """Copies all rows that a stream holds, oldest first: {column: [rows, ...]}; `held` has their positions."""
    first, end = self.held[stream]
    copied = self._ring.read(self._ring.columns, np.array([stream]), np.array([first]), int(end - first))
    return {name: column[0] for name, column in copied.items()}

  def decisions(self, since: Sequence[int] | None = None) -> int:
    """Counts rows held that an action led to, from a position of each stream on."""
    held = zip(np.maximum(self._ring.oldest, 0 if since is None else since), self._ring.written, strict=True)
    rows = [np.arange(*positions) % self._ring.rows for positions in held]
    return sum(int((~self._ring.columns["is_first"][stream, row]).sum()) for stream, row in enumerate(rows))

  def describe(self) -> str:
    """Says in a line how many steps were asked for, and how many fit."""
    return self._budget.describe()

  def add(self, transition: Transition, latents: ArrayDict, streams: Sequence[int] | None = None) -> None:
    """Adds one step to each stream, or to each of the given ones.

    Args:
      transition: arrays [E, ...].
      latents: arrays [E, ...], the latents after seeing the step; not read where context is 0.
      streams: E distinct stream ids; None is all streams in order.

    Raises:
      ValueError: a key is missing or unknown, or a shape, dtype or stream id does not fit.
    """
    ids = self._all_streams if streams is None else self._checked_streams(streams)
    values = to_columns(transition)
    if self._latents:
      values |= {LATENT + key: value for key, value in latents.items()}
    if values.keys() != self._ring.columns.keys():
      wrong = sorted(values.keys() ^ self._ring.columns.keys())
      raise ValueError(f"a step's arrays differ from the replay's specs in {wrong}: pass exactly what the specs name")
    arrays = {name: self._checked(name, value, (len(ids),)) for name, value in values.items()}
    if self._log is not None:
      self._log.append(ids, self._ring.written[ids], arrays)
    self._ring.append(ids, arrays)
    self._sampler.appended(ids)

  @property
  def batch_spec(self) -> Batch:
    """The result of `sample` with an `ArraySpec` in place of each array."""
    size, length = self.config.batch_size, self.config.batch_length

    def batch(name: str, *leading: int) -> Any:
      column = self._ring.columns[name]  # [streams, rows, ...]
      return ArraySpec((*leading, *column.shape[2:]), column.dtype.name)

    steps = {name: batch(name, size, length) for name in self._ring.columns if not name.startswith(LATENT)}
    return Batch(to_transition(steps), {key: batch(LATENT + key, size) for key in self._latents})

  def sample(self) -> tuple[Batch, Slots]:
    """Draws a batch [B, T, ...] into freshly allocated arrays; also returns where it
    came from.

    `batch.context` holds the latents [B, ...] stored at the step before `steps[:, 0]`.

    Raises:
      ValueError: no stream holds a whole sequence yet.
    """
    streams, starts = self._sampler.draw(self.config.batch_size)
    slots = Slots(streams, starts + self.config.context)
    names = [name for name in self._ring.columns if not name.startswith(LATENT)]
    steps = self._ring.read(names, *slots, self.config.batch_length)
    before = self._ring.read([LATENT + key for key in self._latents], streams, starts, 1)
    return Batch(to_transition(steps), {key: before[LATENT + key][:, 0] for key in self._latents}), slots

  def update_latents(self, slots: Slots, latents: ArrayDict) -> int:
    """Replaces the latents [B, T, ...] of a sampled batch; steps overwritten since then are left alone.

    Returns the number of steps written, 0 where context is 0.

    Raises:
      ValueError: keys, shapes or dtypes differ from the latent spec.
    """
    if not self._latents:
      return 0
    if latents.keys() != set(self._latents):
      raise ValueError(
        f"refreshed latents {sorted(latents)} must be exactly those of the spec, {sorted(self._latents)}"
      )
    leading = (len(slots.streams), self.config.batch_length)
    values = {LATENT + key: self._checked(LATENT + key, value, leading) for key, value in latents.items()}
    return self._ring.write(slots.streams, slots.positions, values)

  def open_log(
    self,
    folder: Path,
    end: Mapping[str, Any] | None,
    say: Callable[[str], None],
    files: LogFiles | None = None,
  ) -> Loaded:
    """Loads the rows that a log holds, and from now on logs every added row. Does nothing where max_disk_bytes is 0.

    The order of later draws, and latents refreshed by training, are not in the log; `restore` brings them back.

    Args:
      folder: of the log; created if absent.
      end: what `commit_log` returned: what follows it is cut from the log for good, so that the replay is the one of that
        moment. None keeps all that is there.
      say: is told in one line how much was loaded, and in another what is missing.
      files: how the log is divided, see `RowLog`.

    Raises:
      ValueError: the log holds rows of another number of streams, or of other columns; nothing is changed then.
      RuntimeError: a log is open, or rows were added.
    """
    if self._log is not None or self.steps > 0:
      raise RuntimeError("open_log comes once, and before the first row is added")
    if self._disk_bytes == 0:
      return Loaded(self._ring.stored, 0, 0, not any((end or {}).get("written", [])))
    started = time.perf_counter()
    log = RowLog(folder, self._layout, rows=self._ring.rows, max_bytes=self._disk_bytes, files=files)
    written = None if end is None else end.get("written")
    missing, complete = Loader(self._ring, self._layout).load(log.open(end), written)
    self._log = log
    loaded = Loaded(self._ring.stored, log.skipped, missing, complete)
    if self.steps > 0:
      nbytes, seconds = size_of(self.steps * self._layout.record_bytes), time.perf_counter() - started
      say(f"replay: {self.steps:,} steps ({nbytes}) loaded from {folder} in {seconds:.1f} s")
    if not complete:
      say(
        f"replay: {folder} does not hold everything that was in memory: {loaded.skipped:,} records are damaged, "
        f"{missing:,} steps missing between others, and the rest was cut off or deleted at its beginning"
      )
    return loaded

  def take_share(self, logs: Sequence[reshard.OldLog], host: int, hosts: int) -> None:
    """Takes this host's share of the rows in the logs of other hosts, after `open_log` at its beginning.

    Every stream of theirs goes to one of `hosts` replays like this one. Episodes that were in progress end there.

    Raises:
      ValueError: a log holds rows of other columns, or of another number of streams.
    """
    streams = self._ring.streams
    wanted = reshard.assign(reshard.lengths(logs, self._ring.rows), streams, hosts)[host]
    for stream, row in reshard.take(logs, self._layout, wanted, self._ring):
      ids = np.array([stream])
      if self._log is not None:
        self._log.append(ids, self._ring.written[ids], row)
      self._ring.append(ids, row)

  def commit_log(self) -> dict[str, Any]:
    """Waits until every added row is on the disk; returns the end of the log for `open_log`, as JSON can hold it.

    What the last two returned ends need stays on the disk as far as its budget allows. {} where nothing is logged.
    """
    return {} if self._log is None else self._log.commit()

  def close_log(self) -> None:
    """Ends logging; what was added is in the log."""
    if self._log is not None:
      self._log.close()
      self._log = None

  def state(self, latents: bool) -> dict[str, np.ndarray]:
    """Returns what makes this replay again, bit for bit, with the rows of its log.

    Args:
      latents: whether to include the latents of all rows now held, because training has refreshed them.

    Returns:
      what the sampler needs; "held" [streams, 2] int64, first and one past the last
      position of each stream; with `latents` also "latent/..." [steps, ...], stream after stream, oldest rows first.
    """
    state = {**self._sampler.state(), "held": self.held}
    names = [LATENT + key for key in self._latents] if latents else []
    return state | self._ring.export(names)

  def restore(self, state: Mapping[str, np.ndarray]) -> None:
    """Takes back a `state`, after `open_log`. Latents return to the rows that the replay holds; others are left out.

    Raises:
      ValueError: the state's streams or latents are not those of this replay.
    """
    latents = {name: array for name, array in state.items() if name.startswith(LATENT)}
    held = np.asarray(state["held"])
    if latents and latents.keys() != {LATENT + key for key in self._latents}:
      raise ValueError(f"the saved replay has latents {sorted(latents)}, and this run {sorted(self._latents)}")
    if held.shape != (self._ring.streams, 2):
      raise ValueError(f"the saved replay has {len(held)} streams, and this run {self._ring.streams} environments")
    steps = int((held[:, 1] - held[:, 0]).sum())
    values = {name: self._checked(name, array, (steps,)) for name, array in latents.items()}
    self._sampler.restore(state)
    if values:
      self._ring.update(held, values)

  def _checked(self, name: str, value: object, leading: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value)
    column = self._ring.columns[name]
    expected = leading + column.shape[2:]
    if array.shape != expected:
      raise ValueError(f"{name} has shape {array.shape}, and the replay stores {expected}: fix the spec or the array")
    if array.dtype != column.dtype and not np.can_cast(array.dtype, column.dtype, "same_kind"):
      raise ValueError(f"{name} is {array.dtype}, and the replay stores {column.dtype}: fix the spec or cast the array")
    return array

  def _checked_streams(self, streams: Sequence[int]) -> np.ndarray:
    ids = np.asarray(streams, np.int64)
    count = self._ring.streams
    if ids.ndim != 1 or len(set(ids.tolist())) != len(ids) or ((ids < 0) | (ids >= count)).any():
      raise ValueError(f"streams={streams} must be distinct ids from 0 to {count - 1}")
    return ids
