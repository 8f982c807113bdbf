"""LQR with fitted linear models (Levine and Abbeel 2014)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.local_lqr import LocalLQR
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.envs import EnvConfig
from dreamerax.ops.optimizers import Adam
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import IterationsConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.true_state import TrueState


def local_lqr(size: str) -> RunConfig:
  """LQR with fitted linear models (Levine and Abbeel 2014) on the true state: a linear policy for each step of an episode.

  dreamerax train local-lqr --task e2c/planar

  The cost is the squared distance between the states of step and goal. An iteration takes `--replay.batch-size` whole
  episodes. For episodes of another length, say 100 steps, give --agent.behavior.inner.horizon 100 --replay.batch-length
  101.
  """
  horizon, episodes = 40, 16
  return RunConfig(
    size=size,
    env_steps=20 * episodes * horizon,
    num_envs=8,
    env=EnvConfig(task="e2c/planar", observations=("state",)),
    agent=AgentConfig(
      world_model=TrueState(),
      behavior=Rewarded(LocalLQR(horizon=horizon), GoalDistance()),
      optimizer=Adam(learning_rate=1e-3),
      compute_dtype="float32",
    ),
    replay=ReplayConfig(
      capacity=100_000, batch_size=episodes, batch_length=horizon + 1, context=0, online=False, draw="newest"
    ),
    schedule=IterationsConfig(),
    loop=LoopConfig(
      prefill_steps=episodes * horizon, eval_every=5 * episodes * horizon, eval_episodes=30, video_every=0
    ),
  )
