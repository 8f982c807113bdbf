"""Moves batches to the device while the previous update still runs."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dreamerax.replay.replay import Slots
from dreamerax.types import Batch


class Prefetch:
  """Draws batches on request and transfers them in one background thread, in order.

  Drawing happens in the caller's thread, so its order among additions and write-backs, and with it every batch, depends
  on the program alone and not on how fast the threads run. Only the transfer overlaps.
  """

  def __init__(self, sample: Callable[[], tuple[Batch, Slots]], transfer: Callable[[Batch], Any], depth: int = 2):
    """Starts with nothing requested.

    Args:
      sample: draws a batch on the host; its arrays must not be used again by anyone else.
      transfer: moves a batch to the device; called in the background thread.
      depth: how many batches may be requested and not yet taken.
    """
    if depth < 1:
      raise ValueError(f"depth={depth} must be at least 1")
    self.depth = depth
    self._sample = sample
    self._transfer = transfer
    self._pending: deque[tuple[Future, Slots]] = deque()
    self._thread = ThreadPoolExecutor(1, "replay-prefetch")

  @property
  def pending(self) -> int:
    """The number of batches that are requested and not yet taken."""
    return len(self._pending)

  def request(self) -> None:
    """Draws a batch now and begins its transfer.

    Raises:
      RuntimeError: `depth` batches wait already, or the prefetch is closed.
    """
    if len(self._pending) >= self.depth:
      raise RuntimeError(f"{self.depth} batches wait already: take one with next() first, or raise depth")
    self.put(*self._sample())

  def put(self, batch: Batch, slots: Slots) -> None:
    """Begins the transfer of a batch that was drawn before, by an earlier process say."""
    self._pending.append((self._thread.submit(self._transfer, batch), slots))

  def wait(self) -> list[tuple[Any, Slots]]:
    """Waits until every requested batch is transferred; returns what `next` will return, and keeps it."""
    return [(future.result(), slots) for future, slots in self._pending]

  def next(self) -> tuple[Any, Slots]:
    """Waits for the oldest requested batch; returns what `transfer` made of it, and where it came from.

    Raises:
      RuntimeError: nothing was requested.
      Exception: whatever `transfer` raised for this batch.
    """
    if not self._pending:
      raise RuntimeError("no batch was requested: call request() first")
    future, slots = self._pending.popleft()
    return future.result(), slots

  def close(self) -> None:
    """Drops what was not taken and ends the thread, after the transfer in progress."""
    self._pending.clear()
    self._thread.shutdown(wait=True, cancel_futures=True)

  def __enter__(self) -> "Prefetch":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()
