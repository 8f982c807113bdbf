"""What the parts of `oh` are for (Oh et al. 2015), as presets that `dreamerax train-world-model` takes.

python -m experiments.push_data --episodes 300 --out episodes/pushed
dreamerax train-world-model experiments.video_ablations:concatenated --data episodes/pushed --updates 3000

`multiplicative` is `oh` itself; `concatenated` joins the action to the code in place of the product with it; `no_actions`
never hears of actions; `one_step` learns from predictions one step ahead alone; `recurrent` encodes frames one by one.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
from flax import nnx

from dreamerax import presets
from dreamerax.nets.blocks import Linear, trunc_normal_in
from dreamerax.run_config import RunConfig
from dreamerax.world_model.video.action_effects import ActionEffect, ActionEffectModule, Concatenated
from dreamerax.world_model.video.curriculum import Curriculum
from dreamerax.world_model.video.encodings import Recurrent
from dreamerax.world_model.video.model import VideoModel
from dreamerax.world_model.video.oh import Oh


@dataclass(frozen=True)
class Unheard(ActionEffect):
  """A dense layer over the code alone."""

  def build(self, units: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "UnheardModule":
    return UnheardModule(units, dtype=dtype, rngs=rngs)


class UnheardModule(ActionEffectModule):
  """Built from `Unheard`."""

  def __init__(self, units: int, *, dtype: Any, rngs: nnx.Rngs):
    self.change = Linear(units, units, dtype=dtype, rngs=rngs, init=trunc_normal_in(2.0))

  def __call__(self, code: jax.Array, action: jax.Array) -> jax.Array:
    return self.change(code)


def multiplicative() -> RunConfig:
  return presets.build("oh", "small")


def concatenated() -> RunConfig:
  return _with(action=Concatenated())


def no_actions() -> RunConfig:
  return _with(action=Unheard())


def one_step() -> RunConfig:
  run = multiplicative()
  model = replace(_model(run), training=Curriculum(steps=(1,), begins=(0,)))
  return replace(run, agent=replace(run.agent, world_model=model))


def recurrent() -> RunConfig:
  return _with(encoding=Recurrent())


def _with(**parts: Any) -> RunConfig:
  """`oh` with other parts of its predictor."""
  run = multiplicative()
  predictor = _model(run).predictor
  assert isinstance(predictor, Oh)
  model = replace(_model(run), predictor=replace(predictor, **parts))
  return replace(run, agent=replace(run.agent, world_model=model))


def _model(run: RunConfig) -> VideoModel:
  assert isinstance(run.agent.world_model, VideoModel)
  return run.agent.world_model
