"""Dreams as values: a step leads from one to the next and leaves the one before as it was."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.agent import Agent, Carry, LatentPrediction
from dreamerax.images import colored
from dreamerax.nets.modules import Params
from dreamerax.types import Transition


class Dream(NamedTuple):
  """The state of one dream."""

  carry: Carry  # of one environment, [1, ...]
  key: jax.Array  # of the whole dream; a step folds its number in
  step: int  # agent steps since the last thing that was really seen


class Frame(NamedTuple):
  """The predictions of the model for one step of a dream."""

  step: int
  action: np.ndarray | None  # [A] float32, which led here; None at the start
  pictures: Mapping[str, np.ndarray]  # {name: uint8 [H, W, 3]}
  vectors: Mapping[str, np.ndarray]  # {name: float32 [n]}
  reward: float  # on arriving here
  continues: float | None  # probability that the episode goes on; None where the model takes it to
  value: float | None  # discounted return from here on; None where the behaviour has no critic


class Dreamer:
  """An agent's world model to be steered in. Compiled at the first use of each function; safe in one thread at a time."""

  def __init__(self, agent: Agent, params: Params):
    self.agent, self._params = agent, params

    def observe(params: Params, carry: Carry, row: Transition, key: jax.Array) -> Carry:
      follow_key, observe_key = jax.random.split(key)
      carry = agent.follow(params, carry, row.action, follow_key)
      return agent.observe(params, carry, row.observation, row.is_first, observe_key)

    def step(params: Params, carry: Carry, action: jax.Array | None, key: jax.Array) -> tuple[Carry, LatentPrediction]:
      choose_key, imagine_key = jax.random.split(key)
      if action is None:
        _, carry = agent.choose(params, carry, choose_key)
      else:
        carry = agent.follow(params, carry, action, choose_key)
      carry = agent.imagine(params, carry, imagine_key)
      return carry, agent.expect(params, carry)

    # On the parameters' device like every later carry: an array that belongs to no device would be compiled for once more.
    self._blank = jax.device_put(agent.initial_carry(1), jax.tree.leaves(params)[0].sharding)
    self._observe, self._step, self._expect = jax.jit(observe), jax.jit(step), jax.jit(agent.expect)

  def begin(self, steps: Transition, key: jax.Array) -> tuple[Dream, Frame]:
    """Lets the model see `steps` [T, ...], T ≥ 1, of which the first counts as the beginning; there the dream begins."""
    seen_key, dream_key = jax.random.split(key)
    steps = steps._replace(is_first=steps.is_first | (np.arange(len(steps.reward)) == 0))
    carry = self._blank
    for index in range(len(steps.reward)):
      row = jax.tree.map(lambda x, index=index: x[index : index + 1], steps)
      carry = self._observe(self._params, carry, row, jax.random.fold_in(seen_key, index))
    return Dream(carry, dream_key, 0), self._frame(0, None, self._expect(self._params, carry))

  def step(self, dream: Dream, action: np.ndarray | None) -> tuple[Dream, Frame]:
    """One agent step on. The same dream and action lead to the same place.

    Args:
      action: [A], continuous ones are cut to [-1, 1]; None lets the behaviour choose.

    Raises:
      ValueError: the action is not one that the environment would take.
    """
    given = None if action is None else self._checked(action)[None]
    carry, prediction = self._step(self._params, dream.carry, given, jax.random.fold_in(dream.key, dream.step))
    dream = Dream(carry, dream.key, dream.step + 1)
    return dream, self._frame(dream.step, np.asarray(carry["action"])[0], prediction)

  def _checked(self, action: np.ndarray) -> jax.Array:
    spec = self.agent.spec.action
    if action.shape != (spec.size,) or not np.isfinite(action).all():
      raise ValueError(f"action={action.tolist()} must be {spec.size} finite numbers")
    if spec.discrete and not spec.is_one_hot(action):
      choices = " and ".join(map(str, spec.groups))
      raise ValueError(f"action={action.tolist()} must be 1 for one of {choices} choices and 0 for the others")
    return jnp.asarray(np.clip(action, -1, 1), jnp.float32)

  def _frame(self, step: int, action: np.ndarray | None, prediction: LatentPrediction) -> Frame:
    pictures, vectors = {}, {}
    for name, expected in prediction.observation.items():
      array = np.asarray(expected, np.float32)[0]
      if self.agent.spec.observation[name].is_image:
        pictures[name] = colored(np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8))
      else:
        vectors[name] = array.reshape(-1)
    return Frame(
      step=step,
      action=action,
      pictures=pictures,
      vectors=vectors,
      reward=float(prediction.reward[0]),
      continues=None if prediction.continues is None else min(1.0, float(prediction.continues[0])),
      value=None if prediction.value is None else float(prediction.value[0]),
    )
