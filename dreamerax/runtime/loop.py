"""A whole run: prefill, then collecting and updating in turn, with evaluations, videos and checkpoints between."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dreamerax.replay import Replay
from dreamerax.runtime.checkpoint import FOLDER, Checkpoints, Saved
from dreamerax.runtime.collect import Collector
from dreamerax.runtime.compilation import enable_cache
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.errors import Diverged, Interrupted
from dreamerax.runtime.evaluate import EvalResult, evaluate
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.learner import Learner
from dreamerax.runtime.metrics import MetricsWriter
from dreamerax.runtime.policy import Policy
from dreamerax.runtime.progress import Progress
from dreamerax.runtime.protocol import Agent, MakeEnvs
from dreamerax.runtime.schedule import Schedule
from dreamerax.runtime.sharding import abstract_state, check_batch_size, init_state, local_mesh
from dreamerax.runtime.timing import Interval, Timer

_COLLECT, _EVALUATE = 0, 1  # what environments are seeded for


@dataclass(frozen=True)
class LoopConfig:
  """When things happen. An env step is a simulator step (action repeat included), an agent step one decision."""

  prefill_steps: int = 1024
  """Agent steps in replay before the first update, over all environments. One whole sequence is awaited in any case."""
  log_every: float = 30.0
  """Seconds between lines of training metrics."""
  eval_every: int = 10_000
  """Env steps between evaluations; 0 evaluates at the end only."""
  eval_episodes: int = 10
  """Episodes of an evaluation; 0 never evaluates."""
  video_every: int = 50_000
  """Env steps between videos; 0 makes none."""
  checkpoint_minutes: float = 10.0
  """Minutes between checkpoints; there is one at the end in any case."""

  def __post_init__(self):
    for name in ("prefill_steps", "eval_every", "eval_episodes", "video_every"):
      if getattr(self, name) < 0:
        raise ValueError(f"loop.{name}={getattr(self, name)} must be at least 0")
    for name in ("log_every", "checkpoint_minutes"):
      if not getattr(self, name) > 0:
        raise ValueError(f"loop.{name}={getattr(self, name)} must be more than 0")


class TrainResult(NamedTuple):
  """How a run ended."""

  counters: Counters
  seconds: float  # since the run began, over restarts
  evaluation: EvalResult | None  # the last one; None if interrupted, without evaluations, or with nothing left to do
  interrupted: bool  # by Ctrl-C or SIGTERM; saved


def train(
  agent: Agent,
  make_envs: MakeEnvs,
  replay: Replay,
  schedule: Schedule,
  config: LoopConfig,
  *,
  logdir: Path,
  env_steps: int,
  num_envs: int,
  action_repeat: int,
  seed: int,
  task: str,
) -> TrainResult:
  """Trains until `env_steps`, or continues a run that `logdir` holds.

  One iteration: the policy acts with the newest parameters, the environments' step begins, the updates that are due are
  dispatched, and the environments' step is received; devices and simulators work at the same time, and the outcome
  depends on the seed alone.

  A continued run restores state, counters and schedule. Its replay begins empty and is filled again to `prefill_steps`
  before updates go on. Those steps count as env steps, as they are experience of the run; no update is owed for them.

  Args:
    make_envs: makes and seeds environments for collecting and for evaluating; they are closed here.
    replay: empty, with one stream per environment.
    schedule: before its first call.
    logdir: the run directory.
    env_steps: length of the run, in which prefill and earlier parts count.
    task: for people only.

  Raises:
    ValueError: settings that do not fit each other, the devices, or the run in `logdir`; nothing was written.
    Diverged: a loss or an action is not finite; earlier checkpoints are intact.
  """
  enable_cache()
  mesh = local_mesh()
  check_batch_size(replay.config.batch_size, mesh)
  _check_lengths(config, replay, env_steps, action_repeat)
  logdir = Path(logdir).absolute()
  init_key, act_key, update_key, mode_key = jax.random.split(jax.random.key(seed), 4)
  with ExitStack() as stack:
    stop = stack.enter_context(StopSignals())
    checkpoints = stack.enter_context(closing(Checkpoints(logdir / FOLDER)))
    restored = checkpoints.restore(abstract_state(agent, mesh))
    state, saved = restored or (init_state(agent, mesh, init_key), Saved(Counters(), 0.0, 0, 0, {}, seed))
    if restored:
      _check_seed(saved, seed, logdir)
      schedule.restore(saved.schedule)
    progress = stack.enter_context(closing(Progress(env_steps, saved.counters)))
    if saved.counters.env_steps >= env_steps:
      progress.say(f"{logdir} has reached {saved.counters.env_steps:,} env steps: raise env_steps to continue it")
      return TrainResult(saved.counters, saved.seconds, None, False)
    _introduce(progress, agent, replay, task, logdir, saved.counters)
    envs = stack.enter_context(closing(make_envs(num_envs, _seed(seed, _COLLECT, saved.counters.env_steps))))
    learner = Learner(agent, envs.spec, replay, mesh, state=state, updates=saved.counters.updates, key=update_key)
    del state  # the learner's first update gives its memory away
    stack.enter_context(closing(learner))
    run = _Run(
      config=config,
      total=env_steps,
      action_repeat=action_repeat,
      seed=seed,
      logdir=logdir,
      replay=replay,
      schedule=schedule,
      learner=learner,
      collector=Collector(Policy(agent, explore=True, key=act_key), envs, replay, calls=saved.calls),
      judge=lambda **options: evaluate(
        Policy(agent, explore=False, key=mode_key), learner.policy_params, make_envs, num_envs=num_envs, **options
      ),
      checkpoints=checkpoints,
      writer=stack.enter_context(closing(MetricsWriter(logdir, after=saved.counters.env_steps if restored else -1))),
      progress=progress,
      stop=stop,
      counters=saved.counters,
      seconds_before=saved.seconds,
      prefilled=saved.prefilled,
    )
    return run.run()


@dataclass
class _Run:
  """One process's part of a run."""

  config: LoopConfig
  total: int
  action_repeat: int
  seed: int
  logdir: Path
  replay: Replay
  schedule: Schedule
  learner: Learner
  collector: Collector
  judge: Callable[..., EvalResult]
  checkpoints: Checkpoints
  writer: MetricsWriter
  progress: Progress
  stop: StopSignals
  counters: Counters
  seconds_before: float  # that earlier processes took
  prefilled: int  # agent steps of this and earlier prefills, for which no update is owed

  def __post_init__(self):
    now = self.counters.env_steps
    self._began = time.monotonic()
    self._timer = Timer()
    self._logged = self.counters
    self._eval = Interval(self.config.eval_every, now)
    self._video = Interval(self.config.video_every, now)
    self._log = Interval(self.config.log_every, 0)
    self._save = Interval(self.config.checkpoint_minutes * 60, 0)
    self._evaluation: EvalResult | None = None
    if self.config.video_every:
      self.learner.prepare_report()

  def run(self) -> TrainResult:
    """Collects and updates until the end, or until somebody asks to leave."""
    try:
      self._train()
      self.learner.run(self._due())  # what the last step is owed
      self.counters = self.counters._replace(updates=self.learner.updates)
      self._evaluate(video=self.config.video_every > 0)
      interrupted = False
    except Interrupted:
      interrupted, self._evaluation = True, None
    except Diverged as error:
      newest = self.checkpoints.newest
      where = "there is no checkpoint" if newest is None else f"the checkpoint at {newest:,} env steps is intact"
      raise Diverged(f"{error}; {where}") from None
    self._log_training()
    self._checkpoint()
    self.checkpoints.wait()
    if interrupted:
      self.progress.say(
        f"saved at {self.counters.env_steps:,} env steps: the same command continues it (logdir {self.logdir})"
      )
    return TrainResult(self.counters, self._seconds, self._evaluation, interrupted)

  @property
  def _seconds(self) -> float:
    return self.seconds_before + time.monotonic() - self._began

  def _train(self) -> None:
    while not self._filled() and self.counters.env_steps < self.total:
      self.prefilled += self._step(0)
    self.schedule.waive(self.counters)
    if not self.learner.compiled:
      self.progress.say("waiting for the update to compile; the next run of these sizes finds it ready")
    self.learner.wait_compiled(self.stop.check)
    while self.counters.env_steps < self.total:
      self._step(self._due())
      self._look_at_clocks()

  def _filled(self) -> bool:
    return self.replay.steps >= self.config.prefill_steps and self.replay.sequences > 0

  def _due(self) -> int:
    """Updates that the schedule asks for; none where the run ended before the replay was filled."""
    if not self._filled():
      return 0
    return self.schedule.due(self.counters)

  def _step(self, updates: int) -> int:
    """One step of every environment, with `updates` dispatched meanwhile; returns the agent steps that it took."""
    self.stop.check()
    with self._timer("wait_policy"):
      self.collector.send(self.learner.policy_params)
    with self._timer("wait_updates"):
      self.learner.run(updates)
    with self._timer("wait_envs"):
      steps, episodes = self.collector.receive()
    self.counters = Counters(
      env_steps=self.counters.env_steps + steps * self.action_repeat,
      agent_steps=self.counters.agent_steps + steps,
      updates=self.learner.updates,
    )
    for episode in episodes:
      self._write({"episode/return": episode.score, "episode/length": episode.length})
    self.progress.episodes([episode.score for episode in episodes])
    self.progress.update(self.counters)
    return steps

  def _look_at_clocks(self) -> None:
    now = self.counters.env_steps
    elapsed = time.monotonic() - self._began
    if self._log.due(elapsed):
      self._log_training()
    video = self._video.due(now)
    if video:
      self._report()
    # The last evaluation is made after the last update.
    if self._eval.due(now) and now < self.total:
      self._evaluate(video)
    if self._save.due(elapsed):
      self._checkpoint()

  def _log_training(self) -> None:
    means = self.learner.take_metrics()
    elapsed, waits = self._timer.take()
    working = max(elapsed - waits.pop("evaluation", 0.0), 1e-9)
    collected = self.counters.agent_steps - self.prefilled
    trained = self.replay.config.batch_size * self.replay.config.batch_length * self.counters.updates
    self._write(
      {f"train/{name}": value for name, value in means.items()}
      | {"replay/steps": self.replay.steps}
      | ({"replay/ratio": trained / collected} if collected else {})
      | {"time/env_steps_per_second": (self.counters.env_steps - self._logged.env_steps) / working}
      | {"time/updates_per_second": (self.counters.updates - self._logged.updates) / working}
      | {f"time/{name}": seconds / working for name, seconds in waits.items()}
    )
    self._logged = self.counters

  def _report(self) -> None:
    report = self.learner.report()
    for name, value in report.items():
      if value.ndim == 4:
        self.writer.video(self.counters, name, value)
    scalars = {name: float(value) for name, value in report.items() if value.ndim == 0}
    if scalars:
      self._write(scalars)

  def _evaluate(self, video: bool) -> None:
    if not self.config.eval_episodes:
      return
    with self._timer("evaluation"):
      result = self.judge(
        episodes=self.config.eval_episodes,
        seed=_seed(self.seed, _EVALUATE, self.counters.env_steps),
        video=video,
        check=self.stop.check,
      )
    self._evaluation = result
    self._write(result.scalars())
    if result.video is not None:
      self.writer.video(self.counters, "eval/video", result.video)
    self.progress.say(
      f"evaluation at {self.counters.env_steps:,} env steps, {self._seconds:,.0f} s: "
      f"return {result.returns.mean():.1f} ± {result.returns.std():.1f} over {len(result.returns)} episodes"
    )

  def _checkpoint(self) -> None:
    self._log_training()  # raises if training has diverged, so that only sound states are saved
    self.learner.flush()
    self.writer.flush()
    saved = Saved(
      counters=self.counters,
      seconds=self._seconds,
      calls=self.collector.calls,
      prefilled=self.prefilled,
      schedule=self.schedule.state(),
      seed=self.seed,
    )
    self.checkpoints.save(self.learner.state, saved)

  def _write(self, scalars: Mapping[str, float]) -> None:
    self.writer.write(self.counters, self._seconds, scalars)


