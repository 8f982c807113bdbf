"""Four posteriors of one small world model, as presets that `dreamerax train-world-model` takes.

dreamerax record --task dmc/cartpole_balance --action-repeat 8 --rendering fast --episodes 60 --out episodes/cartpole
dreamerax train-world-model experiments.posteriors:smoothing --data episodes/cartpole --updates 1500 --eval-every 0

The encoder, the decoder, the heads and the 16 numbers of the state are those of `quick`; the dynamics differ, and what the
posterior of a step has seen: the observations up to it (`filtering`), all of the sequence (`smoothing`), its own observation
alone (`single_step`), or that one as a point (`deterministic`).
"""

from dataclasses import replace

from dreamerax import presets
from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.smoothing import Smoothing
from dreamerax.dynamics.stochastic import Deterministic, Gaussian
from dreamerax.dynamics.transitions import Residual
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import KL, PlainKL

_RSSM = RSSM(deter=256, hidden=128, stochastic=Gaussian(dims=16))
_TRANSITION = Residual(layers=2, units=256)


def filtering() -> RunConfig:
  """q(s_t | o_1:t, a_1:t), of a recurrent state-space model."""
  return _with(_RSSM)


def smoothing() -> RunConfig:
  """q(s_t | s_t-1, a, o_1:T), of the same model; half of the training sequences see no future."""
  return _with(Smoothing(_RSSM))


def single_step() -> RunConfig:
  """q(s_t | o_t), Gaussian. Its KL is not balanced: with that of `quick`, it grows without bound."""
  return _with(Embedded(_TRANSITION, Gaussian(dims=16)), PlainKL(scale=0.1))


def deterministic() -> RunConfig:
  """s_t = g(o_t), which the transition is to predict."""
  return _with(Embedded(_TRANSITION, Deterministic(dims=16)), PlainKL())


def _with(dynamics: Dynamics, kl: KL | None = None) -> RunConfig:
  """`quick` with other dynamics, and another divergence where one is given; sequences begin without stored latents."""
  run = presets.build("quick")
  model = run.agent.world_model
  assert isinstance(model, WorldModel)
  objectives = {**model.objectives, **({} if kl is None else {"kl": kl})}
  model = replace(model, dynamics=dynamics, objectives=objectives)
  replay = replace(run.replay, batch_size=8, batch_length=20, context=0)
  return replace(run, agent=replace(run.agent, world_model=model), replay=replay)
