"""Defines what the loop of a run asks of a collector, wherever the environments
step."""

from typing import Any, Protocol

from dreamerax.envs.base import Work
from dreamerax.runtime.collect.collector import Episode
from dreamerax.runtime.collect.policy import Acting
from dreamerax.runtime.protocol import Params


class Collecting(Protocol):
  """A collector, as a run sees it: it steps the environments and fills the replay."""

  @property
  def calls(self) -> int:
    """The number of calls of `send`."""
    ...

  @property
  def lost(self) -> int:
    """Episodes that had begun before and could not be brought back; they were cut."""
    ...

  @property
  def faults(self) -> int:
    """The number of times that environments, or those who step them, failed and were
    started again."""
    ...

  @property
  def work(self) -> Work:
    """The work of the environments so far."""
    ...

  def follow(self, policy: Acting) -> None:
    """Lets `policy` act from the next step on."""
    ...

  def send(self, params: Params) -> None:
    """Begins a step, or asks for one."""
    ...

  def receive(self) -> tuple[int, list[Episode]]:
    """Returns how many decisions have ended and are in the replay, and the episodes
    that ended with them."""
    ...

  def extra(self) -> dict[str, Any]:
    """Returns what a collector needs to go on as if nothing had happened, for a
    checkpoint."""
    ...
