"""The array program that steps a batch: action repeat, time limit and the next episodes in one compiled function."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dreamerax.jitted.base import ArrayEnv, Outcome, State
from dreamerax.types import ArrayDict


class BatchState(NamedTuple):
  """What stays on the device between steps, [E, ...]."""

  env: State
  clock: jax.Array  # int32 [E], simulator steps of the episode so far


class BatchStep(NamedTuple):
  """What a step shows, [E, ...]."""

  observation: ArrayDict
  reward: jax.Array  # float32 [E], zero where an episode began
  last: jax.Array  # bool [E]
  terminal: jax.Array  # bool [E]
  log: dict[str, jax.Array]  # float32 [E] each
  finite: jax.Array  # bool [E]: whether all numbers above are


def episode_keys(seed: jax.Array, numbers: jax.Array) -> jax.Array:
  """The keys [E] of the episodes with these numbers [E], one stream after the other. seed: uint32 []."""
  streams = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(numbers)))
  return jax.vmap(jax.random.fold_in)(streams, numbers)


@functools.lru_cache(maxsize=16)  # of a run, and of its evaluations
def compiled(env: ArrayEnv, repeat: int) -> Callable[..., tuple[BatchState, BatchStep]]:
  """`advance` as a program, which is compiled once for each number of environments. The state is given away."""
  return jax.jit(functools.partial(advance, env, repeat), donate_argnums=0)


def advance(
  env: ArrayEnv,
  repeat: int,
  state: BatchState,
  actions: jax.Array,
  over: jax.Array,
  seed: jax.Array,
  numbers: jax.Array,
) -> tuple[BatchState, BatchStep]:
  """Takes a step with `actions` [E, A]; where `over` [E], begins the episodes with these `numbers` [E] instead.

  Args:
    repeat: simulator steps for each action; rewards are summed, and the end of an episode cuts the last ones off.
    seed: uint32 [], of all episodes.
  """
  if not env.action.discrete:
    actions = jnp.clip(actions, -1, 1)
  stepped, outcome = jax.vmap(lambda state, action: _repeat(env, repeat, state, action))(state, actions)
  terminal = outcome.terminal & ~over
  last = terminal | (jnp.zeros_like(over) if env.max_steps is None else (stepped.clock >= env.max_steps) & ~over)

  def begin(stepped: BatchState) -> BatchState:
    fresh = BatchState(jax.vmap(env.reset)(episode_keys(seed, numbers)), jnp.zeros_like(stepped.clock))
    return select(over, fresh, stepped)

  now = settled(jax.lax.cond(over.any(), begin, lambda stepped: stepped, stepped))  # beginning may be dear
  observation = dict(jax.vmap(env.observe)(now.env))
  reward = jnp.where(over, 0, outcome.reward).astype(jnp.float32)
  log = {name: value.astype(jnp.float32) for name, value in (outcome.log or {}).items()}
  return now, BatchStep(observation, reward, last, terminal, log, _finite(observation, reward))


def _repeat(env: ArrayEnv, repeat: int, state: BatchState, action: jax.Array) -> tuple[BatchState, Outcome]:
  """Up to `repeat` simulator steps of one environment; reward and end of all of them, and the log of the last."""

  def once(state: BatchState) -> tuple[BatchState, Outcome]:
    inner, outcome = env.step(state.env, action)
    return BatchState(inner, state.clock + 1), outcome

  def again(carry: Any, _: None) -> tuple[Any, None]:
    state, so_far = carry
    over = so_far.terminal if env.max_steps is None else so_far.terminal | (state.clock >= env.max_steps)
    then, outcome = once(state)
    outcome = outcome._replace(reward=so_far.reward + outcome.reward)
    return select(over, (state, so_far), (then, outcome)), None

  state, outcome = once(state)
  if repeat == 1:
    return state, outcome
  return jax.lax.scan(again, (state, outcome), length=repeat - 1)[0]


def settled(state: Any) -> Any:
  """A state whose arrays have the dtypes that they have, where a Python number would leave it open: one program fits."""

  def settle(leaf: Any) -> jax.Array:
    leaf = jnp.asarray(leaf)
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if is_key else jax.lax.convert_element_type(leaf, leaf.dtype)

  return jax.tree.map(settle, state)


def select(where: jax.Array, one: Any, other: Any) -> Any:
  """`one` where `where` [E] or [] holds, else `other`: pytrees of arrays [E, ...] or [...]."""

  def choose(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where(where.reshape(where.shape + (1,) * (a.ndim - where.ndim)), a, b)

  return jax.tree.map(choose, one, other)


def _finite(observation: ArrayDict, reward: jax.Array) -> jax.Array:
  finite = jnp.isfinite(reward)
  for array in observation.values():
    if array.dtype == jnp.float32:
      finite &= jnp.isfinite(array).all(-1)
  return finite
