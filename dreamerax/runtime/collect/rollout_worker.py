"""Steps environments with a copy of the policy, a chunk of steps at a time, as an actor does wherever it runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from dreamerax.envs.base import Work
from dreamerax.runtime.collect.collector import Collector
from dreamerax.runtime.collect.policy import AgentPolicy, UniformPolicy
from dreamerax.runtime.collect.remote import Chunk
from dreamerax.runtime.protocol import Agent, MakeEnvs, Params
from dreamerax.runtime.seeds import key
from dreamerax.types import ArrayDict, EnvSpec, Transition

CHUNK = 16  # steps of each environment


@dataclass(frozen=True)
class StepperSetup:
  """The arguments of a `Stepper` that all actors share; they can be pickled."""

  make_agent: Callable[[], Agent]
  make_envs: MakeEnvs
  latents: Mapping[str, str]  # dtypes in which the trainer stores them


class _Recorder:
  """Takes the place of the replay."""

  def __init__(self, dtypes: Mapping[str, str]):
    self._dtypes = dtypes
    self._rows: list[Transition] = []
    self._latents: list[ArrayDict] = []
    self.ended: list[Mapping[int, Mapping[str, float]]] = []  # of each row, before it is added

  def add(self, transition: Transition, latents: ArrayDict, streams: Sequence[int] | None = None) -> None:
    self._rows.append(jax.tree.map(np.array, transition))  # what environments show is theirs again two steps later
    self._latents.append({name: latents[name].astype(dtype) for name, dtype in self._dtypes.items()})

  def take(self, work: Work) -> Chunk:
    """Returns what was added since the last call."""
    rows, latents = (jax.tree.map(lambda *leaves: np.stack(leaves), *steps) for steps in (self._rows, self._latents))
    ended, self._rows, self._latents, self.ended = self.ended, [], [], []
    return Chunk(rows, latents, work, ended)


class Stepper:
  """Some environments of a run, and a policy."""

  def __init__(self, setup: StepperSetup, num_envs: int, seed: int):
    """
    Args:
      seed: of the environments and of the policy's noise.

    Raises:
      what making the environments raises.
    """
    agent, self._envs = setup.make_agent(), setup.make_envs(num_envs, seed)
    self._uniform = UniformPolicy(agent, self._envs.spec, seed)
    self._policy = AgentPolicy(agent, explore=True, key=key(seed))
    self._random = True
    self._recorder = _Recorder(setup.latents)
    self._collector = Collector(self._uniform, self._envs, self._recorder)
    self._ended: Mapping[int, Mapping[str, float]] = {}  # logs of the episodes that the newest row ends

  def spec(self) -> EnvSpec:
    """The spec of its environments."""
    return self._envs.spec

  def collect(self, params: Params, random: bool) -> Chunk:
    """Returns the next chunk of steps. params: on the host, for the policy. random:
    uniform actions instead."""
    if random != self._random:
      self._random = random
      self._collector.follow(self._uniform if random else self._policy)
    before = self._collector.work
    for _ in range(CHUNK):
      self._recorder.ended.append(self._ended)
      self._collector.send(params)
      _, episodes = self._collector.receive()
      self._ended = {episode.stream: dict(episode.log) for episode in episodes if episode.log}
    now = self._collector.work
    return self._recorder.take(Work(now.total - before.total, now.rendering - before.rendering))
