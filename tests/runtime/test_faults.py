"""Environments that fail for good end the run, which is saved, and goes on with sound ones as one stream of whole episodes."""

from pathlib import Path

import numpy as np
import pytest

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.contract import Checked
from dreamerax.envs.faults import EnvironmentFault
from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.vector import SerialEnvs
from dreamerax.replay import Replay
from dreamerax.runtime.checkpoint.checkpoints import load_state
from tests.runtime.toys import Follow, Regression, run


class Halves(SerialEnvs):
  """Two parts, whose steps are in flight at the same time."""

  def __init__(self, make, count: int, seed: int):
    seeds, half = derive_seeds(seed, count), count // 2
    envs = [make(one) for one in seeds]
    super().__init__(envs, seeds)
    parts = (slice(0, half), slice(half, None))
    self._parts = [SerialEnvs(envs[part], seeds[part], make=make) for part in parts]

  def split(self) -> list[SerialEnvs]:
    return self._parts


class Broken(Follow):
  """After 400 steps of all environments, `reset` or `step` does what `wrong` says."""

  made = 0
  wrong = "reset raises"

  def reset(self, seed: int | None = None) -> Step:
    if Broken.made >= 400 and self.wrong == "reset raises":
      raise OSError("no license left")
    return super().reset(seed)

  def step(self, action: np.ndarray) -> Step:
    Broken.made += 1
    if Broken.made >= 400 and self.wrong != "reset raises":
      if self.wrong == "step raises":
        raise ZeroDivisionError("the pole is not upright")
      return super().step(action)._replace(reward=np.nan)
    return super().step(action)


SAYS = {
  "reset raises": "environment [01] failed 5 times within 1000 steps, the last time so: OSError: no license left",
  "step raises": "environment [01] failed 5 times within 1000 steps, the last time so: ZeroDivisionError: the pole is",
  "nan": r"environment [01], step \d+ of its episode: the reward is nan.*--nonfinite skip",
}


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[bool, bool]]]:
  """(is_first, is_last) of the rows that each of four streams of a replay is given."""
  seen: list[list[tuple[bool, bool]]] = [[] for _ in range(4)]
  add = Replay.add

  def noting(self, transition, latents, streams=None):
    pairs = zip(transition.is_first.tolist(), transition.is_last.tolist(), strict=True)
    for stream, pair in zip(range(4) if streams is None else streams, pairs, strict=True):
      seen[stream].append(pair)
    add(self, transition, latents, streams)

  monkeypatch.setattr(Replay, "add", noting)
  return seen


@pytest.mark.parametrize("wrong", SAYS)
def test_the_run_is_saved_and_goes_on_with_whole_episodes(tmp_path: Path, wrong: str, flags):
  Broken.made, Broken.wrong = 0, wrong

  def make(seed: int) -> Environment:
    return Checked(Broken(seed))

  says = f"^{SAYS[wrong]}.*; saved at ([0-9,]+) env steps: .*--logdir {tmp_path}$"
  with pytest.raises(EnvironmentFault, match=says):
    run(tmp_path, make_envs=lambda count, seed, film=False: Halves(make, count, seed), eval_episodes=0)
  _, saved = load_state(tmp_path, Regression())
  assert saved.counters.env_steps >= 2 * (400 - 40)
  assert sum(map(len, flags)) >= 400
  result = run(tmp_path, make_envs=lambda count, seed, film=False: Halves(Follow, count, seed), eval_episodes=0)
  assert result.counters.env_steps >= 1200
  for rows in flags:  # an episode begins where one has ended, and nowhere else
    assert [first for first, _ in rows] == [True, *(last for _, last in rows[:-1])]
