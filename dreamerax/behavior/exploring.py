"""Two behaviours in one agent: one collects data, the other is what the agent is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import (
  Behavior,
  BehaviorLosses,
  BehaviorModule,
  Iteration,
  Memory,
  Optimizers,
  Replayed,
  Situation,
)
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.disagreement import Disagreement
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class Exploring(Behavior):
  """Collects with `explorer`; evaluates, shows and exports `task`. Both learn in every update, from the same batch.

  With a task behaviour that learns in imagination alone this is zero-shot adaptation (Sekar et al. 2020): it learns from
  the world model, which the explorer's data trains. Losses and metrics are called "task/..." and "explorer/...".
  """

  task: Behavior = field(default_factory=ActorCritic)
  explorer: Behavior = field(default_factory=lambda: Rewarded(ActorCritic(), Disagreement()))

  @property
  def iteration(self) -> Iteration | None:
    return self.explorer.iteration or self.task.iteration

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ExploringModule":
    task, explorer = (each.build(features, spec, dtype=dtype, rngs=rngs) for each in (self.task, self.explorer))
    return ExploringModule(task, explorer)


class ExploringModule(BehaviorModule):
  """Built from `Exploring`; all it has is under the names "task" and "explorer"."""

  def __init__(self, task: BehaviorModule, explorer: BehaviorModule):
    self.task, self.explorer = task, explorer
    self.follows_pixels = task.follows_pixels or explorer.follows_pixels
    self.compares_images = task.compares_images or explorer.compares_images

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    name = "explorer" if explore else "task"
    action, memory = self._both[name].act(world, _of(name, now), key, explore=explore)
    return action, {**now.memory, name: memory}

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    keys = zip(self._both.items(), jax.random.split(key), strict=True)
    return {name: each.follow(world, _of(name, now), action, each_key) for (name, each), each_key in keys}

  @property
  def needs(self) -> tuple[str, ...]:
    return tuple(dict.fromkeys(self.task.needs + self.explorer.needs))

  @property
  def events(self) -> tuple[str, ...]:
    return tuple(dict.fromkeys(self.task.events + self.explorer.events))

  def initial_memory(self, num_envs: int) -> Memory:
    return {name: each.initial_memory(num_envs) for name, each in self._both.items()}

  def value(self, features: jax.Array) -> jax.Array | None:
    return self.task.value(features)

  def init_slow(self) -> Params:
    return {name: each.init_slow() for name, each in self._both.items()}

  def acting(self, slow: Params) -> Params:
    both = {name: each.acting(slow[name]) for name, each in self._both.items()}
    return {name: acting for name, acting in both.items() if acting}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    return {name: each.update_slow(slow[name], updates) for name, each in self._both.items()}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    both = BehaviorLosses({}, {}, {})
    for (name, each), each_key in zip(self._both.items(), jax.random.split(key), strict=True):
      found = each.losses(slow[name], world, start, replayed, each_key)
      both.losses.update(_below(name, found.losses))
      both.slow[name] = found.slow
      both.metrics.update(_below(name, found.metrics))
    return both

  @property
  def optimizers(self) -> Optimizers:
    return {name: each.optimizers for name, each in self._both.items() if each.optimizers}

  @property
  def scales(self) -> Mapping[str, float]:
    return {key: value for name, each in self._both.items() for key, value in _below(name, each.scales).items()}

  @property
  def _both(self) -> dict[str, BehaviorModule]:
    return {"task": self.task, "explorer": self.explorer}


def _of(name: str, now: Situation) -> Situation:
  """The situation of one of the two."""
  return now._replace(memory=now.memory[name], state=now.state.get(name, {}))


def _below(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
  return {f"{name}/{key}": value for key, value in values.items()}
