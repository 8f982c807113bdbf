"""Makes one problem of those that the members of an ensemble pose: a plan is followed in each, and judged by the mean."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dreamerax.behavior.planners.base import Problem, States


def over_members(problem: Callable[[jax.Array], Problem], members: int) -> Problem:
  """One problem whose states [N, K, ...] are those of all K members, each moved by its own.

  A plan's score is the mean over the members of its score with each (PDDM, Nagabandi et al. 2019). No member sees what
  the others predict, so that one that errs does not mislead the rest.

  Args:
    problem: index of a member, a scalar -> its problem. They differ in `step` and `expect` alone.
  """
  first, indices = problem(jnp.zeros((), jnp.int32)), jnp.arange(members)
  value = first.value

  def step(states: States, actions: jax.Array, key: jax.Array) -> States:
    keys = jax.random.split(key, members)
    return jax.vmap(lambda k, each, key: problem(k).step(each, actions, key), (0, 1, 0), 1)(indices, states, keys)

  def expect(states: States, actions: jax.Array) -> States:
    return jax.vmap(lambda k, each: problem(k).expect(each, actions), (0, 1), 1)(indices, states)

  def mean(judge: Callable[[States], jax.Array]) -> Callable[[States], jax.Array]:
    return lambda states: jax.vmap(judge, 1, 1)(states).mean(1)

  return first._replace(
    start=jax.tree.map(lambda x: jnp.broadcast_to(x, (members, *x.shape)), first.start),
    step=step,
    expect=expect,
    reward=mean(first.reward),
    value=None if value is None else mean(value),
  )
