"""Evaluates the agent while a run lasts: scores, and films where the environment has pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dreamerax import captions
from dreamerax.envs.faults import NoPicture
from dreamerax.runtime.collect.evaluate import EvalResult, evaluate
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.protocol import MakeEnvs
from dreamerax.runtime.seeds import EVALUATE, environment_seed
from dreamerax.runtime.session import Session
from dreamerax.runtime.settings import LoopConfig
from dreamerax.words import number_of

_FILM_PIXELS = 128  # a side of the films of evaluations, at least, so that their labels can be read


@dataclass
class Evaluator:
  """Plays episodes with the newest parameters, in environments of its own."""

  policy: AgentPolicy  # mode actions
  learner: Learner
  make_envs: MakeEnvs
  num_envs: int
  config: LoopConfig
  seed: int
  session: Session

  def __post_init__(self):
    self._films = True  # until the environments turn out to have no pictures

  def __call__(self, counters: Counters, *, video: bool, check: Callable[[], None]) -> EvalResult:
    """Evaluates, and tells the metrics and people of it.

    Args:
      check: may raise Interrupted, at every step.
    """
    progress, episodes = self.session.progress, self.config.eval_episodes
    with progress.evaluating(number_of(episodes, "episode")):
      result = self._play(counters, video=video, check=check)
    self.session.write(counters, result.scalars())
    if result.video is not None and result.rewards is not None:
      film = captions.scored(result.video, result.rewards, _FILM_PIXELS)
      self.session.metrics.video(counters, "eval/video", film)
    progress.say(
      f"evaluation at {counters.env_steps:,} env steps, {self.session.seconds:,.0f} s: "
      f"return {result.returns.mean():.1f} ± {result.returns.std():.1f} over {number_of(len(result.returns), 'episode')}"
      + (f", {result.cut} of them cut" if result.cut else "")
    )
    return result

  def _play(self, counters: Counters, *, video: bool, check: Callable[[], None]) -> EvalResult:
    play = partial(
      evaluate,
      self.policy,
      self.learner.newest_params,
      self.make_envs,
      episodes=self.config.eval_episodes,
      num_envs=self.num_envs,
      seed=environment_seed(self.seed, EVALUATE, counters.env_steps),
      max_steps=self.config.eval_max_steps,
      say=self.session.progress.say,
      check=check,
    )
    try:
      return play(video=video and self._films)
    except NoPicture as error:
      self._films = False
      self.session.progress.say(
        f"no film of evaluations: the environment shows no images, and {error} (--video-every 0 makes none)"
      )
      return play(video=False)
