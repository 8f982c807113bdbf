"""Adapts environments of brax, MuJoCo Playground and gymnax, none of which is imported."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.jitted.base import ArrayEnv, Outcome, State
from dreamerax.types import TRUE, ActionSpec, Array, ArrayDict

_PRIVILEGED = "privileged_state"


def from_brax(env: Any, *, max_steps: int | None) -> ArrayEnv:
  """An environment of brax or MuJoCo Playground: `reset(key)` and `step(state, action)` give a state with `obs`, `reward`
  and `done`, and there is `action_size`.

  Args:
    env: without wrappers that end or begin episodes; `done` is then terminal.
    max_steps: its steps until the time is up, such as 1000; None: they have no limit.
  """
  return _Brax(env, max_steps)


def from_gymnax(env: Any, params: Any = None) -> ArrayEnv:
  """An environment of gymnax: `reset_env(key, params)`, `step_env(key, state, action, params)` and `action_space(params)`.

  Its time limit, `params.max_steps_in_episode`, is taken over, so that it is told from an end. Before gymnax 1.0, which
  has `is_truncated`, `step_env` itself ends episodes by it: there the limit that it is given is out of reach.

  Args:
    params: by default `env.default_params`.
  """
  return _Gymnax(env, env.default_params if params is None else params)


class _Brax(ArrayEnv):
  def __init__(self, env: Any, max_steps: int | None):
    self._env, self.max_steps = env, max_steps

  @property
  def action(self) -> ActionSpec:
    return ActionSpec(int(self._env.action_size))

  def reset(self, key: jax.Array) -> State:
    return self._env.reset(key)

  def step(self, state: State, action: jax.Array) -> tuple[State, Outcome]:
    state = self._env.step(state, action)
    return state, Outcome(state.reward, state.done > 0)

  def observe(self, state: State) -> ArrayDict:
    return _shown(state.obs)


class _Gymnax(ArrayEnv):
  def __init__(self, env: Any, params: Any):
    limit = getattr(params, "max_steps_in_episode", None)
    self.max_steps = None if limit is None else int(limit)
    self._env = env
    ends = limit is not None and not hasattr(env, "is_truncated")
    self._params = params.replace(max_steps_in_episode=2**30) if ends else params
    self._space = env.action_space(params)

  @property
  def action(self) -> ActionSpec:
    if hasattr(self._space, "n"):
      return ActionSpec(int(self._space.n), discrete=True)
    return ActionSpec(math.prod(self._space.shape))

  def reset(self, key: jax.Array) -> State:
    key, now = jax.random.split(key)
    observation, state = self._env.reset_env(now, self._params)
    return {"key": key, "state": state, "observation": observation}

  def step(self, state: State, action: jax.Array) -> tuple[State, Outcome]:
    key, now = jax.random.split(state["key"])
    taken = self._env.step_env(now, state["state"], self._native(action), self._params)
    observation, inner, reward, done, _ = taken
    return {"key": key, "state": inner, "observation": observation}, Outcome(reward, jnp.asarray(done, bool))

  def observe(self, state: State) -> ArrayDict:
    return _shown(state["observation"])

  def _native(self, action: jax.Array) -> jax.Array:
    if self.action.discrete:
      return action.argmax(-1)
    low, high = jnp.asarray(self._space.low), jnp.asarray(self._space.high)
    return low + (action.reshape(self._space.shape) + 1) / 2 * (high - low)


def _shown(observation: Any) -> dict[str, Array]:
  """Arrays by name; floats of rank 3 are images in [0, 1], and all that is no image becomes a vector.

  What MuJoCo Playground shows to a critic alone, `privileged_state`, is hidden from the world model.
  """
  named = observation if isinstance(observation, Mapping) else {None: observation}
  return {_name(key, array): _converted(jnp.asarray(array)) for key, array in named.items()}


def _name(key: str | None, array: Any) -> str:
  if key == _PRIVILEGED:
    return TRUE + key
  return key or ("image" if jnp.ndim(array) == 3 else "vector")


def _converted(array: jax.Array) -> jax.Array:
  if array.ndim == 3:
    return array if array.dtype == jnp.uint8 else jnp.round(255 * jnp.clip(array, 0, 1)).astype(jnp.uint8)
  return array.astype(jnp.float32).reshape(-1)
