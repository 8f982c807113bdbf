"""Runs an attempt in an actor of Ray, and passes on what the actor reports."""

import socket
from types import ModuleType
from typing import Any

from dreamerax.ray_connection import node_address
from dreamerax.sweeps.process import Attempt, Event, Job

_GPU_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"
_JAX_SHARE = 0.75  # of a GPU's memory that jax takes by itself


class AttemptActor:
  """Holds an attempt on some node. Its methods return at once, and Ray repeats none of them."""

  def free_address(self) -> str:
    """HOST:PORT of this node, where nobody listens now."""
    host = node_address()
    with socket.create_server((host, 0)) as server:
      return f"{host}:{server.getsockname()[1]}"

  def begin(self, job: Job) -> None:
    """Starts the process."""
    share = job.resources.gpus
    self._attempt = Attempt(job, {_GPU_MEMORY: f"{_JAX_SHARE * share:.3f}"} if 0 < share < 1 else {})

  def poll(self) -> Event | None:
    """See Attempt."""
    return self._attempt.poll()

  def stop(self) -> None:
    """See Attempt."""
    self._attempt.stop()


class Remote:
  """A job, its actor, and the answer that is awaited from it."""

  def __init__(self, ray: ModuleType, job: Job, actor: Any):
    """
    Args:
      ray: the connected module.
      actor: a handle of an `AttemptActor`, which is told to begin.
    """
    self._ray, self._job, self._actor = ray, job, actor
    self.began = False
    self._answer = actor.begin.remote(job)

  def poll(self) -> Event | None:
    """Returns what has happened since the last call; after an end it is called no more.
    Does not wait."""
    if not self._ray.wait([self._answer], timeout=0)[0]:
      return None
    try:
      event = self._ray.get(self._answer)
    except self._ray.exceptions.RayError as error:
      return Event(self._job.name, "crashed", reason_of(self._ray, error))
    if not self.began:
      self.began, event = True, Event(self._job.name, "began")
    if event is None or event.kind == "began":
      self._answer = self._actor.poll.remote()
    return event

  def stop(self) -> None:
    """Asks the run to save and leave."""
    self._actor.stop.remote()

  def kill(self) -> None:
    """Ends the actor, and with it the attempt."""
    self._ray.kill(self._actor)


def reason_of(ray: ModuleType, error: Any) -> str:
  """One line: what the actor's method raised, or that the actor, or its node, is gone, and with it the attempt."""
  if isinstance(error, ray.exceptions.RayTaskError):
    return str(error.cause)
  return str(error).strip().partition("\n")[0]
