"""Training in a run directory: one agent, or several seeds together; here, with other hosts, or with environments on Ray."""

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import jax

from dreamerax import config_file, envs, presets, transfer
from dreamerax.agent import Agent
from dreamerax.config_file import CONFIG, INITIAL
from dreamerax.files import refuse_links
from dreamerax.memory_limit import machine_memory
from dreamerax.own_code import NOBODY, Trusted
from dreamerax.ray_connection import connect
from dreamerax.replay.replay import Replay
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import RunDirectory, env_spec, find_seeds, seed_dir
from dreamerax.runtime.checkpoint.checkpoints import FOLDER
from dreamerax.runtime.checkpoint.folder import find_steps
from dreamerax.runtime.collect.ray_actors import RayActors
from dreamerax.runtime.collect.remote import Actors
from dreamerax.runtime.collect.rollout_worker import StepperSetup
from dreamerax.runtime.devices.mesh import divide_cpu, learner_mesh
from dreamerax.runtime.devices.sharding import batch_rows
from dreamerax.runtime.result import TrainResult
from dreamerax.runtime.seeds import own_seed
from dreamerax.runtime.settings import Parts, RunSettings
from dreamerax.runtime.train import train_run
from dreamerax.runtime.train_seeds import train_runs


def train(
  config: RunConfig | str,
  logdir: str | Path,
  preset: str | None = None,
  *,
  init_world_model: str | Path | None = None,
  ray_address: str | None = None,
  trust: Trusted = NOBODY,
  there: RunDirectory | None = None,
) -> TrainResult:
  """Trains in the run directory `logdir`, or goes on from the checkpoint that is there.

  After `runtime.hosts.join`, with all processes that have joined: each calls it with the same arguments.

  Args:
    config: the whole run, or the name of a preset.
    preset: name recorded in config.json, for people; that of `config` where it is one.
    init_world_model: a run directory, whose newest world model this run begins with; recorded in config.json. A run that goes
      on does not load it again.
    ray_address: of a cluster whose actors collect, or "local" for a Ray on this machine alone; None collects without Ray.
    trust: code that may run because the configuration of init_world_model names it.
    there: the run in `logdir`, where the caller has opened it.

  Raises:
    FileNotFoundError: init_world_model holds no run or no checkpoint.
    ValueError: a value does not fit, or the directory holds a run with another configuration; nothing is overwritten.
  """
  config, preset = _run_of(config, preset)
  divide_cpu(config.mesh, config.replay.batch_size)
  logdir = Path(logdir).absolute()
  if found := find_seeds(logdir):
    raise ValueError(
      f"logdir={logdir} holds the runs of {len(found)} seeds: give --seeds {len(found)}, or --logdir {found[min(found)]}"
    )
  there = there or RunDirectory.find(logdir)
  if there is not None:
    there.check_goes_on_with(config)
  if ray_address is not None and config.loop.sync:
    raise ValueError(
      "sync=True: the order in which Ray's actors give steps is up to the clock; leave --collect ray out"
    )
  if ray_address is not None and config.replay.draw == "newest":
    raise ValueError(
      "replay.draw='newest' takes episodes that end together, and Ray's actors go at their own pace: leave --collect ray out"
    )
  if ray_address is not None and jax.process_count() > 1:
    raise ValueError("--collect ray collects for one host: leave it out, or train on one")
  source = _beginning(there, init_world_model)
  ray = None if ray_address is None else connect(ray_address, "--ray-address")  # before jax has begun threads
  agent = Agent(config.agent, env_spec(config))
  remote = None if ray is None else _ray_actors(config, agent, ray)
  agent_of = partial(_agent_of, trust=trust)
  return _trainer(config, agent, logdir, there, preset, agent_of, source, remote=remote)()


def train_seeds(
  config: RunConfig | str,
  logdir: str | Path,
  seeds: int,
  preset: str | None = None,
  *,
  init_world_model: str | Path | None = None,
  trust: Trusted = NOBODY,
) -> list[TrainResult]:
  """Trains `seeds` agents on one device, with the seeds config.seed, config.seed + 1, ..., and one vmapped update for all.

  Each has the run directory logdir/seed-<its seed>, which is one like any other, and goes on from the checkpoint that is there.

  Raises:
    ValueError: a value does not fit, or the directory holds other runs; nothing is overwritten.
    what `train_run` raises: for some of them, named in the message, when the others are over.
  """
  config, preset = _run_of(config, preset)
  divide_cpu(config.mesh, config.replay.batch_size)
  logdir = Path(logdir).absolute()
  refuse_links(logdir)
  _check_seeds(config, logdir, seeds)
  configs = {seed: dataclasses.replace(config, seed=seed) for seed in range(config.seed, config.seed + seeds)}
  there = {seed: RunDirectory.to_continue(seed_dir(logdir, seed), each) for seed, each in configs.items()}
  agent = Agent(config.agent, env_spec(config))
  runs = {}
  for seed, each in configs.items():
    folder = seed_dir(logdir, seed)
    source, share = _beginning(there[seed], init_world_model), _share_of_machine(each, seeds)
    agent_of = partial(_agent_of, trust=trust)
    runs[f"seed {seed}"] = _trainer(share, agent, folder, there[seed], preset, agent_of, source, recorded=each)
  return list(train_runs(runs).values())


