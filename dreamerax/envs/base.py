"""Defines environments for the rest of the package: one alone, and many behind one batched interface."""

import abc
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dreamerax.envs.faults import NoPicture
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition


class Step(NamedTuple):
  """The answer of one environment to `reset` or `step`."""

  observation: dict[str, np.ndarray]
  reward: float  # since the previous step; zero where is_first
  is_first: bool
  is_last: bool
  is_terminal: bool  # implies is_last; a time limit is last without being terminal
  log: Mapping[str, float] = MappingProxyType({})  # numbers for people, which the agent does not see; see `episode_log`


def to_row(step: Step, action: np.ndarray) -> Transition:
  """A step as the row [1, ...] of the only stream there is. action: [A] float32, which led there; zero where is_first."""
  observation = {name: np.array(array)[None] for name, array in step.observation.items()}
  flags = (np.array([flag], bool) for flag in step[2:5])
  return Transition(observation, action[None], np.array([step.reward], np.float32), *flags)


class EpisodeSoFar(NamedTuple):
  """The number and the actions by which a stream's newest episode is begun again and
  stepped so far, where its environment repeats itself."""

  number: int  # counted from 0 within the stream; those that no row was received of are counted too. -1: none has begun
  actions: np.ndarray  # [n, A] float32, in order: those since its reset whose outcome was received
  over: bool  # its newest row is its last, so that the next step begins another


class Work(NamedTuple):
  """Seconds that environments have worked, summed over them."""

  total: float = 0.0  # stepping and resetting
  rendering: float = 0.0  # of these, drawing; 0 where that is unknown


class Environment(abc.ABC):
  """One environment. Actions lie in [-1, 1] (or are one-hot) whatever the simulator behind it takes.

  `step` is not called again after a step that is last: `reset` begins the next episode.
  """

  rendering_seconds: float = 0.0  # spent drawing so far; stays 0 where that is unknown

  @property
  @abc.abstractmethod
  def spec(self) -> EnvSpec:
    """Names, shapes and dtypes of what `reset` and `step` return and of the action they take."""

  @property
  def declared(self) -> Mapping[str, ArraySpec]:
    """Arrays as they are before they are adapted to what `spec` says, where that is something else."""
    return {}

  @abc.abstractmethod
  def reset(self, seed: int | None = None) -> Step:
    """Begins an episode.

    Args:
      seed: below 2**32. All that is random in the episode follows from it, whatever episodes were before; only what was
        drawn when the environment was made stays. None: the environment goes on with its own randomness.
    """

  @abc.abstractmethod
  def step(self, action: np.ndarray) -> Step:
    """Takes `action` [A] and answers with what it led to."""

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    """Begins the episode of `seed` and takes `actions` [n, A], n ≥ 0; returns the newest step.

    Raises:
      RuntimeError: the episode ends before its actions do.
    """
    step = self.reset(seed)
    for index, action in enumerate(actions):
      if step.is_last:
        raise RuntimeError(f"the episode of seed {seed} ended after {index} of {len(actions)} actions.")
      step = self.step(action)
    return step

  def render(self) -> np.ndarray:
    """A picture of it as it is, for people: uint8 [height, width, channels]. It costs nothing but when it is asked for.

    Raises:
      NoPicture: it cannot draw itself.
    """
    raise NoPicture("it has no render(): add one that returns uint8 [height, width, 3]")

  def close(self) -> None:  # noqa: B027 - most environments hold nothing that needs closing
    """Releases what the environment holds. It is not used afterwards."""


