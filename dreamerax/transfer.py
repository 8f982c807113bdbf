"""The world model of one run as the beginning of another."""

from pathlib import Path

import jax

from dreamerax.agent import Agent
from dreamerax.config import first_difference
from dreamerax.runtime.checkpoint import packed
from dreamerax.runtime.protocol import State

_PART, _SLOW = "world_model", "world_slow"


def check_fits(run_dir: Path, source: Agent, agent: Agent) -> None:
  """Whether the world model of `source`, the agent of the run in `run_dir`, could be that of `agent`.

  Raises:
    ValueError: names the first of visible observations, actions and the world model's fields that differs.
  """
  there, here = source.spec.visible, agent.spec.visible
  shown = ((f"observation {name!r}", there.get(name), here.get(name)) for name in {**there, **here})
  difference = (
    next((each for each in shown if each[1] != each[2]), None)
    or first_difference(source.spec.action, agent.spec.action, "action")
    or first_difference(source.config.world_model, agent.config.world_model, "agent.world_model")
  )
  if difference:
    field, old, new = difference
    raise ValueError(
      f"init_world_model={run_dir}: {field} is {old!r} there and {new!r} in this run: give {old!r}, or begin without it"
    )


def with_world_model(state: State, run_dir: Path, source: Agent) -> State:
  """`state` of an agent that `check_fits`, with the newest checkpoint's world model in `run_dir`.

  That is its parameters, and its state beside them where it has one.
  Optimisers, and all that belongs to the behaviour, stay as they are.

  Raises:
    FileNotFoundError: no checkpoint is there. ValueError: every one is damaged, or does not fit `source`.
  """
  loaded = packed.load_trained(run_dir, source)

  def moved(new: State, old: State) -> State:
    return jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), new, old)

  params = {**state["params"], _PART: moved(loaded["params"][_PART], state["params"][_PART])}
  slow = {_SLOW: moved(loaded[_SLOW], state[_SLOW])} if _SLOW in state else {}
  return {**state, "params": params, **slow}
