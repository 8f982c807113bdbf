"""SOLAR: stochastic optimal control with latent representations (Zhang et al. 2019)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.dynamics_prior import WorldStep
from dreamerax.behavior.local_lqr import LocalLQR
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.behavior.trajectory import Trajectory
from dreamerax.dynamics.linear_system import LinearSystem
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.envs import EnvConfig
from dreamerax.nets.flat import BernoulliDecoder, FlatEncoder
from dreamerax.nets.heads import QuadraticHead
from dreamerax.nets.stopped_head import StoppedHead
from dreamerax.ops.optimizers import Adam
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import IterationsConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import AnnealedKL
from dreamerax.world_model.objectives.reconstruction import Reconstruction


def solar(size: str) -> RunConfig:
  """SOLAR (Zhang et al. 2019, ICML): a linear system as the prior of latents, and LQR on the newest episodes in them.

  dreamerax train solar --task e2c/planar

  The world model learns from random episodes before the first iteration, and one update an iteration from then on. The
  cost is the squared distance between the latents of step and goal. For episodes of another length, say 100 steps, give
  --agent.behavior.inner.horizon 100 --replay.batch-length 101.
  """
  horizon, newest, older, warmup = 40, 8, 2, 1400
  return RunConfig(
    size=size,
    env_steps=(128 + 25 * newest) * horizon,
    num_envs=8,
    env=EnvConfig(task="e2c/planar", exploring_starts=True),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=FlatEncoder(layers=2, units=150),
        dynamics=LinearSystem(FactoredGaussian(dims=4)),
        reward=StoppedHead(QuadraticHead()),
        continues=None,
        objectives={
          "kl": AnnealedKL(begin=0.1, updates=800),
          "reconstruction": Reconstruction(BernoulliDecoder(layers=2, units=200)),
        },
      ),
      behavior=Rewarded(
        LocalLQR(
          horizon=horizon,
          warmup=warmup,
          older=older,
          # A plane is several units of the latent wide, and all of it moves by one linear system.
          trajectory=Trajectory(kl_step=3.0, prior_strength=10.0, action_cost=10.0),
          prior=WorldStep(),
        ),
        GoalDistance(),
      ),
      optimizer=Adam(learning_rate=1e-3),
      compute_dtype="float32",
    ),
    replay=ReplayConfig(
      capacity=100_000,
      batch_size=newest * (1 + older),
      batch_length=horizon + 1,
      context=0,
      online=False,
      draw="newest",
      older=older,
    ),
    schedule=IterationsConfig(warmup=warmup),
    loop=LoopConfig(prefill_steps=128 * horizon, eval_every=5 * newest * horizon, eval_episodes=30, video_every=0),
  )
