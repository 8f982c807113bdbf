"""Deep fitted Q iteration (Lange and Riedmiller 2010)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.fitted_q import FittedQ, FourierFeatures
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import Residual
from dreamerax.envs import EnvConfig
from dreamerax.nets.flat import FlatEncoder, MultiscaleDecoder
from dreamerax.nets.heads import TwoHotHead
from dreamerax.ops.optimizers import Adam, LinearDecay
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import TrainRatioConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import PlainKL
from dreamerax.world_model.objectives.reconstruction import Reconstruction


def deep_fitted_q(size: str) -> RunConfig:
  """Deep fitted Q iteration (Lange and Riedmiller 2010): an autoencoder makes a few numbers of an image, Q is fitted on them.

  dreamerax train deep-fitted-q --task e2c/planar_moves

  The autoencoder learns for 4,000 updates, ever more slowly, and stays as it is then, as in the paper, so that Q is fitted
  on a code that does not move. Its images are compared coarsely, too, so that neighbours get codes that are near. Cosines
  of the code let Q differ between them. Neither rewards nor Q shape the code. Adam is in the place of Rprop.
  """
  discount = 0.95
  return RunConfig(
    size=size,
    env_steps=80_000,
    num_envs=4,
    env=EnvConfig(task="e2c/planar_moves"),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=FlatEncoder(layers=2, units=150),
        dynamics=Embedded(Residual(layers=0), Deterministic(dims=8)),
        reward=TwoHotHead(layers=1, units=16),
        continues=None,
        objectives={
          "kl": PlainKL(scale=0.01),
          "reconstruction": Reconstruction(MultiscaleDecoder(layers=2, units=200)),
        },
        discount=discount,
        reward_scale=0.0,
      ),
      behavior=FittedQ(fourier=FourierFeatures(length=0.003), discount=discount),
      optimizer=LinearDecay(Adam(learning_rate=1e-3), updates=4000),
      exploration_noise=0.2,
      compute_dtype="float32",
    ),
    replay=ReplayConfig(capacity=100_000, batch_size=32, batch_length=8, context=1, online=False),
    schedule=TrainRatioConfig(ratio=64),
    loop=LoopConfig(prefill_steps=2000, prefill_policy="random", eval_every=5000),
  )
