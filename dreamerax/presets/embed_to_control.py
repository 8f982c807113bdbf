"""Embed to Control (Watter et al. 2015)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.planners.ilqr import ILQR
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.dynamics.propagated import Propagated
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.dynamics.transitions import LocallyLinear
from dreamerax.envs import EnvConfig
from dreamerax.nets.flat import BernoulliDecoder, FlatEncoder
from dreamerax.nets.heads import NormalHead
from dreamerax.ops.optimizers import Adam
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import BurstConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.foresight import Foresight


def embed_to_control(size: str) -> RunConfig:
  """Embed to Control (Watter et al. 2015): a latent that moves locally linearly, and iLQR in it to an encoded goal image.

  dreamerax train embed-to-control --task e2c/planar

  No reward is learned from: the planner's is the distance to the goal. The data are 5,000 random steps from
  random states, as in the published comparisons, and then the planner's own. KL(posterior ‖ N(0, I)) counts a tenth of
  what it does in the paper: with 1, one of the two numbers stays N(0, I) for 10,000 updates (experiments/latent_control.md).
  """
  return RunConfig(
    size=size,
    env_steps=10_000,
    num_envs=8,
    env=EnvConfig(task="e2c/planar", exploring_starts=True),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=FlatEncoder(layers=2, units=150),
        dynamics=Propagated(LocallyLinear(layers=2, units=100), FactoredGaussian(dims=2), layers=0),
        reward=NormalHead(layers=1, units=16),
        continues=None,
        objectives={"foresight": Foresight(BernoulliDecoder(layers=2, units=200), consistency=0.25, normality=0.1)},
        reward_scale=0.0,
      ),
      behavior=Rewarded(Planning(ILQR(horizon=10, candidates=32, iterations=4)), GoalDistance()),
      optimizer=Adam(learning_rate=1e-3),
      exploration_noise=0.3,
      compute_dtype="float32",
    ),
    replay=ReplayConfig(capacity=100_000, batch_size=32, batch_length=4, context=0, online=False),
    schedule=BurstConfig(updates=16, every=8, first=1),
    loop=LoopConfig(prefill_steps=5000, prefill_policy="random", eval_every=2500, eval_episodes=30),
  )
