"""Actors on a Ray cluster, or on a Ray of this machine alone, that step environments on CPUs."""

from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any

import jax
import numpy as np

from dreamerax.envs.faults import EnvironmentFault
from dreamerax.runtime.collect.remote import Chunk, Lost
from dreamerax.runtime.collect.rollout_worker import Stepper, StepperSetup
from dreamerax.runtime.protocol import Params
from dreamerax.runtime.seeds import actor_seed
from dreamerax.types import EnvSpec

_ON_CPUS = {"env_vars": {"JAX_PLATFORMS": "cpu"}}


class RayActors:
  """See `remote.Actors`. Each has a CPU to itself; none is restarted by Ray, and no chunk is made twice."""

  def __init__(self, ray: ModuleType, setup: StepperSetup, count: int, timeout: float, num_envs: int, seed: int):
    """Starts all actors and waits until the first has made its environments.

    Args:
      ray: what `connect` gave; the connection ends with these actors. It is best made before jax has begun threads, as a local
        Ray is forked off.
      count: how many actors, at most one for each environment.
      timeout: seconds after which an actor that gives nothing counts as lost.
      num_envs: over all actors.
      seed: theirs, and those of actors that take their places, follow from it.

    Raises:
      ValueError: Ray has too few CPUs, or an environment cannot be made.
    """
    self._ray: Any = ray
    self._setup, self._timeout, self._seed = setup, timeout, seed
    borders = np.linspace(0, num_envs, min(count, num_envs) + 1).astype(int).tolist()
    self.streams: Sequence[range] = [range(*pair) for pair in pairwise(borders)]
    try:
      cpus = int(ray.cluster_resources().get("CPU", 0))
      if len(self.streams) > cpus:
        raise ValueError(f"workers.count={count} asks for as many CPUs, and this Ray has {cpus}: lower --workers.count")
      self._remote = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, runtime_env=_ON_CPUS)(Stepper)
      self._starts = [0] * len(self.streams)
      self._handles = [self._start(actor) for actor in range(len(self.streams))]
      self.spec: EnvSpec = self._first_spec()
    except BaseException:
      ray.shutdown()
      raise
    self._weights: Any = None
    self._asked: dict[Any, int] = {}  # which actor each answer is awaited from, oldest first

  def publish(self, params: Params) -> None:
    """See `remote.Actors`. Waits for the parameters."""
    self._weights = self._ray.put(jax.device_get(params))

  def ask(self, actor: int, *, random: bool) -> None:
    """See `remote.Actors`."""
    self._asked[self._handles[actor].collect.remote(self._weights, random)] = actor

  def receive(self) -> tuple[int, Chunk | Lost]:
    """See `remote.Actors`."""
    # Of each actor only the oldest: answers may arrive in another order than that in which they were asked for.
    oldest: dict[int, Any] = {}
    for answer, actor in self._asked.items():
      oldest.setdefault(actor, answer)
    ready, _ = self._ray.wait(list(oldest.values()), num_returns=1, timeout=self._timeout)
    if not ready:
      actor = next(iter(self._asked.values()))
      return actor, self._lose(actor, f"it gave nothing for {self._timeout:g} seconds")
    actor = self._asked.pop(ready[0])
    try:
      return actor, self._ray.get(ready[0])
    except self._ray.exceptions.RayError as error:  # it, its process or its node is gone, or an environment has raised
      cause = getattr(error, "cause", None)
      if isinstance(cause, EnvironmentFault):
        raise EnvironmentFault(f"actor {actor}: {cause}") from None
      return actor, self._lose(actor, str(error).strip())

  def restart(self, actor: int) -> None:
    """See `remote.Actors`."""
    self._handles[actor] = self._start(actor)

  def close(self) -> None:
    """Ends all actors, and the Ray where that is on this machine alone."""
    for handle in self._handles:
      self._ray.kill(handle)
    self._ray.shutdown()

  def _start(self, actor: int) -> Any:
    seed = actor_seed(self._seed, actor, self._starts[actor])
    self._starts[actor] += 1
    return self._remote.remote(self._setup, len(self.streams[actor]), seed)

  def _lose(self, actor: int, reason: str) -> Lost:
    self._ray.kill(self._handles[actor])
    self._asked = {answer: other for answer, other in self._asked.items() if other != actor}
    return Lost(reason)

  def _first_spec(self) -> EnvSpec:
    try:
      return self._ray.get(self._handles[0].spec.remote())
    except self._ray.exceptions.RayError as error:
      raise ValueError(f"an environment could not be made in a Ray actor: {error}") from None
