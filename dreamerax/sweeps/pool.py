"""Defines a pool, a place that attempts run in, and the pool of this machine: one attempt after another."""

from collections import deque
from typing import Protocol

from dreamerax.sweeps.process import LOCK_SECONDS, Attempt, Event, Job


class Pool(Protocol):
  """Begins jobs when there is room for them. None is begun twice: an attempt that fails is told, and not repeated."""

  def submit(self, job: Job) -> None:
    """Queues a job."""
    ...

  def poll(self) -> list[Event]:
    """Returns what has happened since the last call; every job that began ends with one
    more event. Does not wait."""
    ...

  @property
  def busy(self) -> bool:
    """Whether jobs are queued or running."""
    ...

  def stop(self) -> None:
    """Forgets what is queued, and asks what is running to save and leave."""
    ...

  def close(self) -> None:
    """Ends at once what is still running."""
    ...


class OneByOne:
  """The pool of this machine, without Ray."""

  def __init__(self, lock_seconds: float = LOCK_SECONDS):
    """lock_seconds: how long an attempt waits for a directory that is in use."""
    self._lock_seconds = lock_seconds
    self._queue: deque[Job] = deque()
    self._attempt: Attempt | None = None

  def submit(self, job: Job) -> None:
    """Queues a job."""
    self._queue.append(job)

  def poll(self) -> list[Event]:
    """See Pool."""
    events = []
    if self._attempt and (ended := self._attempt.poll()):
      self._attempt = None
      events.append(ended)
    if not self._attempt and self._queue:
      job = self._queue.popleft()
      try:
        self._attempt = Attempt(job, lock_seconds=self._lock_seconds)
        events.append(Event(job.name, "began"))
      except OSError as error:
        events.append(Event(job.name, "crashed", str(error)))
    return events

  @property
  def busy(self) -> bool:
    """See Pool."""
    return bool(self._attempt or self._queue)

  def stop(self) -> None:
    """See Pool."""
    self._queue.clear()
    if self._attempt:
      self._attempt.stop()

  def close(self) -> None:
    """See Pool."""
    if self._attempt:
      self._attempt.kill()
      self._attempt = None