def _check_lengths(config: LoopConfig, replay: Replay, env_steps: int, action_repeat: int) -> None:
  if config.prefill_steps > replay.capacity:
    raise ValueError(
      f"loop.prefill_steps={config.prefill_steps} exceeds what the replay holds ({replay.capacity} steps): "
      "lower it, or raise replay.capacity or replay.max_bytes"
    )
  if env_steps <= config.prefill_steps * action_repeat:
    raise ValueError(
      f"env_steps={env_steps} ends the run before its first update (loop.prefill_steps={config.prefill_steps} with "
      f"action repeat {action_repeat} are {config.prefill_steps * action_repeat} env steps): raise env_steps"
    )


def _check_seed(saved: Saved, seed: int, logdir: Path) -> None:
  if saved.seed != seed:
    raise ValueError(f"seed={seed}, and {logdir} was begun with {saved.seed}: use that seed, or another --logdir")


def _introduce(progress: Progress, agent: Agent, replay: Replay, task: str, logdir: Path, counters: Counters) -> None:
  devices = jax.local_devices()
  progress.say(f"devices: {len(devices)} x {devices[0].device_kind}")
  progress.say(f"task: {task}")
  progress.say(f"parameters: {agent.parameter_count():,}")
  progress.say(replay.describe())
  progress.say(f"logdir: {logdir}")
  if counters.env_steps:
    progress.say(f"continuing at {counters.env_steps:,} env steps, {counters.updates:,} updates")


def _seed(seed: int, purpose: int, env_steps: int) -> int:
  """A seed for environments that depends on the run's and on how far the run is."""
  return int(np.random.SeedSequence([seed, purpose, env_steps]).generate_state(1)[0])
