"""Spreads a trial over several hosts: an actor for each, in a placement group, of which
the first says where to meet."""

import time
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from dreamerax.sweeps.process import Event, Job
from dreamerax.sweeps.ray_actor import Remote, reason_of


class Group:
  """Has the methods of `Remote`; what happens to its hosts is told as what happens to the one trial."""

  def __init__(self, ray: ModuleType, job: Job, actor: Any, options: Mapping[str, Any], grace: float):
    """
    Args:
      ray: the connected module.
      actor: the remote class of `AttemptActor`.
      options: of the actor on each host.
      grace: seconds that the others have to notice that one is gone, for which jax takes up to 30.
    """
    self._ray, self._job, self._grace = ray, job, grace
    hosts = job.resources.hosts
    self._placement = ray.util.placement_group([job.resources.amounts()] * hosts, strategy="SPREAD")
    in_bundle = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
    self._actors = [
      actor.options(**options, scheduling_strategy=in_bundle(self._placement, i)).remote() for i in range(hosts)
    ]
    self._address = self._actors[0].free_address.remote()  # answered once there is room for all
    self._remotes: list[Remote] = []  # none before the address is known
    self._ends: dict[int, Event] = {}  # by host, in the order in which they ended
    self._deadline = float("inf")  # by the clock, for the others after a bad end
    self.began = False

  def poll(self) -> Event | None:
    """See Remote. The trial begins when all hosts have begun, and ends when all have ended."""
    if not self._remotes:
      return self._meet()
    for host, remote in enumerate(self._remotes):
      if host not in self._ends and (event := remote.poll()) and event.kind != "began":
        self._ends[host] = event
        if event.kind in ("refused", "crashed"):
          self._deadline = min(self._deadline, time.monotonic() + self._grace)
    if len(self._ends) == len(self._remotes) or time.monotonic() > self._deadline:
      return merged(self._ends)
    if not self.began and all(remote.began for remote in self._remotes):
      self.began = True
      return Event(self._job.name, "began")
    return None

  def stop(self) -> None:
    """See Remote."""
    for remote in self._remotes:
      remote.stop()

  def kill(self) -> None:
    """See Remote."""
    for actor in self._actors:
      self._ray.kill(actor)
    self._ray.util.remove_placement_group(self._placement)

  def _meet(self) -> Event | None:
    if not self._ray.wait([self._address], timeout=0)[0]:
      return None
    try:
      address = self._ray.get(self._address)
    except self._ray.exceptions.RayError as error:
      return Event(self._job.name, "crashed", reason_of(self._ray, error))
    place = ("--coordinator", address, "--processes", str(len(self._actors)), "--process")
    for host, actor in enumerate(self._actors):
      job = replace(self._job, command=(*self._job.command, *place, str(host)), host=host)
      self._remotes.append(Remote(self._ray, job, actor))
    return None


def merged(ends: dict[int, Event]) -> Event:
  """The end of a trial.

  Args:
    ends: by host, in the order in which they ended.
  """
  refused = {host: event for host, event in ends.items() if event.kind == "refused"}
  if refused:
    return refused[min(refused)]  # where host 0 refuses, the others only say that it did
  crashed = [event for event in ends.values() if event.kind == "crashed"]
  return crashed[0] if crashed else ends[0]  # host 0 has written how far the run is
