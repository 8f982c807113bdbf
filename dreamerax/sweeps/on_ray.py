"""The pool of a Ray cluster, or of a Ray on this machine alone: an actor for each attempt, which holds what it asks for."""

from typing import Any

from dreamerax.runtime.ray_connection import connect
from dreamerax.sweeps.process import Attempt, Event, Job
from dreamerax.sweeps.spec import Resources

_GPU_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"
_JAX_SHARE = 0.75  # of a GPU's memory that jax takes by itself


class _Actor:
  """Holds an attempt on some node. Its methods return at once, and Ray repeats none of them."""

  def begin(self, job: Job) -> None:
    share = job.resources.gpus
    self._attempt = Attempt(job, {_GPU_MEMORY: f"{_JAX_SHARE * share:.3f}"} if 0 < share < 1 else {})

  def poll(self) -> Event | None:
    return self._attempt.poll()

  def stop(self) -> None:
    self._attempt.stop()


class _Remote:
  """A job, its actor, and the answer that is awaited from it."""

  def __init__(self, job: Job, actor: Any):
    self.job, self.actor = job, actor
    self.began = False
    self.answer = actor.begin.remote(job)


class OnRay:
  """Queues all jobs with Ray, which begins each where its resources are free."""

  def __init__(self, address: str):
    """
    Args:
      address: "local" starts a Ray on this machine, which listens on loopback alone and ends with this process; anything
        else is the address of a cluster.

    Raises:
      ValueError: ray is not installed, or there is no cluster.
    """
    self._ray = ray = connect(address, "--ray")
    self._task_error, self._error = ray.exceptions.RayTaskError, ray.exceptions.RayError
    self._actor = ray.remote(max_restarts=0, max_task_retries=0)(_Actor)
    self._remotes: list[_Remote] = []

  def check(self, resources: Resources) -> str | None:
    """What the nodes that are there now lack for such a trial, in words; None where it could run."""
    asked = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": resources.memory, **resources.custom}
    nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= amount for name, amount in asked.items()) for node in nodes):
      return None
    wanted = ", ".join(f"{name} {amount:g}" for name, amount in asked.items() if amount)
    return f"no node of this Ray has {wanted} in all"

  def submit(self, job: Job) -> None:
    """See Pool."""
    asked = job.resources
    options = self._actor.options(
      num_cpus=asked.cpus, num_gpus=asked.gpus, memory=asked.memory or None, resources=dict(asked.custom)
    )
    self._remotes.append(_Remote(job, options.remote()))

  def poll(self) -> list[Event]:
    """See Pool."""
    events = [self._look_at(remote) for remote in self._remotes.copy()]
    return [event for event in events if event]

  @property
  def busy(self) -> bool:
    """See Pool."""
    return bool(self._remotes)

  def stop(self) -> None:
    """See Pool."""
    for remote in self._remotes.copy():
      if remote.began:
        remote.actor.stop.remote()
      else:
        self._forget(remote)

  def close(self) -> None:
    """See Pool."""
    for remote in self._remotes.copy():
      self._forget(remote)
    self._ray.shutdown()

  def _look_at(self, remote: _Remote) -> Event | None:
    if not self._ray.wait([remote.answer], timeout=0)[0]:
      return None
    try:
      event: Any = self._ray.get(remote.answer)
    except self._task_error as error:
      event = Event(remote.job.name, "crashed", str(error.cause))
    except self._error as error:  # the actor, or its node, is gone, and with it the attempt
      event = Event(remote.job.name, "crashed", str(error).strip().partition("\n")[0])
    else:
      if not remote.began:
        remote.began, event = True, Event(remote.job.name, "began")
      if event is None or event.kind == "began":
        remote.answer = remote.actor.poll.remote()
        return event
    self._forget(remote)
    return event

  def _forget(self, remote: _Remote) -> None:
    self._ray.kill(remote.actor)
    self._remotes.remove(remote)
