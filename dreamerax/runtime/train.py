"""Starts a run, or continues one: restores, and puts the parts together."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from dreamerax.runtime.checkpoint.metadata import ConfigFile, RunState
from dreamerax.runtime.checkpoint.replay import Restored, restore_replay
from dreamerax.runtime.collect.policy import AgentPolicy, UniformPolicy
from dreamerax.runtime.collect.source import ExperienceSource, LocalSource, RemoteSource
from dreamerax.runtime.context import RunContext, single_run
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.devices.mesh import learner_mesh, policy_mesh
from dreamerax.runtime.devices.sharding import abstract_state, init_state
from dreamerax.runtime.evaluator import Evaluator
from dreamerax.runtime.host_sync import Agreement
from dreamerax.runtime.learn.compilation import enable_cache
from dreamerax.runtime.learn.finite import Guard
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.learn.state_memory import check_fits
from dreamerax.runtime.learn.update import Programs
from dreamerax.runtime.loop import Run
from dreamerax.runtime.protocol import State
from dreamerax.runtime.result import TrainResult
from dreamerax.runtime.seeds import COLLECT, PREFILL, environment_seed
from dreamerax.runtime.session import Session
from dreamerax.runtime.settings import ACT, INIT, MODE, UPDATE, Parts, RunSettings, RunStart
from dreamerax.runtime.telemetry.progress import Progress
from dreamerax.runtime.telemetry.timing import Timer
from dreamerax.words import number_of


def train_run(
  parts: Parts,
  settings: RunSettings,
  *,
  begin: Callable[[], ConfigFile] = ConfigFile,
  context: RunContext | None = None,
) -> TrainResult:
  """Trains until `settings.env_steps`, or continues a run that `settings.logdir` holds.

  One iteration: the policy acts with the newest parameters in one part of the environments, their step begins, the updates
  that are due are dispatched, and the oldest step in flight is received; devices and simulators work at the same time, and
  the outcome depends on the seed and on how many parts there are.

  A continued run restores everything: state, counters, schedule, replay, and the episodes that had begun, by taking their
  actions again. Where the replay is not on disk, it is filled again to `prefill_steps` before updates go on; those steps
  count as env steps, as they are experience of the run, and no update is owed for them.

  On several hosts each process calls this with the same arguments, but for the replay: see docs/scaling.md.

  Args:
    begin: writes the configuration; called on host 0 once everything was checked, before the first step, and not where nothing
      is left to do.
    context: other runs of this process; None: there are none.

  Raises:
    ValueError: settings that do not fit each other, the devices, or the run in `logdir`, or another process trains there;
      nothing was lost.
    Diverged: an update or an action is not finite; earlier checkpoints are intact.
    EnvironmentFault: environments fail again and again, or show numbers that are not finite; the run is saved.
    NotSaved: the run is over, and its last checkpoint could not be written.
    HostLost: another host has ended; start all of them again.
  """
  enable_cache()
  hosts = Hosts()
  with ExitStack() as stack, hosts.noticing():
    start = RunStart(
      parts,
      replace(settings, logdir=Path(settings.logdir).absolute()),
      hosts,
      context or stack.enter_context(single_run(quiet=not hosts.leads)),
      learners=learner_mesh(settings.mesh),
      actors=policy_mesh(settings.mesh),
    )
    start.check()
    return _train(start, begin, stack)


def _train(start: RunStart, begin: Callable[[], ConfigFile], stack: ExitStack) -> TrainResult:
  hosts, logdir = start.hosts, start.settings.logdir
  session = Session(
    logdir,
    hosts,
    start.context.stop,
    seed=start.settings.seed,
    unit="env steps",
    checkpoint_minutes=start.settings.loop.checkpoint_minutes,
  )
  stack.enter_context(session)
  shapes = abstract_state(start.parts.agent, start.learners)
  check_fits(shapes, start.learners)
  state, extra = session.restore(shapes)
  saved = session.saved
  start.check_continues(saved)
  display, every = start.context.display, start.settings.loop.eval_every
  progress = Progress(start.settings.env_steps, saved.counters, display, start.context.name, eval_every=every)
  if saved.counters.env_steps >= start.settings.env_steps:
    progress.say(f"{logdir} has reached {saved.counters.env_steps:,} env steps: raise env_steps to continue it")
    return TrainResult(saved.counters, saved.seconds, None, False)
  programs = _make_programs(start, shapes)
  stack.callback(lambda: programs.close(wait=not start.context.stop.requested))
  start.introduce(progress, saved.counters)
  stack.callback(start.parts.replay.close_log)
  found = restore_replay(
    start.parts.replay,
    logdir,
    saved,
    extra,
    hosts=hosts,
    keep=start.settings.loop.resume == "keep",
    action_repeat=start.settings.action_repeat,
    say=progress.say,
  )
  progress.wait_for(lambda: f"making {number_of(start.settings.num_envs, 'environment')} and the parameters")
  # Processes make the environments, and a thread the programs, while this one makes the first state.
  source = stack.enter_context(closing(_make_source(start, found)))
  if source.forgets:
    start.check_forgotten()
    progress.say("the environments cannot be saved: where the run goes on, the episodes that had begun are cut short")
  if state is None:
    state = start.parts.initial(init_state(start.parts.agent, start.learners, start.key(INIT)))
  else:
    start.parts.schedule.restore(saved.schedule)
  written = begin() if hosts.leads else ConfigFile()
  return _make_run(start, programs, state, source, found, written, session, progress, stack).run()


def _make_source(start: RunStart, found: Restored) -> ExperienceSource:
  """Makes the environments. Where episodes go on, they and those after them have the
  seeds that they would have had; those of actors do not."""
  goes_on = start.parts.remote is None and "episodes" in found.extra.get("collector", {})
  first_seed = environment_seed(start.own_seed, COLLECT, 0 if goes_on else found.counters.env_steps)
  count = start.settings.num_envs
  if start.parts.remote is not None:
    return RemoteSource(start.parts.remote(count, first_seed))
  envs = start.parts.make_envs(count, first_seed)
  envs.run_on(start.actors.devices.flat[0])
  return LocalSource(envs)


def _make_run(
  start: RunStart,
  programs: Programs,
  state: State,
  source: ExperienceSource,
  found: Restored,
  written: ConfigFile,
  session: Session,
  progress: Progress,
  stack: ExitStack,
) -> Run:
  """Puts the parts together. The state is given away."""
  config, saved, stages = start.settings.loop, session.saved, Timer()
  agreement = Agreement(start.hosts, start.context.stop, start.parts.replay)
  learner = stack.enter_context(closing(_make_learner(start, programs, state, saved, found, stages)))
  policy = AgentPolicy(start.parts.agent, explore=True, key=start.key(ACT), mesh=start.actors)
  chance = UniformPolicy(start.parts.agent, source.spec, environment_seed(start.own_seed, PREFILL, 0))
  filled = agreement.turn.is_filled(config, start.hosts.count)
  first = chance if config.prefill_policy == "random" and not filled else policy
  left = found.extra.get("collector", {})
  collector = source.collector(first, start.parts.replay, calls=saved.calls, timer=stages, left=left)
  if collector.lost:
    lost = number_of(collector.lost, "episode")
    progress.say(f"{lost} that had begun could not be brought back; they were cut short")
  session.begin(written, config.log, progress)
  return Run(
    parts=start.parts,
    settings=start.settings,
    learner=learner,
    collector=collector,
    policy=policy,
    evaluator=_make_evaluator(start, learner, session),
    session=session,
    agreement=agreement,
    stages=stages,
    counters=found.counters,
    prefilled=saved.prefilled,
    logged=saved.logged,
    reshards=found.reshards,
  )


def _make_programs(start: RunStart, state: State) -> Programs:
  """Begins to compile. state: as shapes."""
  return Programs(
    start.parts.agent,
    state,
    start.parts.replay.batch_spec,
    start.learners,
    skip=start.settings.loop.nonfinite == "skip",
    compile_update=start.context.compile_update,
    compiling=start.context.compiling,
  )


def _make_learner(
  start: RunStart, programs: Programs, state: State, saved: RunState, found: Restored, timer: Timer
) -> Learner:
  return Learner(
    programs,
    start.parts.replay,
    state=state,
    updates=found.counters.updates,
    key=start.key(UPDATE),
    timer=timer,
    guard=Guard(start.settings.logdir / "nonfinite" / start.hosts.name, skip=programs.skip),
    extra=found.extra.get("learner") if saved.replay else None,
    on_policy=start.parts.schedule.on_policy,
  )


def _make_evaluator(start: RunStart, learner: Learner, session: Session) -> Evaluator:
  policy = AgentPolicy(start.parts.agent, explore=False, key=start.key(MODE), mesh=start.actors)
  make_envs = start.parts.make_eval_envs or start.parts.make_envs
  return Evaluator(
    policy, learner, make_envs, start.settings.num_envs, start.settings.loop, start.settings.seed, session
  )
