"""Runs attempts on a Ray cluster, or on a Ray of this machine alone: in actors, which
hold what each attempt asks for."""

from typing import Protocol

from dreamerax.ray_connection import connect
from dreamerax.sweeps.process import Event, Job
from dreamerax.sweeps.ray_actor import AttemptActor, Remote
from dreamerax.sweeps.ray_group import Group
from dreamerax.sweeps.spec import Resources


class RemoteTrial(Protocol):
  """A trial on one host or on several."""

  began: bool

  def poll(self) -> Event | None:
    """Returns what has happened since the last call; after an end it is called no more.
    Does not wait."""
    ...

  def stop(self) -> None:
    """Asks the run to save and leave."""
    ...

  def kill(self) -> None:
    """Ends the trial, and gives back what it has of the cluster."""
    ...


class OnRay:
  """Queues all jobs with Ray, which begins each where its resources are free."""

  def __init__(self, address: str, grace: float = 45.0):
    """
    Args:
      address: "local" starts a Ray on this machine, which listens on loopback alone and ends with this process; anything
        else is the address of a cluster.
      grace: seconds that the other hosts of a trial have to notice that one is gone, before they are ended.

    Raises:
      ValueError: ray is not installed, or there is no cluster.
    """
    self._ray = ray = connect(address, "--ray")
    self._actor = ray.remote(max_restarts=0, max_task_retries=0)(AttemptActor)
    self._grace = grace
    self._remotes: list[RemoteTrial] = []

  def check(self, resources: Resources) -> str | None:
    """Says what the nodes that are there now lack for such a trial; None where it could
    run."""
    asked = resources.amounts()
    nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
    # How many hosts each node could be; a trifle more, as 0.3 holds 0.1 three times.
    fits = [min((node.get(name, 0) / asked[name] for name in asked), default=resources.hosts) for node in nodes]
    room = sum(int(times + 1e-9) for times in fits)
    if room >= resources.hosts:
      return None
    wanted = ", ".join(f"{name} {amount:g}" for name, amount in asked.items())
    if resources.hosts == 1:
      return f"no node of this Ray has {wanted} in all"
    return f"the nodes of this Ray have room for {room} of resources.hosts={resources.hosts} with {wanted} each"

  def submit(self, job: Job) -> None:
    """See Pool."""
    asked = job.resources
    options = {
      "num_cpus": asked.cpus,
      "num_gpus": asked.gpus,
      "memory": asked.memory or None,
      "resources": dict(asked.custom),
    }
    if asked.hosts > 1:
      self._remotes.append(Group(self._ray, job, self._actor, options, self._grace))
    else:
      self._remotes.append(Remote(self._ray, job, self._actor.options(**options).remote()))

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
        remote.stop()
      else:
        self._forget(remote)

  def close(self) -> None:
    """See Pool."""
    for remote in self._remotes.copy():
      self._forget(remote)
    self._ray.shutdown()

  def _look_at(self, remote: RemoteTrial) -> Event | None:
    event = remote.poll()
    if event and event.kind != "began":
      self._forget(remote)
    return event

  def _forget(self, remote: RemoteTrial) -> None:
    remote.kill()
    self._remotes.remove(remote)
