"""Runs the loop: prefill, then collecting and updating in turn, with evaluations, videos and checkpoints between."""

import logging
from dataclasses import dataclass

import jax

from dreamerax.envs.base import Work
from dreamerax.runtime.checkpoint.metadata import RESHARDS
from dreamerax.runtime.collect.collector import Episode
from dreamerax.runtime.collect.evaluate import EvalResult
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.collect.protocol import Collecting
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.errors import Interrupted
from dreamerax.runtime.evaluator import Evaluator
from dreamerax.runtime.host_sync import Agreement, Turn
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.result import TrainResult
from dreamerax.runtime.session import Session
from dreamerax.runtime.settings import Parts, RunSettings
from dreamerax.runtime.telemetry.profile import Profile
from dreamerax.runtime.telemetry.timing import Interval, Timer

_log = logging.getLogger(__name__)

_WARM_UP, _PROFILED = 5, 10  # updates before, and during a profile
_LOG_STEPS = 1000  # env steps between lines of training metrics where the clock must not decide


@dataclass
class Run:
  """One host's part of a run. What all hosts compute or agree on, all do in the same order; host 0 writes and evaluates."""

  parts: Parts
  settings: RunSettings
  learner: Learner
  collector: Collecting
  policy: AgentPolicy  # explores
  evaluator: Evaluator
  session: Session
  agreement: Agreement
  stages: Timer  # that learner and collector share
  counters: Counters
  prefilled: int  # agent steps of this and earlier prefills, for which no update is owed
  logged: Counters  # at the last line of training metrics
  reshards: int  # how often replays were resharded to other hosts

  def __post_init__(self):
    now = self.counters.env_steps
    self._hosts = self.agreement.hosts
    self._timer = Timer()
    self._eval = Interval(self.settings.loop.eval_every, now)
    self._video = Interval(self.settings.loop.video_every, now)
    self._log = Interval(_LOG_STEPS, now) if self.settings.loop.sync else Interval(self.settings.loop.log_every, 0)
    self._evaluation: EvalResult | None = None
    self._unprofiled = self.settings.loop.profile
    if self.settings.loop.video_every:
      self.learner.programs.prepare_report()

  def run(self) -> TrainResult:
    """Collects and updates until the end, or until somebody asks to leave."""
    interrupted = self.session.conclude(self._train_and_evaluate, self._checkpoint)
    evaluation = None if interrupted else self._evaluation
    return TrainResult(self.counters, self.session.seconds, evaluation, interrupted)

  def _train_and_evaluate(self) -> None:
    self._train()
    self.learner.run(self._due())  # what the last step is owed
    self.counters = self.counters._replace(updates=self.learner.updates)
    self.learner.flush()
    self._evaluate(video=self.settings.loop.video_every > 0)
    self._log_training()

  def _train(self) -> None:
    if not self._is_filled:
      self.session.progress.wait_for(self._prefill)
      while not self._is_filled and self.counters.env_steps < self.settings.env_steps:
        self.prefilled += self._step(0)
        _ = self.learner.programs.compiled  # or failed: nobody should wait for the rest of the prefill to hear of it
      if self.settings.loop.prefill_policy == "random":
        self.collector.follow(self.policy)
      self.parts.schedule.waive(self.counters)
    self.session.progress.wait_for(self.learner.programs.compiling)
    self.learner.programs.wait_compiled(self._check_and_show)
    self.session.progress.begin(self.counters)
    first = self.learner.updates
    while self.counters.env_steps < self.settings.env_steps:
      self._step(self._due())
      if self._unprofiled and self.learner.updates - first >= _WARM_UP:
        self._profile()
      self._look_at_clocks()

  def _prefill(self) -> str:
    """How far it is, for the progress line."""
    stored, asked = self.agreement.turn.stored, self.settings.loop.prefill_steps
    if stored < asked:
      return f"prefill: {stored:,.0f}/{asked:,} agent steps"
    return f"prefill: {stored:,.0f} agent steps, until environments have {self.parts.replay.config.sequence:,} each"

  def _check_and_show(self) -> None:
    self.agreement.check_within_turn()
    self.session.progress.tick()

  @property
  def _is_filled(self) -> bool:
    return self.agreement.turn.is_filled(self.settings.loop, self._hosts.count)

  def _due(self) -> int:
    """Updates that the schedule asks for; none where the run ended before the replay was filled."""
    return self.parts.schedule.due(self.counters) if self._is_filled else 0

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
      turn = self.agreement.all_reduce(
        Turn.of(self.parts.replay, steps, episodes)._replace(
          faults=self.collector.faults,
          elapsed=self.session.elapsed * self._hosts.leads,
          unsaved=self.session.checkpoints.failed is not None,
        )
      )
    steps = int(turn.agent_steps)
    self.counters = Counters(
      env_steps=self.counters.env_steps + steps * self.settings.action_repeat,
      agent_steps=self.counters.agent_steps + steps,
      updates=self.learner.updates,
    )
    self.session.attend(lambda: (self.counters, self.learner.updates))
    self._log_episodes(episodes, turn)
    self.session.progress.update(self.counters)
    return steps

  def _log_episodes(self, episodes: list[Episode], turn: Turn) -> None:
    """Each of one host; of several the mean of those that ended in this turn."""
    ended = [(episode.score, episode.length, episode.log) for episode in episodes]
    if self._hosts.count > 1:
      logs = self.agreement.mean_logs(episodes)
      ended = [(score, length, logs) for score, length in turn.mean_episode]
    for score, length, log in ended:
      own = {f"episode/log/{name}": value for name, value in log.items()}
      self.session.write(self.counters, {"episode/return": score, "episode/length": length, **own})
    self.session.progress.episodes([score for score, *_ in ended])

  def _look_at_clocks(self) -> None:
    now, elapsed = self.counters.env_steps, self.agreement.turn.elapsed
    if self._log.due(now if self.settings.loop.sync else elapsed):
      self._log_training()
    video = self._video.due(now)
    if video:
      self._report()
    # The last evaluation is made after the last update.
    if self._eval.due(now) and now < self.settings.env_steps:
      self._evaluate(video)
    if self.session.is_save_due(elapsed, failed=bool(self.agreement.turn.unsaved)):
      self._checkpoint()

  def _log_training(self) -> None:
    means = self.learner.take_metrics()
    elapsed, waits = self._timer.take()
    working = max(elapsed - waits.pop("evaluation", 0.0), 1e-9)
    if self._hosts.count == 1:
      waits.pop("wait_hosts", None)
    turn, collected = self.agreement.turn, self.counters.agent_steps - self.prefilled
    trained = (
      self._hosts.count
      * self.parts.replay.config.batch_size
      * self.parts.replay.config.batch_length
      * self.counters.updates
    )
    self.session.write(
      self.counters,
      {f"train/{name}": value for name, value in means.items()}
      | {"replay/steps": turn.stored, "envs/faults": turn.faults}
      | {"train/skipped_updates": self.learner.skipped}
      | ({"replay/ratio": trained / collected} if collected else {})
      | {"time/env_steps_per_second": (self.counters.env_steps - self.logged.env_steps) / working}
      | {"time/updates_per_second": (self.counters.updates - self.logged.updates) / working}
      | {f"time/{name}": seconds / working for name, seconds in waits.items()},
    )
    self.logged = self.counters

  def _profile(self) -> None:
    """Waits for every stage of some iterations, and says where their time went."""
    self._unprofiled = False
    self.learner.flush()
    before, worked, folder = self.counters, self.collector.work, self.session.logdir / "profile"
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # every call of a function would make it too large to look at
    self.stages.take()
    self.stages.synchronous = True
    with jax.profiler.trace(folder, profiler_options=options):
      while self.counters.updates - before.updates < _PROFILED and self.counters.env_steps < self.settings.env_steps:
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
    self.session.progress.say(
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
        self.session.metrics.video(self.counters, name, value)
    scalars = {name: float(value) for name, value in report.items() if value.ndim == 0}
    if scalars:
      self.session.write(self.counters, scalars)

  def _evaluate(self, video: bool) -> None:
    """Host 0 does; the others wait for it at the next turn."""
    if not (self.settings.loop.eval_episodes and self._hosts.leads):
      return
    try:
      with self._timer("evaluation"):
        self._evaluation = self.evaluator(self.counters, video=video, check=self.agreement.check_alone)
    except Interrupted:
      if self._hosts.count == 1:
        raise
      self._evaluation = None  # the next turn tells the others

  def _checkpoint(self) -> Counters:
    """Saves all that the run needs to go on as if it had never stopped, and changes nothing in it."""
    self.counters = self.counters._replace(updates=self.learner.updates)
    self.learner.flush()
    log = self.parts.replay.commit_log()
    extra = {
      "collector": self.collector.extra(),
      "learner": self.learner.extra(),
      "replay": self.parts.replay.state(latents=self.settings.loop.sync),
    }
    self.session.save(
      self.learner.state,
      self.counters,
      extra,
      calls=self.collector.calls,
      prefilled=self.prefilled,
      schedule=self.parts.schedule.state(),
      replay={**log, RESHARDS: self.reshards} if log and self.reshards else log,
      logged=self.logged,
    )
    return self.counters
