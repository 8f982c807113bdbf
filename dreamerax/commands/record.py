"""`dreamerax record`: episodes of any environment, kept on disk."""

import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from dreamerax import api, checks, envs
from dreamerax.commands.trusting import TrustOption
from dreamerax.envs import EnvConfig, WorkerConfig
from dreamerax.envs.quota import episodes_each
from dreamerax.own_code import NOBODY, Trust
from dreamerax.recordings import EpisodeFolder, record, uniform
from dreamerax.recordings.recorder import Act
from dreamerax.replay.budget import size_of
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.seeds import check_seed, key, sequence
from dreamerax.types import EnvSpec, Transition
from dreamerax.words import number_of

CHANCE = "random"
_SAY_SECONDS = 10.0


@dataclass(frozen=True)
class Arguments(TrustOption, EnvConfig):
  """Plays episodes and writes each to a file of its own when it ends; `dreamerax train-world-model` trains on them. A folder
  that holds episodes of the same environment gets further ones."""

  out: Path = Path("episodes")
  """Folder of the episodes."""
  episodes: int = 10
  """How many to add."""
  policy: str = CHANCE
  """Who acts: random, or the run directory of an agent, whose environment is then the default."""
  explore: bool = True
  """Whether an agent samples its actions, as in training, or takes their mode."""
  num_envs: int = 4
  """Environments in parallel."""
  seed: int = 0
  """Of environments and actions, together with how many episodes the folder holds already."""
  workers: WorkerConfig = field(default_factory=WorkerConfig)

  def __post_init__(self):
    super().__post_init__()
    checks.at_least(1, self, "episodes", "num_envs")
    check_seed(self.seed)


def defaults(policy: str | None, trust: Trust = NOBODY) -> tuple[Arguments, RunDirectory | None]:
  """Arguments before further options, and the run of an agent, which acts in its environment.

  Raises:
    FileNotFoundError: there is no such run.
  """
  if policy in (None, CHANCE):
    return Arguments(), None
  directory = RunDirectory.open(policy, trust)
  env = directory.config.env
  return Arguments(**{each.name: getattr(env, each.name) for each in fields(env)}), directory


def check_typed(arguments: Arguments, typed: Collection[str]) -> None:
  """Raises ValueError: a setting that was typed does not apply to the task."""
  envs.check_applies(arguments, typed)


def run(directory: RunDirectory | None, arguments: Arguments) -> int:
  """Records; returns the exit status.

  Args:
    directory: the run whose agent acts; None: uniform actions.

  Raises:
    ValueError: the task does not exist, the agent does not fit it, or the folder holds other episodes.
  """
  config = EnvConfig(**{each.name: getattr(arguments, each.name) for each in fields(EnvConfig)})
  envs.check_task(config.task)
  held = len(list(arguments.out.glob("*.npz")))
  seeds = sequence(arguments.seed, held).generate_state(2)
  count = len(episodes_each(arguments.episodes, arguments.num_envs))
  batch = envs.make_batch(config, count, int(seeds[0]), arguments.workers)
  try:
    act = _actor(directory, arguments, batch.spec, count, int(seeds[1]))
    folder = EpisodeFolder.create(arguments.out, batch.spec, {"env": asdict(config)})
    seen = _Seen(arguments.episodes)
    files = record(batch, act, folder, episodes=arguments.episodes, after=seen.add)
  finally:
    batch.close()
  nbytes = sum(file.stat().st_size for file in files)
  print(f"{arguments.out}: {number_of(len(files), 'episode')} more, {size_of(nbytes)}; {held + len(files)} in all")
  return 0


class _Seen:
  """Says now and then how far it is."""

  def __init__(self, episodes: int):
    self._episodes, self._ended, self._rows, self._said = episodes, 0, 0, time.monotonic()

  def add(self, rows: Transition) -> None:
    self._ended += int(rows.is_last.sum())
    self._rows += len(rows.reward)
    if time.monotonic() - self._said > _SAY_SECONDS:
      self._said = time.monotonic()
      print(
        f"{min(self._ended, self._episodes)} of {number_of(self._episodes, 'episode')}, {number_of(self._rows, 'step')}",
        flush=True,
      )


def _actor(directory: RunDirectory | None, arguments: Arguments, spec: EnvSpec, num_envs: int, seed: int) -> Act:
  if directory is None:
    return uniform(spec, seed)
  agent, params = api.agent_of(directory)
  if agent.spec != spec:
    raise ValueError(
      f"policy={arguments.policy} was trained on {agent.spec}, and this environment is {spec}: give the task, size and "
      "observations of its config.json"
    )
  policy = AgentPolicy(agent, explore=arguments.explore, key=key(seed))
  carry = policy.initial_carry(num_envs)

  def act(rows: Transition, call: int) -> np.ndarray:
    nonlocal carry
    actions, carry, _ = policy(params, carry, rows, call)
    return actions

  return act
