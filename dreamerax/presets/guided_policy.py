"""Guided policy search, end to end (Levine et al. 2016), by mirror descent (Montgomery and Levine 2016)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.guided_policy import GuidedPolicySearch
from dreamerax.envs import EnvConfig
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import IterationsConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.unmodelled import Unmodelled


def guided_policy(size: str) -> RunConfig:
  """Guided policy search (Levine et al. 2016; Montgomery and Levine 2016): LQR on the true state teaches a policy from pixels.

  dreamerax train guided-policy --task dmc/point_mass_easy

  There are four first states, each with a teacher. The policy sees images, and the velocity as it is; where the ball is,
  only the teachers are told. An iteration takes `--replay.batch-size` whole episodes. For another task, name what the policy
  sees and, with true/ in front, the whole state in --observations, and the vector that is to become zero in
  --agent.behavior.target.
  """
  horizon, episodes, repeat, updates = 50, 16, 20, 100
  return RunConfig(
    size=size,
    env_steps=15 * episodes * horizon * repeat,
    num_envs=8,
    env=EnvConfig(
      task="dmc/point_mass_easy",
      action_repeat=repeat,
      image_size=48,
      observations=("image", "velocity", "true/position", "true/velocity"),
      conditions=4,
    ),
    agent=AgentConfig(
      world_model=Unmodelled(),
      behavior=GuidedPolicySearch(target="position", horizon=horizon, updates=updates),
      compute_dtype="float32",
    ),
    replay=ReplayConfig(
      capacity=50_000, batch_size=episodes, batch_length=horizon + 1, context=0, online=False, draw="newest"
    ),
    schedule=IterationsConfig(updates=updates),
    loop=LoopConfig(prefill_steps=8, eval_every=5 * episodes * horizon * repeat, eval_episodes=4, video_every=0),
  )
