"""Scores a policy on environments of its own."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dreamerax.envs.quota import episodes_each
from dreamerax.runtime.collect import EpisodeTracker
from dreamerax.runtime.policy import Policy
from dreamerax.runtime.protocol import MakeEnvs, Params
from dreamerax.types import EnvSpec


class EvalResult(NamedTuple):
  """One entry per episode."""

  returns: np.ndarray  # [N] float64, undiscounted
  lengths: np.ndarray  # [N] int64, agent steps
  video: np.ndarray | None  # uint8 [T, H, W, 3], the first episode; None unless asked for, or without images

  def scalars(self) -> dict[str, float]:
    """What is logged: mean, spread and length."""
    return {
      "eval/return": float(self.returns.mean()),
      "eval/return_std": float(self.returns.std()),
      "eval/return_min": float(self.returns.min()),
      "eval/return_max": float(self.returns.max()),
      "eval/length": float(self.lengths.mean()),
    }


def evaluate(
  policy: Policy,
  params: Params,
  make_envs: MakeEnvs,
  *,
  episodes: int,
  num_envs: int,
  seed: int,
  video: bool = False,
  check: Callable[[], None] = lambda: None,
) -> EvalResult:
  """Plays exactly `episodes` episodes.

  Which episodes count is settled beforehand, a fixed number from each environment, so that short ones are not favoured.

  Args:
    policy: takes the mode of its actions.
    num_envs: at most so many environments at once; made here, and closed.
    seed: of the environments, in [0, 2**32).
    check: called between steps; may raise to leave.

  Raises:
    ValueError: episodes or num_envs is less than 1.
  """
  quota = episodes_each(episodes, num_envs)
  count = len(quota)
  envs = make_envs(count, seed)
  try:
    filmed = picture(envs.spec) if video else None
    carry, row = policy.initial_carry(count), envs.reset()
    tracker = EpisodeTracker(count)
    tracker.add(row)
    played: list[list] = [[] for _ in range(count)]
    frames = []
    calls = 0
    while any(len(done) < wanted for done, wanted in zip(played, quota, strict=True)):
      check()
      if filmed and not played[0]:
        frames.append(row.observation[filmed][0].copy())
      actions, carry, _ = policy(params, carry, row, calls)
      row = envs.step(actions)
      calls += 1
      for episode in tracker.add(row):
        if filmed and episode.stream == 0 and not played[0]:
          frames.append(row.observation[filmed][0].copy())
        played[episode.stream].append(episode)
  finally:
    envs.close()
  counted = [e for done, wanted in zip(played, quota, strict=True) for e in done[:wanted]]
  return EvalResult(
    returns=np.array([episode.score for episode in counted]),
    lengths=np.array([episode.length for episode in counted]),
    video=colored(np.stack(frames)) if frames else None,
  )


def picture(spec: EnvSpec) -> str | None:
  """The name of the first image, where there is one."""
  return next((name for name, array in spec.observation.items() if array.is_image), None)


def colored(frames: np.ndarray) -> np.ndarray:
  """[T, H, W, C] with any number of channels to [T, H, W, 3]: the first three, or grey from one or two."""
  return frames[..., :3] if frames.shape[-1] >= 3 else np.repeat(frames[..., :1], 3, -1)