class EnvBatch(abc.ABC):
  """E environments stepped together, each beginning its next episode by itself.

  The k-th episode of an environment, a stream, is begun with a seed that follows from the stream's own and k: see `Journal`.

  A step has two halves, so that the caller can work while the simulators do: `send` begins it, `receive` ends it.
  """

  @property
  @abc.abstractmethod
  def num_envs(self) -> int:
    """E."""

  @property
  @abc.abstractmethod
  def spec(self) -> EnvSpec:
    """The spec that all environments share."""

  @property
  @abc.abstractmethod
  def work(self) -> Work:
    """The work of the environments so far, those of other parts included."""

  @property
  def faults(self) -> int:
    """The number of times that environments failed and were started again, which cut
    their episodes short."""
    return 0

  @property
  def forgets(self) -> bool:
    """Whether episodes that have begun can never be brought back, by `resume` or by `restore`."""
    return False

  @property
  def ended(self) -> Mapping[int, Mapping[str, float]]:
    """Logs of the episodes that the newest received rows end, by environment, where there is something in them."""
    return {}

  def split(self) -> "Sequence[EnvBatch]":
    """Parts, in the order of their environments, whose steps may be in flight at the same time: use them or the whole."""
    return [self]

  def run_on(self, device: Any) -> None:  # noqa: B027
    """Called before `reset`: programs of jax run on this device, on which the policy acts. Other environments have none."""

  @abc.abstractmethod
  def reset(self) -> Transition:
    """Begins an episode everywhere: [E, ...], all `is_first`. An unreceived step is finished and dropped."""

  @abc.abstractmethod
  def episodes(self) -> list[EpisodeSoFar]:
    """Returns the newest episode of every environment, up to its newest received row: a
    step in flight does not count."""

  @abc.abstractmethod
  def resume(self, episodes: Sequence[EpisodeSoFar], newest: Transition) -> np.ndarray:
    """Used in place of `reset` on environments that were made like those `episodes` come from: replays what is not over.

    Args:
      episodes: one for each environment.
      newest: [E, ...], the newest row of each.

    Returns:
      bool [E]: which could not be brought back, because they failed or do not show `newest` again, to the bit. Their
      episodes count as over: the next step begins another.
    """

  def state(self) -> Mapping[str, Any] | None:
    """Arrays by name, nested, from which `restore` goes on; None where `resume` does all that can be done."""
    return None

  def restore(self, state: Mapping[str, Any], episodes: Sequence[EpisodeSoFar], newest: Transition) -> None:
    """Used in place of `resume` where a `state` was saved: goes on as if nothing had happened, to the bit.

    Args:
      state: of environments that were made like these.
      episodes, newest: as `resume` has them.

    Raises:
      NotImplementedError: `state` gave None, and nothing could be saved.
    """
    raise NotImplementedError(f"{type(self).__name__} saves no state: resume goes on")

  @abc.abstractmethod
  def send(self, actions: np.ndarray) -> None:
    """Begins a step with `actions` [E, A]. A stream whose last row was `is_last` is reset instead."""

  @abc.abstractmethod
  def receive(self) -> Transition:
    """Ends the step: [E, ...]. `action` is what was sent, zero at `is_first`.

    The arrays are the caller's, but observations only until the second call of `send` from here: copy what is kept.
    """

  def checked_actions(self, actions: np.ndarray) -> np.ndarray:
    """`actions` as float32 [E, A]; ValueError if that is not their shape."""
    actions = np.asarray(actions, np.float32)
    shape = (self.num_envs, self.spec.action.size)
    if actions.shape != shape:
      raise ValueError(f"actions have shape {actions.shape}; {self.num_envs} environments take {shape}.")
    return actions

  def step(self, actions: np.ndarray) -> Transition:
    """`send` and `receive` at once."""
    self.send(actions)
    return self.receive()

  def render(self, index: int) -> np.ndarray:
    """One environment as its newest received row has it, drawn for people: uint8 [H, W, 3], the shorter side
    of 256 pixels or fewer.

    Raises:
      NoPicture: it cannot draw itself, or the batch was not made to.
    """
    raise NoPicture("these environments are not drawn for people")

  @abc.abstractmethod
  def close(self) -> None:
    """Closes every environment, those of the other parts too."""


def checked_action(action: np.ndarray, spec: ActionSpec, name: str) -> np.ndarray:
  """`action` as float64 [A], clipped to [-1, 1].

  Raises:
    ValueError: its shape is wrong or a value is not finite. `name` is the environment's.
  """
  action = np.asarray(action, np.float64)
  if action.shape != (spec.size,):
    raise ValueError(f"{name}: an action has shape ({spec.size},), this one {action.shape}.")
  if not np.isfinite(action).all():
    raise ValueError(f"{name}: the action {action} is not finite. The policy that chose it has probably diverged.")
  return action.clip(-1, 1)
