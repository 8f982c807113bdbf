"""Scores a policy on environments of its own."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from dreamerax.envs.quota import episodes_each
from dreamerax.runtime.collect.collector import Episode, EpisodeTracker
from dreamerax.runtime.collect.film import Film
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.protocol import MakeEnvs, Params
from dreamerax.runtime.telemetry.timing import Interval
from dreamerax.words import number_of

_SAY_SECONDS = 60.0


class EvalResult(NamedTuple):
  """The scores of an evaluation, one entry per episode."""

  returns: np.ndarray  # [N] float64, undiscounted
  lengths: np.ndarray  # [N] int64, agent steps
  cut: int  # episodes that had not ended after as many steps as they may have
  video: np.ndarray | None  # uint8 [T, H, W, 3], the first episode; None unless asked for
  rewards: np.ndarray | None = None  # [T] that came with each frame of the video
  logs: Mapping[str, float] = MappingProxyType({})  # the environment's own numbers, means over the episodes

  def scalars(self) -> dict[str, float]:
    """Returns what is logged: mean, spread and length; how many episodes were cut,
    where any was."""
    return {
      **({"eval/cut_episodes": float(self.cut)} if self.cut else {}),
      "eval/return": float(self.returns.mean()),
      "eval/return_std": float(self.returns.std()),
      "eval/return_min": float(self.returns.min()),
      "eval/return_max": float(self.returns.max()),
      "eval/length": float(self.lengths.mean()),
      **{f"eval/log/{name}": value for name, value in self.logs.items()},
    }


def evaluate(
  policy: AgentPolicy,
  params: Params,
  make_envs: MakeEnvs,
  *,
  episodes: int,
  num_envs: int,
  seed: int,
  max_steps: int = 0,
  video: bool = False,
  check: Callable[[], None] = lambda: None,
  say: Callable[[str], None] = lambda text: None,
) -> EvalResult:
  """Plays exactly `episodes` episodes.

  Which episodes count is settled beforehand, a fixed number from each environment, so that short ones are not favoured.
  An episode of `max_steps` steps is cut: it counts as it is, and its environment waits until all others have played theirs or
  wait too; all are then reset.

  Args:
    policy: takes the mode of its actions.
    num_envs: at most so many environments at once; made here, and closed.
    video: whether the first environment's first episode is filmed: its first image, or as it draws itself.
    seed: of the environments, in [0, 2**64).
    max_steps: agent steps of an episode, at most; 0 sets no limit.
    check: called between steps; may raise to leave.
    say: told once a minute how far it is.

  Raises:
    ValueError: episodes or num_envs is less than 1.
    NoPicture: there is nothing to film; nothing was played.
  """
  quota = episodes_each(episodes, num_envs)
  count = len(quota)
  envs = make_envs(count, seed, film=True) if video else make_envs(count, seed)
  envs.run_on(policy.device)
  try:
    film = Film(envs) if video else None
    carry, row = policy.initial_carry(count), envs.reset()
    tracker = EpisodeTracker(count)
    tracker.add(row)
    played: list[list] = [[] for _ in range(count)]
    waiting, cut = np.zeros(count, bool), 0
    calls = 0
    minute = Interval(_SAY_SECONDS, 0)
    began = time.monotonic()
    while (going := np.array([len(done) < wanted for done, wanted in zip(played, quota, strict=True)])).any():
      check()
      if minute.due(time.monotonic() - began):
        say(_progress(played, quota, calls, max_steps))
      if waiting[going].all():
        waiting[:], row = False, envs.reset()
        tracker.add(row)
      if film and not played[0]:
        film.add(row)
      actions, carry, _ = policy(params, carry, row, calls)
      row = envs.step(actions)
      calls += 1
      for episode in [*tracker.add(row, envs.ended), *tracker.longer(max_steps)]:
        if waiting[episode.stream]:  # the episode that was cut has ended
          waiting[episode.stream] = False
          continue
        waiting[episode.stream] = is_cut = not row.is_last[episode.stream]
        cut += is_cut and len(played[episode.stream]) < quota[episode.stream]
        if film and episode.stream == 0 and not played[0]:
          film.add(row)
        played[episode.stream].append(episode)
  finally:
    envs.close()
  counted = [e for done, wanted in zip(played, quota, strict=True) for e in done[:wanted]]
  frames, rewards = film.develop() if film else (None, None)
  return EvalResult(
    returns=np.array([episode.score for episode in counted]),
    lengths=np.array([episode.length for episode in counted]),
    cut=int(cut),
    video=frames,
    rewards=rewards,
    logs=mean_logs(counted),
  )


def mean_logs(episodes: Sequence[Episode]) -> dict[str, float]:
  """Averages the environment's own numbers, each over the episodes that have it."""
  names = sorted({name for episode in episodes for name in episode.log})
  return {name: float(np.mean([each.log[name] for each in episodes if name in each.log])) for name in names}


def _progress(played: Sequence[Sequence[Episode]], quota: np.ndarray, calls: int, max_steps: int) -> str:
  ended = sum(min(len(done), wanted) for done, wanted in zip(played, quota, strict=True))
  limit = f"; an episode is cut after {max_steps:,}" if max_steps else ""
  help_ = "" if ended else ". End them earlier with gymnasium.wrappers.TimeLimit, or is_last"
  wanted, steps = number_of(int(quota.sum()), "episode"), number_of(calls, "step")
  return f"evaluation: {ended} of {wanted} have ended after {steps} of each environment{limit}{help_}"
