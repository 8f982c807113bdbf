"""A run while it lasts: prefill, then collecting and updating in turn, with evaluations, videos and checkpoints between."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax

from dreamerax import captions
from dreamerax.envs.base import Work
from dreamerax.envs.faults import EnvironmentFault
from dreamerax.replay import Replay
from dreamerax.runtime.checkpoint.checkpoints import Checkpoints, Saved
from dreamerax.runtime.collect.collector import Collector, Episode
from dreamerax.runtime.collect.evaluate import EvalResult
from dreamerax.runtime.collect.policy import Policy
from dreamerax.runtime.collect.remote import RemoteCollector
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.errors import Diverged, Interrupted, NotSaved
from dreamerax.runtime.host_sync import Agreement, Turn
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.result import TrainResult
from dreamerax.runtime.schedule import Schedule
from dreamerax.runtime.seeds import EVALUATE, environment_seed
from dreamerax.runtime.settings import LoopConfig
from dreamerax.runtime.telemetry.metrics import MetricsWriter, NoMetrics
from dreamerax.runtime.telemetry.profile import Profile
from dreamerax.runtime.telemetry.progress import Progress
from dreamerax.runtime.telemetry.timing import Interval, Timer
from dreamerax.words import number_of

_log = logging.getLogger(__name__)

_WARM_UP, _PROFILED = 5, 10  # updates before, and during a profile
_LOG_STEPS = 1000  # env steps between lines of training metrics where the clock must not decide
_FILM_PIXELS = 128  # a side of the films of evaluations, at least, so that their labels can be read
_RETRY_SECONDS = 60.0  # until a checkpoint that could not be saved is tried again


@dataclass
class Run:
  """One host's part of a run. What all hosts compute or agree on, all do in the same order; host 0 writes and evaluates."""

  config: LoopConfig
  total: int
  action_repeat: int
  seed: int
  logdir: Path
  replay: Replay
  schedule: Schedule
  learner: Learner
  collector: Collector | RemoteCollector
  policy: Policy  # explores
  judge: Callable[..., EvalResult]
  checkpoints: Checkpoints
  writer: MetricsWriter | NoMetrics
  progress: Progress
  agreement: Agreement
  stages: Timer  # that learner and collector share
  counters: Counters
  seconds_before: float  # that earlier processes took
  prefilled: int  # agent steps of this and earlier prefills, for which no update is owed
  logged: Counters  # at the last line of training metrics
  dealt: int  # how often replays were dealt out anew to other hosts
  config_checksum: str  # of config.json

  def __post_init__(self):
    now = self.counters.env_steps
    self._began = time.monotonic()
    self._hosts = self.agreement.hosts
    self._timer = Timer()
    self._eval = Interval(self.config.eval_every, now)
    self._video = Interval(self.config.video_every, now)
    self._log = Interval(_LOG_STEPS, now) if self.config.sync else Interval(self.config.log_every, 0)
    self._save = Interval(self.config.checkpoint_minutes * 60, 0)
    self._retry = Interval(_RETRY_SECONDS, 0)
    self._evaluation: EvalResult | None = None
    self._attended = False  # by signals: there is something to save
    self._unprofiled = self.config.profile
    if self.config.video_every:
      self.learner.programs.prepare_report()

  def run(self) -> TrainResult:
    """Collects and updates until the end, or until somebody asks to leave."""
    try:
      self._train()
      self.learner.run(self._due())  # what the last step is owed
      self.counters = self.counters._replace(updates=self.learner.updates)
      self.learner.flush()
      self._evaluate(video=self.config.video_every > 0)
      self._log_training()
      interrupted = False
    except Interrupted:
      interrupted, self._evaluation = True, None
    except Diverged as error:
      raise self.checkpoints.spared(error, "env steps") from None
    except EnvironmentFault as fault:
      raise self._saved_after(fault) from None
    if interrupted and not self._attended:  # nothing has happened since the checkpoint that the run began with
      return TrainResult(self.counters, self._seconds, None, True)
    self.agreement.saving()
    self.progress.wait_for(lambda: "saving")
    self._checkpoint()
    self.checkpoints.wait()
    failed = self._hosts.sum([self.checkpoints.failed is not None])[0]  # and none ends while host 0 still writes
    if failed:
      why = self.checkpoints.failed or "host 0 says why"
      raise NotSaved(
        f"the last checkpoint could not be saved ({why}): free space, and go on with --logdir {self.logdir}"
      )
    if interrupted:
      self.progress.say(f"saved at {self.counters.env_steps:,} env steps: continue it with --logdir {self.logdir}")
    return TrainResult(self.counters, self._seconds, self._evaluation, interrupted)

  def _saved_after(self, fault: EnvironmentFault) -> EnvironmentFault:
    """`fault`, and where the run goes on; what was collected before it is saved where no other host has to join in."""
    if self._hosts.count == 1:
      self.counters = self.counters._replace(updates=self.learner.updates)
      self._checkpoint()
      self.checkpoints.wait()
    newest = self.checkpoints.newest
    where = "nothing is saved" if newest is None else f"saved at {newest:,} env steps"
    return EnvironmentFault(f"{fault}; {where}: mend the environment, and go on with --logdir {self.logdir}")

  @property
  def _seconds(self) -> float:
    return self.seconds_before + time.monotonic() - self._began

  def _train(self) -> None:
    if not self._is_filled:
      self.progress.wait_for(
        lambda: f"prefill: {self.agreement.turn.stored:,.0f}/{self.config.prefill_steps:,} agent steps"
      )
      while not self._is_filled and self.counters.env_steps < self.total:
        self.prefilled += self._step(0)
        _ = self.learner.programs.compiled  # or failed: nobody should wait for the rest of the prefill to hear of it
      if self.config.prefill_policy == "random":
        self.collector.follow(self.policy)
      self.schedule.waive(self.counters)
    self.progress.wait_for(self.learner.programs.compiling)
    self.learner.programs.wait_compiled(self._check_and_show)
    self.progress.begin(self.counters)
    first = self.learner.updates
    while self.counters.env_steps < self.total:
      self._step(self._due())
      if self._unprofiled and self.learner.updates - first >= _WARM_UP:
        self._profile()
      self._look_at_clocks()

  def _check_and_show(self) -> None:
    self.agreement.check_within_turn()
    self.progress.tick()

  @property
  def _is_filled(self) -> bool:
    return self.agreement.turn.is_filled(self.config, self._hosts.count)

  def _due(self) -> int:
    """Updates that the schedule asks for; none where the run ended before the replay was filled."""
    return self.schedule.due(self.counters) if self._is_filled else 0

  def _step(self, updates: int) -> int:
    """One turn of collecting, with `updates` dispatched meanwhile; returns how many agent steps ended on all hosts."""
    self.agreement.check_stop()
    with self._timer("wait_policy"):
      self.collector.send(self.learner.acting_params)
    with self._timer("wait_updates"):
      self.learner.run(updates)
    with self._timer("wait_envs"):
      steps, episodes = self.collector.receive()
    with self._timer("wait_hosts"):
      turn = self.agreement.reach(
        Turn.look(self.replay, steps, episodes)._replace(
          faults=self.collector.faults,
          elapsed=(time.monotonic() - self._began) * self._hosts.leads,
          unsaved=self.checkpoints.failed is not None,
        )
      )
    steps = int(turn.agent_steps)
    self.counters = Counters(
      env_steps=self.counters.env_steps + steps * self.action_repeat,
      agent_steps=self.counters.agent_steps + steps,
      updates=self.learner.updates,
    )
    if not self._attended:
      self._attended = True
      self.agreement.attend(lambda: (self.counters, self.learner.updates))
    self._log_episodes(episodes, turn)
    self.progress.update(self.counters)
    return steps

  def _log_episodes(self, episodes: list[Episode], turn: Turn) -> None:
    """Each of one host; of several the mean of those that ended in this turn."""
    ended = [(episode.score, episode.length, episode.log) for episode in episodes]
    if self._hosts.count > 1:
      logs = self.agreement.mean_logs(episodes)
      ended = [(score, length, logs) for score, length in turn.mean_episode]
    for score, length, log in ended:
      own = {f"episode/log/{name}": value for name, value in log.items()}
      self._write({"episode/return": score, "episode/length": length, **own})
    self.progress.episodes([score for score, *_ in ended])

  def _look_at_clocks(self) -> None:
    now, elapsed = self.counters.env_steps, self.agreement.turn.elapsed
    if self._log.due(now if self.config.sync else elapsed):
      self._log_training()
    video = self._video.due(now)
    if video:
      self._report()
    # The last evaluation is made after the last update.
    if self._eval.due(now) and now < self.total:
      self._evaluate(video)
    retry = self._retry.due(elapsed) and self.agreement.turn.unsaved
    if self._save.due(elapsed) or retry:
      self._checkpoint()

  def _log_training(self) -> None:
    means = self.learner.take_metrics()
    elapsed, waits = self._timer.take()
    working = max(elapsed - waits.pop("evaluation", 0.0), 1e-9)
    if self._hosts.count == 1:
      waits.pop("wait_hosts", None)
    turn, collected = self.agreement.turn, self.counters.agent_steps - self.prefilled
    trained = (
      self._hosts.count * self.replay.config.batch_size * self.replay.config.batch_length * self.counters.updates
    )
    self._write(
      {f"train/{name}": value for name, value in means.items()}
      | {"replay/steps": turn.stored, "envs/faults": turn.faults}
      | {"train/skipped_updates": self.learner.skipped}
      | ({"replay/ratio": trained / collected} if collected else {})
      | {"time/env_steps_per_second": (self.counters.env_steps - self.logged.env_steps) / working}
      | {"time/updates_per_second": (self.counters.updates - self.logged.updates) / working}
      | {f"time/{name}": seconds / working for name, seconds in waits.items()}
    )
    self.logged = self.counters

  def _profile(self) -> None:
    """Waits for every stage of some iterations, and says where their time went."""
    self._unprofiled = False
    self.learner.flush()
    before, worked, folder = self.counters, self.collector.work, self.logdir / "profile"
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # every call of a function would make it too large to look at
    self.stages.take()
    self.stages.synchronous = True
    with jax.profiler.trace(folder, profiler_options=options):
      while self.counters.updates - before.updates < _PROFILED and self.counters.env_steps < self.total:
        self._step(self._due())
      self.learner.flush()
    with self.stages("log"):
      self._log_training()
    self.stages.synchronous = False
    work = self.collector.work
    profile = Profile(
      seconds=self.stages.take()[1],
      work=Work(work.total - worked.total, work.rendering - worked.rendering),
      agent_steps=self.counters.agent_steps - before.agent_steps,
      updates=self.counters.updates - before.updates,
      flops=self.learner.programs.flops,
      batch_bytes=self.learner.programs.batch_bytes,
    )
    self.progress.say(
      "\n".join([*profile.lines(), f"trace: {folder} (TensorBoard's profile plugin, or ui.perfetto.dev)"])
    )

  def _report(self) -> None:
    try:
      report = self.learner.report()
    except Exception as error:  # what is drawn for people does not end the run
      _log.warning("the report at %d env steps failed and is left out: %s", self.counters.env_steps, error)
      return
    for name, value in report.items():
      if value.ndim == 4:
        self.writer.video(self.counters, name, value)
    scalars = {name: float(value) for name, value in report.items() if value.ndim == 0}
    if scalars:
      self._write(scalars)

  def _evaluate(self, video: bool) -> None:
    """Host 0 does; the others wait for it at the next turn."""
    if not (self.config.eval_episodes and self._hosts.leads):
      return
    try:
      with self._timer("evaluation"), self.progress.evaluating(number_of(self.config.eval_episodes, "episode")):
        result = self.judge(
          episodes=self.config.eval_episodes,
          seed=environment_seed(self.seed, EVALUATE, self.counters.env_steps),
          video=video,
          check=self.agreement.check_alone,
        )
    except Interrupted:
      if self._hosts.count == 1:
        raise
      self._evaluation = None
      return  # the next turn tells the others
    self._evaluation = result
    self._write(result.scalars())
    if result.video is not None and result.rewards is not None:
      film = captions.scored(result.video, result.rewards, _FILM_PIXELS)
      self.writer.video(self.counters, "eval/video", film)
    self.progress.say(
      f"evaluation at {self.counters.env_steps:,} env steps, {self._seconds:,.0f} s: "
      f"return {result.returns.mean():.1f} ± {result.returns.std():.1f} over {number_of(len(result.returns), 'episode')}"
      + (f", {result.cut} of them cut" if result.cut else "")
    )

  def _checkpoint(self) -> None:
    """Saves all that the run needs to go on as if it had never stopped, and changes nothing in it."""
    self.learner.flush()
    self.writer.flush()
    log = self.replay.commit_log()
    saved = Saved(
      counters=self.counters,
      seconds=self._seconds,
      calls=self.collector.calls,
      prefilled=self.prefilled,
      schedule=self.schedule.state(),
      seed=self.seed,
      replay={**log, "dealt": self.dealt} if log and self.dealt else log,
      metrics=self.writer.size,
      logged=self.logged,
      config=self.config_checksum,
    )
    extra = {
      "collector": self.collector.extra(),
      "learner": self.learner.extra(),
      "replay": self.replay.state(latents=self.config.sync),
    }
    self.checkpoints.save(self.learner.state, saved, extra)

  def _write(self, scalars: Mapping[str, float]) -> None:
    self.writer.write(self.counters, self._seconds, scalars)
