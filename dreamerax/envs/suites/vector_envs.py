"""Any VectorEnv of gymnasium as a batch of environments."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from dreamerax.envs import film
from dreamerax.envs.base import EpisodeSoFar
from dreamerax.envs.episode_log import EpisodeLog
from dreamerax.envs.faults import Breach, NoPicture
from dreamerax.envs.journal import episode_seed
from dreamerax.envs.pictures import Conversion
from dreamerax.envs.suites import foreign
from dreamerax.envs.suites.spaces import Spaces
from dreamerax.envs.whole import WholeEnvs, as_flags, check_finite
from dreamerax.types import EnvSpec, Transition

_FINAL = ("final_obs", "final_observation")  # what gymnasium calls it, and what libraries from before its 1.0 do


class VectorEnvs(WholeEnvs):
  """Adapts a gymnasium.vector.VectorEnv that begins episodes by itself: `terminated` is terminal, `truncated` only last.

  NEXT_STEP: the call after an episode's last begins the next one, which is how batches work here. SAME_STEP: the last
  call begins it already, so that the first row of an episode is what the environment itself has in its second, after an
  action of zeros (the first of each choices), whose reward counts for nothing; but where all episodes end at once, as
  by a time limit, no such step is taken.

  Only all environments together can be begun from a seed. An episode that had begun is brought back where the VectorEnv
  has `checkpoint() -> {name: array}` and `restore(arrays)`, and is cut short otherwise.
  """

  def __init__(self, envs: VectorEnv, spaces: Spaces, seed: int, *, name: str, conversion: Conversion | None = None):
    """
    Args:
      envs: what is adapted; its metadata say how it begins episodes.
      spaces: of its environments.
      seed: the seeds of its resets follow from it, one after the other.
      name: how errors call it.
      conversion: what is done to its images.
    """
    super().__init__(envs.num_envs, name)
    self._spec, self._conversion = spaces.spec, conversion
    if conversion is not None:
      shown = {key: conversion.spec_of(array) for key, array in spaces.spec.observation.items()}
      self._spec = EnvSpec(shown, spaces.spec.action)
    self._envs, self._spaces, self._seed = envs, spaces, seed
    self._same_step = envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    self._resets = -1  # number of the newest
    self._lost = False  # the environments are not where the newest rows say: all begin at the next step
    self._shown: dict[str, np.ndarray] = {}  # by the newest step; first observations where SAME_STEP has begun episodes
    self._logs = [EpisodeLog() for _ in range(envs.num_envs)]

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  @property
  def forgets(self) -> bool:
    return not is_resumable(self._envs)

  def begin(self, seed: int) -> Transition:
    answer = self._envs.reset(seed=seed)
    if not isinstance(answer, tuple) or len(answer) != 2:
      raise Breach(f"reset gave {foreign.short(answer)}", "return observations, infos")
    self._lost = False
    self._shown = self._observed(answer[0])
    return self._first_rows()

  def restart(self) -> Transition:
    self._resets += 1
    return self.begin(episode_seed(self._seed, self._resets))

  def advance(self, actions: np.ndarray) -> Transition:
    if self._lost:
      return self.restart()
    if self._same_step and self._over.all():
      return self._first_rows()
    first = self._over
    actions[first] = 0
    observation, rewards, terminated, truncated, infos = self._stepped(actions)
    self._shown = self._observed(observation)
    last = terminated | truncated
    if self._same_step:
      last &= ~first  # an episode of a single step, which nobody has seen, is followed by the next
    elif (last & first).any():
      raise Breach(
        "an episode ended as it began", "let the step after an episode's last one begin the next (NEXT_STEP)"
      )
    observed = dict(self._shown)
    if self._same_step and last.any():
      observed = {key: array.copy() for key, array in observed.items()}
      for index in np.flatnonzero(last).tolist():
        for key, array in self._spaces.observe(_final(infos, index)).items():
          observed[key][index] = self._converted(key, array)
    rewards[first] = 0
    rows = Transition(observed, actions, rewards, first, last, terminated & last)
    check_finite(rows, self.spec)
    self._log(infos, rows)
    self._over = last.copy()
    return rows

  def episodes(self) -> list[EpisodeSoFar]:
    nothing = np.zeros((0, self.spec.action.size), np.float32)
    return [EpisodeSoFar(self._resets, nothing, bool(over)) for over in self._over]

  def resume(self, episodes: Sequence[EpisodeSoFar], newest: Transition) -> np.ndarray:
    """All begin at the next step: nothing of what was before can be brought back."""
    self._resets, self._lost = max(episode.number for episode in episodes), True
    self._over[:] = True
    return np.array([not episode.over for episode in episodes])

  def state(self) -> dict[str, Any] | None:
    if self.forgets:
      return None
    held: Any = self._envs
    return {
      "envs": {name: np.array(array) for name, array in held.checkpoint().items()},
      "shown": self._shown,
      "logs": np.frombuffer(json.dumps([log.state() for log in self._logs]).encode(), np.uint8),
    }

  def restore(self, state: Mapping[str, Any], episodes: Sequence[EpisodeSoFar], newest: Transition) -> None:
    self.resume(episodes, newest)
    held: Any = self._envs
    held.restore(state["envs"])
    self._lost, self._shown = False, dict(state["shown"])
    self._over = np.array([episode.over for episode in episodes])
    self._logs = [EpisodeLog(log) for log in json.loads(state["logs"].tobytes())]

  def render(self, index: int) -> np.ndarray:
    if self._envs.render_mode is None:
      raise NoPicture(
        'its render_mode is None: let the factory take an argument render_mode, which is "rgb_array" then'
      )
    return film.drawn(lambda: (self._envs.render() or ())[index])

  def close(self) -> None:
    self._envs.close()

  def _observed(self, observation: Any) -> dict[str, np.ndarray]:
    """What all environments show, [E, ...]."""
    shown = self._spaces.observe_all(observation, self.num_envs)
    if self._conversion is None:
      return shown
    return {key: np.stack([self._converted(key, each) for each in array]) for key, array in shown.items()}

  def _converted(self, key: str, array: np.ndarray) -> np.ndarray:
    is_image = self._spec.observation[key].is_image
    return self._conversion(array) if self._conversion is not None and is_image else array

  def _first_rows(self) -> Transition:
    """The rows that begin an episode everywhere, with what was shown by the newest step."""
    none = np.zeros(self.num_envs, bool)
    actions = np.zeros((self.num_envs, self.spec.action.size), np.float32)
    rows = Transition(self._shown, actions, np.zeros(self.num_envs, np.float32), ~none, none, none.copy())
    check_finite(rows, self.spec)
    self._over, self._ended = none.copy(), {}
    self._logs = [EpisodeLog() for _ in range(self.num_envs)]
    return rows

  def _stepped(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Mapping[str, Any]]:
    answer = self._envs.step(self._spaces.actions(actions))
    if not isinstance(answer, tuple) or len(answer) != 5:
      gave = f"{len(answer)} values" if isinstance(answer, tuple) else foreign.short(answer)
      raise Breach(f"step gave {gave}", "return observations, rewards, terminations, truncations, infos")
    observation, rewards, terminated, truncated, infos = answer
    rewards = np.array(rewards, np.float32)
    if rewards.shape != (self.num_envs,):
      raise Breach(f"step gave rewards {list(rewards.shape)}", f"return [{self.num_envs}]: one for each environment")
    terminated = as_flags(terminated, "terminations", self.num_envs)
    truncated = as_flags(truncated, "truncations", self.num_envs)
    return observation, rewards, terminated, truncated, infos if isinstance(infos, Mapping) else {}

  def _log(self, infos: Mapping[str, Any], rows: Transition) -> None:
    """Takes the numbers for people of this step."""
    self._ended = {}
    final = infos.get("final_info", {})
    for index in range(self.num_envs):
      if rows.is_first[index]:
        self._logs[index] = EpisodeLog()
        continue
      last = bool(rows.is_last[index])
      self._logs[index].add(foreign.log(_of(final if last and final else infos, index)))
      if last and (log := self._logs[index].episode()):
        self._ended[index] = log


def is_resumable(envs: VectorEnv) -> bool:
  """Whether it has what brings its episodes back."""
  return all(callable(getattr(envs, name, None)) for name in ("checkpoint", "restore"))


def _of(infos: Mapping[str, Any], index: int) -> dict[str, Any]:
  """What infos say of one environment, where it may be a number for people."""
  named = {key: np.asarray(value) for key, value in infos.items() if foreign.is_logged(key)}
  masks = {key: np.asarray(infos.get(f"_{key}", True)) for key in named}  # of those that have said something
  return {key: value[index] for key, value in named.items() if np.broadcast_to(masks[key], len(value))[index]}


def _final(infos: Mapping[str, Any], index: int) -> Any:
  """The observation that an environment's episode ended with.

  Raises:
    Breach: there is none.
  """
  found = next((infos[name] for name in _FINAL if name in infos), None)
  if found is None:
    raise Breach(
      "an episode ended, and infos['final_obs'] is missing",
      "put what the environment shows at its end there, or make it with AutoresetMode.NEXT_STEP",
    )
  return _row(found, index)


def _row(value: Any, index: int) -> Any:
  return {key: _row(part, index) for key, part in value.items()} if isinstance(value, Mapping) else value[index]