def _run_of(config: RunConfig | str, preset: str | None) -> tuple[RunConfig, str | None]:
  return (presets.build(config), preset or config) if isinstance(config, str) else (config, preset)


def _check_seeds(config: RunConfig, logdir: Path, seeds: int) -> None:
  if seeds < 1:
    raise ValueError(f"seeds={seeds} must be at least 1")
  if jax.process_count() > 1:
    raise ValueError(f"seeds={seeds} share the devices of one process: train them on one host, or one a host")
  if config.loop.profile:
    raise ValueError(f"seeds={seeds}: only a run that is alone can be profiled; leave --profile out")
  if (logdir / CONFIG).exists():
    raise ValueError(f"logdir={logdir} holds a single run, not those of {seeds} seeds: choose another --logdir")
  others = find_seeds(logdir).keys() - range(config.seed, config.seed + seeds)
  if others:
    raise ValueError(
      f"seeds={seeds} from seed={config.seed} on leaves out seed {', '.join(map(str, sorted(others)))} in {logdir}: "
      "name all that are there, or choose another --logdir"
    )


def _share_of_machine(config: RunConfig, seeds: int) -> RunConfig:
  """Limits a run to as much of the machine's memory and cores as one of several may
  take, where it does not say how much.

  Environments step in processes of their own, as a simulator may not draw in several threads of one.
  """
  memory, cores = config.replay.max_bytes or machine_memory() // 4 // seeds, len(os.sched_getaffinity(0))
  workers = max(1, cores // seeds) if config.workers.count is None else config.workers.count
  return dataclasses.replace(
    config,
    replay=dataclasses.replace(config.replay, max_bytes=memory),
    workers=dataclasses.replace(config.workers, count=workers),
  )


def _ray_actors(config: RunConfig, agent: Agent, ray: ModuleType) -> Callable[[int, int], Actors]:
  on_cpu = dataclasses.replace(config.agent, compute_dtype="float32")
  setup = StepperSetup(
    partial(Agent, on_cpu, agent.spec),
    partial(envs.make_batch, config.env, skip_nonfinite=config.loop.nonfinite == "skip"),
    {name: array.dtype for name, array in agent.latent_spec.items()},
  )
  count = max(1, config.workers.processes(config.num_envs))
  return partial(RayActors, ray, setup, count, config.workers.timeout)


def _trainer(
  config: RunConfig,
  agent: Agent,
  logdir: Path,
  there: RunDirectory | None,
  preset: str | None,
  agent_of: Callable[[Path], Agent],
  source: Path | None,
  recorded: RunConfig | None = None,
  remote: Callable[[int, int], Actors] | None = None,
) -> Callable[..., TrainResult]:
  """`train_run` with all that follows from the configuration.

  Args:
    there: the run in `logdir` that goes on; None: a new one begins.
    agent_of: the agent of a run directory.
    source: the run directory that the world model's first parameters come from.
    recorded: what config.json has; by default `config`.
    remote: makes actors that collect elsewhere.
  """
  if source and there is None:
    transfer.check_fits(source, agent_of(source), agent)
  rows = batch_rows(config.replay.batch_size, config.mesh, learner_mesh(config.mesh))
  replay_config = dataclasses.replace(config.replay, batch_size=rows // jax.process_count())
  seed = own_seed(config.seed, jax.process_index())
  replay = Replay(agent.spec, agent.latent_spec, config=replay_config, streams=config.num_envs, seed=seed)
  about = {INITIAL: str(source)} if source else {}
  stored = {} if there is None else there.stored
  make_envs = partial(
    envs.make_batch, workers=config.workers, spec=agent.spec, skip_nonfinite=config.loop.nonfinite == "skip"
  )
  parts = Parts(
    agent,
    partial(make_envs, config.env),
    replay,
    config.schedule.build(rows // (1 + config.replay.older), config.replay.batch_length),
    initial=lambda state: transfer.with_world_model(state, source, agent_of(source)) if source else state,
    remote=remote,
    make_eval_envs=partial(make_envs, config.env.as_evaluated()),
  )
  settings = RunSettings(
    config.loop,
    logdir,
    env_steps=config.env_steps,
    num_envs=config.num_envs,
    action_repeat=config.env.action_repeat,
    seed=config.seed,
    task=config.env.task,
    mesh=config.mesh,
  )
  begin = partial(config_file.write, recorded or config, agent.spec, logdir, preset, stored=stored, **about)
  return partial(train_run, parts, settings, begin=begin)


def _beginning(there: RunDirectory | None, given: str | Path | None) -> Path | None:
  """Finds the run that the world model's first parameters come from: `given`, or the
  source of the run that goes on."""
  asked = None if given is None else Path(given).absolute()
  if there is None:
    return asked
  stored = there.source
  if asked is not None and str(asked) != stored:
    raise ValueError(
      f"init_world_model={given}: the run in {there.path} began with {stored or 'a new world model'}: leave it out, or choose "
      "another --logdir"
    )
  if asked is None and stored is not None and not find_steps(there.path / FOLDER):
    raise ValueError(
      f"init_world_model: {there.path} has no checkpoint, so its world model would be read from {stored} again, which only "
      f"config.json names: give --init-world-model {stored} too"
    )
  return None if stored is None else Path(stored)


def _agent_of(run_dir: Path, trust: Trusted) -> Agent:
  source = RunDirectory.open(run_dir, trust)
  return Agent(source.config.agent, source.spec)
