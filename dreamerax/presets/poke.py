"""Learning to Poke (Agrawal et al. 2016)."""

from dataclasses import replace

from dreamerax.behavior.inverse_control import InverseControl
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import Residual
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.presets.cfm import cfm
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.forward import Forward


def poke(size: str) -> RunConfig:
  """An inverse and a forward model in one latent, learned together (Agrawal et al. 2016, Learning to Poke).

  dreamerax train poke --task table/reach

  The inverse model acts: it is asked for the action from what is seen to the goal's image. The forward model, a tenth of
  the loss, shapes the latent alone. Images are those of `cfm`. For some 200 updates all actions are as likely as before
  (experiments/goals.md).
  """
  run = cfm(size)
  assert isinstance(run.agent.world_model, WorldModel)
  world_model = replace(
    run.agent.world_model,
    encoder=StridedEncoder(depth=16, stages=3),
    dynamics=Embedded(Residual(layers=2, units=64), Deterministic(dims=16), layers=1, units=128),
    objectives={"forward": Forward(scale=0.1)},
  )
  agent = replace(run.agent, world_model=world_model, behavior=InverseControl(bins=11, steps=3), exploration_noise=0.0)
  return replace(run, agent=agent, replay=replace(run.replay, batch_size=64, batch_length=4))
