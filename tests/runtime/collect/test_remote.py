"""Chunks that actors elsewhere make: what enters the replay, what is counted, and what an actor's death costs."""

from collections import deque
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax.replay import Replay
from dreamerax.runtime.collect.policy import AgentPolicy, UniformPolicy
from dreamerax.runtime.collect.remote import AHEAD, Chunk, Lost, RemoteCollector
from dreamerax.runtime.collect.rollout_worker import CHUNK, Stepper, StepperSetup
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.runtime.toys import REPLAY, SPEC, Regression, make_envs, make_replay, run

SETUP = StepperSetup(Regression, make_envs, {"memory": "float32"})


class Here:
  """Actors in this process, which make a chunk when it is waited for; `deaths`: after how many answers the next one dies."""

  spec = SPEC

  def __init__(self, num_envs: int, seed: int, deaths: tuple[int, ...] = ()):
    self.streams = [range(num_envs // 2), range(num_envs // 2, num_envs)]
    self._seed, self._deaths = seed, deaths
    self._steppers = [Stepper(SETUP, len(streams), seed + actor) for actor, streams in enumerate(self.streams)]
    self.asked: deque[tuple[int, object, bool]] = deque()
    self.published: list[object] = []
    self.made: list[Chunk] = []
    self.answers = 0
    self.most_asked = 0

  def publish(self, params) -> None:
    self.published.append(jax.device_get(params))

  def ask(self, actor: int, *, random: bool) -> None:
    self.asked.append((actor, self.published[-1], random))
    self.most_asked = max(self.most_asked, len(self.asked))

  def receive(self) -> tuple[int, Chunk | Lost]:
    actor, params, random = self.asked.popleft()
    self.answers += 1
    if self.answers in self._deaths:
      self.asked = deque(asked for asked in self.asked if asked[0] != actor)
      return actor, Lost("killed")
    self.made.append(self._steppers[actor].collect(params, random))
    return actor, self.made[-1]

  def restart(self, actor: int) -> None:
    self._seed += 100
    self._steppers[actor] = Stepper(SETUP, len(self.streams[actor]), self._seed)

  def close(self) -> None:
    self.asked.clear()


def collect(actors: Here, replay: Replay, turns: int, **options) -> tuple[RemoteCollector, int, list]:
  policy = AgentPolicy(Regression(), explore=True, key=jax.random.key(1))
  collector = RemoteCollector(policy, actors, replay, **options)
  steps, episodes = 0, []
  for _ in range(turns):
    collector.send({"k": np.float32(0.5)})
    made, ended = collector.receive()
    steps, episodes = steps + made, episodes + ended
  return collector, steps, episodes


def test_whole_chunks_enter_the_replay_and_their_decisions_are_counted():
  actors, replay = Here(4, 0), make_replay()
  collector, steps, episodes = collect(actors, replay, turns=6)
  assert replay.steps == 6 * CHUNK * 2  # 3 chunks of each actor, of 2 environments
  assert steps == replay.decisions() == sum(int((~chunk.rows.is_first).sum()) for chunk in actors.made)
  assert len(episodes) == 4 * (3 * CHUNK // 11) and {episode.length for episode in episodes} == {10}
  assert {episode.stream for episode in episodes} == {0, 1, 2, 3}
  assert all(set(episode.log) == {"x", "success"} for episode in episodes)
  assert actors.most_asked == 2 * AHEAD  # and never more
  assert len(actors.published) == 3  # once for as many chunks as there are actors
  assert collector.faults == 0 and collector.calls == 6


def test_a_death_costs_the_unfinished_episodes_of_that_actor_alone():
  actors, replay = Here(4, 0, deaths=(4,)), make_replay()
  collector, steps, episodes = collect(actors, replay, turns=7)
  assert collector.faults == 1
  assert {episode.length for episode in episodes} == {10}  # none is told that was cut
  assert replay.decisions() == steps + 2  # the rows that close two episodes are no steps of an environment
  assert replay.steps == 6 * CHUNK * 2 + 2
  for stream in (2, 3):
    rows = replay.rows(stream)
    assert rows["is_last"][CHUNK] and rows["is_first"][CHUNK + 1]  # cut, and begun anew
  for stream in (0, 1):
    begins = replay.rows(stream)["is_first"]
    np.testing.assert_array_equal(np.flatnonzero(begins), np.arange(0, len(begins), 11))


def test_an_actor_that_dies_again_and_again_ends_the_run():
  actors = Here(4, 0, deaths=tuple(range(1, 100)))
  with pytest.raises(RuntimeError, match=r"actor 0 \(environments 0, 1\) was lost 5 times and made no step .* killed"):
    collect(actors, make_replay(), turns=40)


def test_after_a_restart_the_episodes_that_had_begun_are_closed_and_nothing_else_is_lost(tmp_path: Path):
  replay = make_replay()
  collector, *_ = collect(Here(4, 0), replay, turns=2)
  extra, before = collector.extra(), replay.steps
  assert len(extra["streams"]) == 4  # 16 rows are an episode of 11 and the beginning of another
  again, *_ = collect(Here(4, 7), replay, turns=0, extra=extra)
  assert again.lost == 4 and replay.steps == before + 4
  for stream in range(4):
    rows = replay.rows(stream)
    assert rows["is_last"][CHUNK] and not rows["is_terminal"][CHUNK]
    np.testing.assert_array_equal(rows["observation/x"][CHUNK], rows["observation/x"][CHUNK - 1])
    assert not rows["reward"][CHUNK] and not rows["is_first"][CHUNK]
  nothing, *_ = collect(Here(4, 7), make_replay(), turns=0, extra={"streams": np.zeros(0, np.int64)})
  assert nothing.lost == 0


def test_chance_acts_where_that_is_asked_for():
  actors = Here(4, 0)
  collector = RemoteCollector(UniformPolicy(Regression(), SPEC, 0), actors, make_replay())
  collector.send({"k": np.float32(0.0)})
  collector.follow(AgentPolicy(Regression(), explore=True, key=jax.random.key(1)))
  for _ in range(2 * AHEAD):
    collector.receive()
  collector.send({"k": np.float32(0.0)})
  assert [random for *_, random in actors.asked] == [False] * 2 * AHEAD
  spread = [np.abs(chunk.rows.action[~chunk.rows.is_first]).mean() for chunk in actors.made]
  assert min(spread) > 0.4  # of uniform actions; those of the policy are 0.5 times normal


def test_a_run_learns_counts_exactly_and_goes_on(tmp_path: Path):
  result = run(tmp_path, remote=Here, env_steps=1200, prefill_policy="random")
  assert result.evaluation is not None and result.evaluation.returns.mean() > 9.8
  assert result.counters.env_steps == 2 * result.counters.agent_steps < 1200 + 2 * 2 * CHUNK
  rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "replay/ratio" in row]
  assert rows[-1]["replay/ratio"] == pytest.approx(8, rel=0.05) and rows[-1]["envs/faults"] == 0
  further = run(tmp_path, remote=Here, env_steps=1800)
  batch = REPLAY.batch_size * REPLAY.batch_length
  collected = further.counters.agent_steps - result.counters.agent_steps
  assert abs(further.counters.updates - result.counters.updates - 8 * collected / batch) < 1
  assert run(tmp_path, env_steps=2000).counters.env_steps >= 2000  # with environments of its own
