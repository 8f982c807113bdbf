"""Starts a run, or continues one: checks the settings, restores, puts the parts together."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import jax

from dreamerax.envs.base import EnvBatch
from dreamerax.replay import Replay
from dreamerax.runtime.checkpoint import FOLDER, Checkpoints, Saved
from dreamerax.runtime.collect import Collector
from dreamerax.runtime.compilation import enable_cache
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.evaluate import evaluate
from dreamerax.runtime.guard import Guard
from dreamerax.runtime.learner import Learner
from dreamerax.runtime.loop_config import LoopConfig
from dreamerax.runtime.mesh import MeshConfig, describe, local_mesh, policy_mesh
from dreamerax.runtime.metrics import MetricsWriter
from dreamerax.runtime.policy import Policy, RandomPolicy
from dreamerax.runtime.progress import Progress
from dreamerax.runtime.protocol import Agent, MakeEnvs
from dreamerax.runtime.remote import Actors, RemoteCollector
from dreamerax.runtime.run import COLLECT, PREFILL, Run, TrainResult, environment_seed, is_filled
from dreamerax.runtime.run_lock import RunLock
from dreamerax.runtime.schedule import Schedule
from dreamerax.runtime.sharding import abstract_state, check_batch_size, init_state
from dreamerax.runtime.timing import Timer
from dreamerax.runtime.together import Company, alone

__all__ = ["LoopConfig", "TrainResult", "train"]


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
  mesh: MeshConfig | None = None,
  begin: Callable[[], None] = lambda: None,
  company: Company | None = None,
  remote: Callable[[int, int], Actors] | None = None,
) -> TrainResult:
  """Trains until `env_steps`, or continues a run that `logdir` holds.

  One iteration: the policy acts with the newest parameters in one part of the environments, their step begins, the updates
  that are due are dispatched, and the oldest step in flight is received; devices and simulators work at the same time, and
  the outcome depends on the seed and on how many parts there are.

  A continued run restores everything: state, counters, schedule, replay, and the episodes that had begun, by taking their
  actions again. Where the replay is not on disk, it is filled again to `prefill_steps` before updates go on; those steps
  count as env steps, as they are experience of the run, and no update is owed for them.

  Args:
    make_envs: makes and seeds environments for collecting and for evaluating; they are closed here.
    replay: empty, with one stream per environment; kept on disk in `logdir`.
    schedule: before its first call.
    logdir: the run directory.
    env_steps: length of the run, in which prefill and earlier parts count.
    task: for people only.
    mesh: which devices learn and act; the replay gives whole batches, B sequences.
    begin: called once everything was checked, before the first step; not called where nothing is left to do.
    company: other runs of this process; None: there are none.
    remote: makes actors that collect elsewhere, (number of environments, seed); None: everything happens here.

  Raises:
    ValueError: settings that do not fit each other, the devices, or the run in `logdir`, or another process trains there;
      nothing was lost.
    Diverged: an update or an action is not finite; earlier checkpoints are intact.
    NotSaved: the run is over, and its last checkpoint could not be written.
  """
  enable_cache()
  if config.sync and replay.config.max_disk_bytes == 0:
    raise ValueError("sync=True needs the replay on disk to restart from: leave replay.max_disk_bytes=0 out")
  learners, actors = local_mesh(mesh), policy_mesh(mesh)
  check_batch_size(replay.config.batch_size, learners)
  _check_lengths(config, replay, env_steps, action_repeat)
  logdir = Path(logdir).absolute()
  init_key, act_key, update_key, mode_key = jax.random.split(jax.random.key(seed), 4)
  with ExitStack() as stack:
    company = company or stack.enter_context(alone())
    stack.enter_context(RunLock(logdir))
    checkpoints = stack.enter_context(closing(Checkpoints(logdir / FOLDER)))
    restored = checkpoints.restore(abstract_state(agent, learners))
    state, saved, extra = restored or (init_state(agent, learners, init_key), Saved.nothing(seed), {})
    if restored:
      _check_seed(saved, seed, logdir)
      schedule.restore(saved.schedule)
    progress = Progress(env_steps, saved.counters, company.display, company.name)
    if saved.counters.env_steps >= env_steps:
      progress.say(f"{logdir} has reached {saved.counters.env_steps:,} env steps: raise env_steps to continue it")
      return TrainResult(saved.counters, saved.seconds, None, False)
    begin()
    progress.say(describe(learners, actors))
    _introduce(progress, agent, replay, task, logdir, saved.counters)
    stack.callback(replay.close_log)
    newer = _open_replay(replay, logdir / "replay", saved, extra, config.resume == "keep", progress)
    counters = saved.counters
    if newer:  # which other episodes follow than those of the checkpoint
      agent_steps = counters.agent_steps + newer
      counters = counters._replace(agent_steps=agent_steps, env_steps=counters.env_steps + newer * action_repeat)
      extra = {}
    stages = Timer()
    # Where episodes go on, they and those after them have the seeds that they would have had. Those of actors do not.
    episodes_go_on = remote is None and "episodes" in extra.get("collector", {})
    first_seed = environment_seed(seed, COLLECT, 0 if episodes_go_on else counters.env_steps)
    envs = stack.enter_context(closing((remote or make_envs)(num_envs, first_seed)))
    learner = Learner(
      agent,
      envs.spec,
      replay,
      learners,
      state=state,
      updates=counters.updates,
      key=update_key,
      timer=stages,
      guard=Guard(logdir / "nonfinite", skip=config.nonfinite == "skip"),
      extra=extra.get("learner") if saved.replay else None,
      compile_update=company.compile_update,
    )
    del state  # the learner's first update gives its memory away
    stack.enter_context(closing(learner))
    policy = Policy(agent, explore=True, key=act_key, mesh=actors)
    judge = Policy(agent, explore=False, key=mode_key, mesh=actors)
    chance = RandomPolicy(agent, envs.spec, environment_seed(seed, PREFILL, 0))
    first = chance if config.prefill_policy == "random" and not is_filled(replay, config) else policy
    collector = _collector(first, envs, replay, saved, stages, extra.get("collector", {}))
    if collector.lost:
      progress.say(f"{collector.lost} episodes that had begun could not be brought back; they were cut short")
    run = Run(
      config=config,
      total=env_steps,
      action_repeat=action_repeat,
      seed=seed,
      logdir=logdir,
      replay=replay,
      schedule=schedule,
      learner=learner,
      collector=collector,
      policy=policy,
      judge=lambda **options: evaluate(judge, learner.newest_params, make_envs, num_envs=num_envs, **options),
      checkpoints=checkpoints,
      writer=stack.enter_context(closing(MetricsWriter(logdir, size=saved.metrics, after=saved.counters.env_steps))),
      progress=progress,
      stop=company.stop,
      stages=stages,
      counters=counters,
      seconds_before=saved.seconds,
      prefilled=saved.prefilled,
      logged=saved.logged,
    )
    return run.run()


def _collector(
  policy: Policy | RandomPolicy,
  source: EnvBatch | Actors,
  replay: Replay,
  saved: Saved,
  stages: Timer,
  extra: Mapping[str, Any],
) -> Collector | RemoteCollector:
  """Of either kind; what the other kind has left behind is of no use to it, and its episodes begin anew."""
  if isinstance(source, EnvBatch):
    usable = extra if "episodes" in extra else None
    return Collector(policy, source, replay, calls=saved.calls, timer=stages, extra=usable)
  usable = extra if "streams" in extra else None
  return RemoteCollector(policy, source, replay, calls=saved.calls, timer=stages, extra=usable)


def _open_replay(
  replay: Replay, folder: Path, saved: Saved, extra: Mapping[str, Any], keep: bool, progress: Progress
) -> int:
  """Loads the replay of the checkpoint, or all of it where newer experience is kept; returns the agent steps of the latter."""
  if not extra and not keep and folder.exists():
    progress.say(f"{folder} belongs to no checkpoint, and begins anew; --resume keep would keep it")
  end = saved.replay if extra else {}
  replay.open_log(folder, None if keep else end, progress.say)
  if extra and end:
    replay.restore(extra["replay"])
  newer = replay.decisions(end.get("written")) if keep else 0
  if newer:
    progress.say(f"kept {newer:,} agent steps that were collected after the checkpoint")
  return newer


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
  progress.say(f"task: {task}")
  progress.say(f"parameters: {agent.parameter_count():,}")
  progress.say(replay.describe())
  progress.say(f"logdir: {logdir}")
  if counters.env_steps:
    progress.say(f"continuing at {counters.env_steps:,} env steps, {counters.updates:,} updates")
