"""E environments of an array program as a batch, whose state stays on the device."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.envs.base import EpisodeSoFar
from dreamerax.envs.episode_log import SUCCESS
from dreamerax.envs.faults import Breach, is_told
from dreamerax.envs.whole import WholeEnvs, not_finite
from dreamerax.jitted.base import ArrayEnv, spec_of
from dreamerax.jitted.memory import check_fits
from dreamerax.jitted.program import BatchState, BatchStep, compiled, settled
from dreamerax.types import EnvSpec, Transition

_log = logging.getLogger(__name__)


class ArrayEnvs(WholeEnvs):
  """Steps E environments by one compiled function, which begins to run in `send`.

  Observations are arrays of jax: the policy takes them as they are, and the replay copies them once. They are on jax's first
  device, or with several devices of the CPU on that of `run_on`: on the first, a step would wait for the update there.
  The k-th episode of stream i follows from the batch's seed, i and k. The whole state is in a checkpoint.
  """

  def __init__(
    self, env: ArrayEnv, num_envs: int, seed: int, *, name: str, action_repeat: int = 1, skip_nonfinite: bool = False
  ):
    """
    Args:
      seed: of all episodes, below 2**32.
      name: how errors call it.
      action_repeat: simulator steps for each action.
      skip_nonfinite: end an episode that shows a number that is not finite, and go on; otherwise that is an EnvironmentFault.

    Raises:
      ValueError: the functions of `env` do not fit each other, or the batch does not fit in memory.
    """
    self._spec = spec_of(env, f"task={name!r}")
    check_fits(env, num_envs, name)
    super().__init__(num_envs, name)
    self._seed, self._skip_nonfinite = np.uint32(seed), skip_nonfinite
    self._numbers = np.full(num_envs, -1, np.int32)  # of each stream's newest episode
    self._cut = 0  # episodes that were, as their numbers were not finite
    self._sums: dict[str, np.ndarray] = {}  # [E] of each log, over the episode so far; the highest of `success`
    self._steps = np.zeros(num_envs, np.int32)  # of the agent, in the episode so far
    self._state: BatchState | None = None
    self._flight: tuple[np.ndarray, BatchStep] | None = None
    self._newest: Mapping[str, Any] = {}
    self._program, self._reset = compiled(env, action_repeat), env.reset
    self._device: Any = None

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  @property
  def faults(self) -> int:
    return self._cut

  def run_on(self, device: Any) -> None:
    self._device = device if device.platform == "cpu" else None  # what Warp keeps is on the first graphics card

  def begin(self, seed: int) -> Transition:
    self._seed, self._numbers[:] = np.uint32(seed), -1
    return self.restart()

  def restart(self) -> Transition:
    self._over[:] = True
    return self.advance(np.zeros((self.num_envs, self.spec.action.size), np.float32))

  def send(self, actions: np.ndarray) -> None:
    super().send(actions)
    assert self._actions is not None
    self._launch(self._actions)

  def advance(self, actions: np.ndarray) -> Transition:
    """Takes a step, or waits for the one that `send` began."""
    if self._flight is None:
      self._launch(actions)
    assert self._flight is not None
    (first, step), self._flight = self._flight, None
    rows = Transition(
      step.observation, actions, np.array(step.reward), first, np.array(step.last), np.array(step.terminal)
    )
    actions[first] = 0
    if not np.asarray(step.finite).all():
      rows = self._without_nonfinite(rows)
    self._count_logs(step.log, rows)
    self._newest, self._over = rows.observation, rows.is_last.copy()
    return rows

  def episodes(self) -> list[EpisodeSoFar]:
    nothing = np.zeros((0, self.spec.action.size), np.float32)
    return [
      EpisodeSoFar(int(number), nothing, bool(over)) for number, over in zip(self._numbers, self._over, strict=True)
    ]

  def resume(self, episodes: Sequence[EpisodeSoFar], newest: Transition) -> np.ndarray:
    """The next step begins other episodes: their state is in `state` alone."""
    self._numbers, self._newest = np.array([episode.number for episode in episodes], np.int32), newest.observation
    self._over[:] = True
    return np.array([not episode.over for episode in episodes])

  def state(self) -> dict[str, Any]:
    leaves = [_plain(leaf) for leaf in jax.tree.leaves(self._state)]
    return {
      "arrays": {str(i): np.array(leaf) for i, leaf in enumerate(leaves)},
      "seed": np.array(self._seed),
      "steps": self._steps.copy(),
      "logs": dict(self._sums),
    }

  def restore(self, state: Mapping[str, Any], episodes: Sequence[EpisodeSoFar], newest: Transition) -> None:
    """
    Raises:
      ValueError: the state is of an environment with other arrays.
    """
    self.resume(episodes, newest)
    like = self._blank()
    leaves, given = jax.tree.leaves(like), state["arrays"]
    saved = [given[str(i)] for i in range(len(given))]
    if [(array.shape, array.dtype) for array in saved] != [(x.shape, x.dtype) for x in map(_plain, leaves)]:
      raise ValueError(
        f"task={self._name!r}: the checkpoint's environments hold other arrays than this one's: it has changed"
      )
    typed = [_typed(jnp.array(array), leaf) for array, leaf in zip(saved, leaves, strict=True)]
    self._state = self._placed(jax.tree.unflatten(jax.tree.structure(like), typed))
    self._seed, self._steps = np.uint32(state["seed"]), state["steps"].copy()
    self._sums = {name: array.copy() for name, array in state.get("logs", {}).items()}
    self._over = np.array([episode.over for episode in episodes])

  def close(self) -> None:
    self._state = self._flight = None

  def _blank(self) -> BatchState:
    return self._placed(jax.jit(self._first_state)())

  def _placed(self, state: BatchState) -> BatchState:
    """Where the state is, the program runs."""
    return state if self._device is None else jax.device_put(state, self._device)

  def _first_state(self) -> BatchState:
    """A state that nothing has happened in, from which every stream begins its first episode."""
    keys = jax.random.split(jax.random.key(0), self.num_envs)
    return settled(BatchState(jax.vmap(self._reset)(keys), jnp.zeros(self.num_envs, jnp.int32)))

  def _launch(self, actions: np.ndarray) -> None:
    first = self._over.copy()
    self._numbers[first] += 1
    if self._state is None:
      self._state = self._blank()
    # A copy of each: what is given to a program must not be written to until it has run.
    given = actions.copy(), first.copy(), self._seed, self._numbers.copy()
    self._state, step = self._program(self._state, *given)
    self._flight = first, step

  def _without_nonfinite(self, rows: Transition) -> Transition:
    """Rows whose episodes end where a number is not finite: there the newest observation is shown again.

    Raises:
      Breach: they are not to be left out, or an episode begins so.
    """
    bad, name = not_finite(rows, self.spec)
    index = int(bad.argmax())
    said = f"{name} of environment {index} has a number that is not finite"
    if not self._skip_nonfinite:
      raise Breach(said, "leave out what may be nan or inf, or end such episodes where it happens: --nonfinite skip")
    if (bad & rows.is_first).any():
      raise Breach(f"{said} as its episode begins", "leave out what may be nan or inf")
    self._cut += int(bad.sum())
    if is_told(self._cut):
      _log.warning("%s; its episode ends before it, the %d. that does (--nonfinite skip)", said, self._cut)
    observation = {key: np.array(array) for key, array in rows.observation.items()}
    for key, array in observation.items():
      array[bad] = np.asarray(self._newest[key])[bad]
    reward, last, terminal = np.where(bad, 0, rows.reward), rows.is_last | bad, rows.is_terminal & ~bad
    return rows._replace(observation=observation, reward=reward, is_last=last, is_terminal=terminal)

  def _count_logs(self, log: Mapping[str, jax.Array], rows: Transition) -> None:
    """Takes the numbers for people of this step: means over an episode, of `success` the highest."""
    self._steps = np.where(rows.is_first, 0, self._steps + 1).astype(np.int32)
    for name, array in log.items():
      value, before = np.asarray(array, np.float64), self._sums.get(name, np.zeros(self.num_envs))
      together = np.maximum(before, value) if name == SUCCESS else before + value
      self._sums[name] = np.where(rows.is_first, 0, np.where(np.isfinite(value), together, before))
    self._ended = {}
    for index in np.flatnonzero(rows.is_last).tolist() if self._sums else ():
      counts = {name: 1 if name == SUCCESS else max(1, int(self._steps[index])) for name in self._sums}
      self._ended[index] = {name: float(array[index] / counts[name]) for name, array in self._sums.items()}


def _is_key(leaf: jax.Array) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: jax.Array) -> jax.Array:
  """A leaf of a state as numbers: keys of randomness as the words that they are."""
  return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _typed(array: jax.Array, like: jax.Array) -> jax.Array:
  """The leaf that `_plain` made numbers of."""
  return jax.random.wrap_key_data(array, impl=jax.random.key_impl(like)) if _is_key(like) else array
