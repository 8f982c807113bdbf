"""What a program imports: train, train_seeds, evaluate, load_policy, export_policy."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax

from dreamerax import envs, transfer
from dreamerax.agent import Agent
from dreamerax.config import first_difference, from_dict, to_dict
from dreamerax.deploy import export
from dreamerax.deploy.policy import Policy as LoadedPolicy
from dreamerax.presets import RunConfig
from dreamerax.replay.budget import machine_memory
from dreamerax.replay.replay import Replay
from dreamerax.runtime import checkpoint, loop
from dreamerax.runtime import evaluate as evaluation
from dreamerax.runtime.evaluate import EvalResult
from dreamerax.runtime.loop import TrainResult
from dreamerax.runtime.mesh import learner_mesh, reserve_policy_device
from dreamerax.runtime.policy import Policy
from dreamerax.runtime.ray_actors import RayActors
from dreamerax.runtime.ray_connection import connect
from dreamerax.runtime.remote import Actors
from dreamerax.runtime.seeds import own_seed
from dreamerax.runtime.sharding import batch_rows
from dreamerax.runtime.stepper import Setup
from dreamerax.runtime.together import train_together
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

CONFIG = "config.json"
INITIAL = "init_world_model"  # in config.json: the run directory that the world model's first parameters came from
RECORDED = "recorded"  # in config.json: what a world model that was trained alone was trained on
_SEED_DIR = "seed-"  # and the seed: a run directory among those of several seeds
# Of a run that goes on: its length, how it is watched, where environments and updates are computed.
_MAY_CHANGE = ("env_steps", "loop", "workers", "mesh")


def train(
  config: RunConfig,
  logdir: str | Path,
  preset: str | None = None,
  *,
  init_world_model: str | Path | None = None,
  ray_address: str | None = None,
) -> TrainResult:
  """Trains in the run directory `logdir`, or goes on from the checkpoint that is there.

  After `runtime.hosts.join`, with all processes that have joined: each calls it with the same arguments.

  Args:
    preset: name recorded in config.json, for people.
    init_world_model: a run directory, whose newest world model this run begins with; recorded in config.json. A run that goes
      on does not load it again.
    ray_address: of a cluster whose actors collect, or "local" for a Ray on this machine alone; None collects without Ray.

  Raises:
    FileNotFoundError: init_world_model holds no run or no checkpoint.
    ValueError: a value does not fit, or the directory holds a run with another configuration; nothing is overwritten.
  """
  reserve_policy_device()
  logdir = Path(logdir).absolute()
  if found := find_seeds(logdir):
    raise ValueError(
      f"logdir={logdir} holds the runs of {len(found)} seeds: give --seeds {len(found)}, or --logdir {found[min(found)]}"
    )
  check_same_run(config, logdir)
  if ray_address is not None and config.loop.sync:
    raise ValueError(
      "sync=True: the order in which Ray's actors give steps is up to the clock; leave --collect ray out"
    )
  if ray_address is not None and jax.process_count() > 1:
    raise ValueError("--collect ray collects for one host: leave it out, or train on one")
  source = _beginning(logdir, init_world_model)
  ray = None if ray_address is None else connect(ray_address, "--ray-address")  # before jax has begun threads
  agent = Agent(config.agent, env_spec(config))
  remote = None if ray is None else _ray_actors(config, agent, ray)
  return _trainer(config, agent, logdir, preset, source)(remote=remote)


def train_seeds(
  config: RunConfig,
  logdir: str | Path,
  seeds: int,
  preset: str | None = None,
  *,
  init_world_model: str | Path | None = None,
) -> list[TrainResult]:
  """Trains `seeds` agents on one device, with the seeds config.seed, config.seed + 1, ..., and one vmapped update for all.

  Each has the run directory logdir/seed-<its seed>, which is one like any other, and goes on from the checkpoint that is there.

  Raises:
    ValueError: a value does not fit, or the directory holds other runs; nothing is overwritten.
    what `loop.train` raises: for some of them, named in the message, when the others are over.
  """
  reserve_policy_device()
  logdir = Path(logdir).absolute()
  _check_seeds(config, logdir, seeds)
  configs = {seed: dataclasses.replace(config, seed=seed) for seed in range(config.seed, config.seed + seeds)}
  for seed, each in configs.items():
    check_same_run(each, seed_dir(logdir, seed))
  agent = Agent(config.agent, env_spec(config))
  runs = {}
  for seed, each in configs.items():
    folder = seed_dir(logdir, seed)
    source = _beginning(folder, init_world_model)
    runs[f"seed {seed}"] = _trainer(_share_of_machine(each, seeds), agent, folder, preset, source, recorded=each)
  return list(train_together(runs).values())


def seed_dir(logdir: Path, seed: int) -> Path:
  """Where the run of one seed of several is kept."""
  return logdir / f"{_SEED_DIR}{seed}"


def find_seeds(logdir: Path) -> dict[int, Path]:
  """The run directories of several seeds in `logdir`, by seed."""
  found = (path.parent for path in logdir.glob(f"{_SEED_DIR}*/{CONFIG}"))
  return {int(number): path for path in found if (number := path.name.removeprefix(_SEED_DIR)).isdecimal()}


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
  """With as much of the machine's memory and cores as one of several may take, where the run does not say how much.

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
  setup = Setup(
    partial(Agent, on_cpu, agent.spec),
    partial(envs.make_batch, config.env),
    {name: array.dtype for name, array in agent.latent_spec.items()},
  )
  count = max(1, config.workers.processes(config.num_envs))
  return partial(RayActors, ray, setup, count, config.workers.timeout)


def _trainer(
  config: RunConfig,
  agent: Agent,
  logdir: Path,
  preset: str | None,
  source: Path | None,
  recorded: RunConfig | None = None,
) -> Callable[..., TrainResult]:
  """`loop.train` with all that follows from the configuration.

  Args:
    source: the run directory that the world model's first parameters come from.
    recorded: what config.json has; by default `config`.
  """
  if source and not (logdir / CONFIG).exists():
    transfer.check_fits(source, _agent_of(source), agent)
  rows = batch_rows(config.replay.batch_size, config.mesh, learner_mesh(config.mesh))
  replay_config = dataclasses.replace(config.replay, batch_size=rows // jax.process_count())
  seed = own_seed(config.seed, jax.process_index())
  replay = Replay(agent.spec, agent.latent_spec, config=replay_config, streams=config.num_envs, seed=seed)
  about = {INITIAL: str(source)} if source else {}
  return partial(
    loop.train,
    agent,
    _env_factory(config),
    replay,
    config.schedule.build(rows * config.replay.batch_length),
    config.loop,
    logdir=logdir,
    env_steps=config.env_steps,
    num_envs=config.num_envs,
    action_repeat=config.env.action_repeat,
    seed=config.seed,
    task=config.env.task,
    mesh=config.mesh,
    begin=partial(write_config, recorded or config, agent.spec, logdir, preset, **about),
    initial=lambda state: transfer.with_world_model(state, source, _agent_of(source)) if source else state,
  )


def evaluate(run_dir: str | Path, episodes: int = 10, seed: int = 0, video: bool = False) -> EvalResult:
  """Scores the newest checkpoint of a run: mode actions, environments of its own with seeds of their own.

  Args:
    video: also return the frames of the first episode.

  Raises:
    FileNotFoundError: no run or no checkpoint is there. ValueError: it does not fit this version.
  """
  config = load_config(run_dir)
  agent = Agent(config.agent, env_spec(config))
  state, _ = checkpoint.load_state(Path(run_dir).absolute(), agent)
  policy = Policy(agent, explore=False, key=jax.random.key(seed))
  return evaluation.evaluate(
    policy,
    agent.policy_params(state),
    _env_factory(config),
    episodes=episodes,
    num_envs=min(episodes, config.num_envs),
    seed=seed,
    video=video,
  )


def load_policy(run_dir: str | Path, *, explore: bool = False) -> LoadedPolicy:
  """The newest checkpoint's policy, to act with in this program: see docs/using.md. Needs no environment.

  Args:
    explore: samples actions as in training, in place of the mode.

  Raises:
    FileNotFoundError: no run or no checkpoint is there. ValueError: it does not fit this version.
  """
  config = load_config(run_dir)
  return export.make_policy(*_trained(Path(run_dir), config), explore=explore, header=_about(Path(run_dir), config))


def export_policy(
  run_dir: str | Path,
  out: str | Path,
  *,
  batch: int | None = None,
  platforms: Sequence[str] = ("cpu", "cuda"),
  explore: bool = False,
  compute_dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
  """Writes the newest checkpoint's policy as one file, for `dreamerax.load_exported`.

  Args:
    batch: environments in every call; None: any number.
    platforms: where it can run, of cpu, cuda, rocm and tpu.
    explore: samples actions as in training, in place of the mode.
    compute_dtype: what the program computes in, wherever it runs.

  Raises:
    what `load_policy` raises; ValueError: the agent has no program for any number of environments.
  """
  config = load_config(run_dir)
  config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, compute_dtype=compute_dtype))
  agent, params = _trained(Path(run_dir), config)
  header = _about(Path(run_dir), config)
  export.export(agent, params, Path(out), explore=explore, batch=batch, platforms=platforms, header=header)


def load_agent(run_dir: str | Path) -> tuple[Agent, Any]:
  """The newest checkpoint's agent, and the parameters that acting needs, on a device. Raises what `load_policy` does."""
  return _trained(Path(run_dir), load_config(run_dir))


def read_config(run_dir: Path) -> dict[str, Any]:
  """What config.json holds: "preset", "config", and what else there is.

  Raises:
    FileNotFoundError: there is no run. ValueError: it cannot be read.
  """
  path = run_dir / CONFIG
  if not path.is_file():
    raise FileNotFoundError(f"{run_dir} is not a run directory: it has no {CONFIG}")
  try:
    data = json.loads(path.read_text())
  except ValueError as error:
    raise ValueError(f"{path} is not JSON ({error}): restore it, or choose another --logdir") from error
  if not isinstance(data, dict) or not {"preset", "config"} <= data.keys():
    raise ValueError(f"{path} was not written by dreamerax: choose another --logdir")
  return data


def load_config(run_dir: str | Path) -> RunConfig:
  """The configuration that a run was started with.

  Raises:
    FileNotFoundError: there is no run. ValueError: names the field that this version cannot read.
  """
  return from_dict(RunConfig, read_config(Path(run_dir))["config"])


def load_preset(run_dir: str | Path) -> str | None:
  """The name of the preset that a run was started with, where it is known."""
  return read_config(Path(run_dir))["preset"]


def _beginning(logdir: Path, given: str | Path | None) -> Path | None:
  """Where the world model's first parameters come from: what `given` says, or config.json, where the run has begun already."""
  asked = None if given is None else Path(given).absolute()
  if not (logdir / CONFIG).exists():
    return asked
  stored = read_config(logdir).get(INITIAL)
  if asked is not None and str(asked) != stored:
    raise ValueError(
      f"init_world_model={given}: the run in {logdir} began with {stored or 'a new world model'}: leave it out, or choose "
      "another --logdir"
    )
  return None if stored is None else Path(stored)


def _agent_of(run_dir: Path) -> Agent:
  config = load_config(run_dir)
  return Agent(config.agent, _stored_spec(run_dir, config))


def _trained(run_dir: Path, config: RunConfig) -> tuple[Agent, Any]:
  agent = Agent(config.agent, _stored_spec(run_dir, config))
  state, _ = checkpoint.load_state(run_dir.absolute(), agent)
  return agent, jax.device_put(agent.policy_params(state), jax.local_devices()[0])


def _about(run_dir: Path, config: RunConfig) -> dict[str, Any]:
  """What a policy tells of itself."""
  spec = _spec_to_dict(_stored_spec(run_dir, config))
  env = {"task": config.env.task, "action_repeat": config.env.action_repeat}
  return {"spec": spec, **env, "preset": load_preset(run_dir), "size": config.size, "seed": config.seed}


def _stored_spec(run_dir: Path, config: RunConfig) -> EnvSpec:
  """As config.json has it, so that acting needs no simulator; of an environment where an older version wrote the file."""
  stored = read_config(run_dir).get("spec")
  if stored is None:
    return env_spec(config)
  shown = {name: from_dict(ArraySpec, array) for name, array in stored["observation"].items()}
  return EnvSpec(shown, from_dict(ActionSpec, stored["action"]))


def _spec_to_dict(spec: EnvSpec) -> dict[str, Any]:
  return {
    "observation": {name: to_dict(array) for name, array in spec.observation.items()},
    "action": to_dict(spec.action),
  }


def write_config(config: RunConfig, spec: EnvSpec, logdir: Path, preset: str | None, **more: Any) -> None:
  """Writes config.json. more: what it holds besides.

  Raises:
    ValueError: it cannot be written.
  """
  data = {"preset": preset, "spec": _spec_to_dict(spec), **more, "config": to_dict(config)}
  try:
    logdir.mkdir(parents=True, exist_ok=True)
    (logdir / CONFIG).write_text(json.dumps(data, indent=2) + "\n")
  except OSError as error:
    raise ValueError(f"logdir={logdir} cannot be written ({error}): choose another --logdir") from error


def check_same_run(config: RunConfig, logdir: Path) -> None:
  """Whether `config` could go on with what `logdir` holds; anything could where it holds no run.

  Raises:
    ValueError: it holds a run with another configuration, and the first field that differs is named; or it is no run that acts.
  """
  if not (logdir / CONFIG).exists():
    return
  if RECORDED in read_config(logdir):
    raise ValueError(
      f"{logdir} holds a world model that was trained alone: begin a run from it with --init-world-model {logdir} and "
      "another --logdir"
    )
  check_same_config(config, logdir)


def check_same_config(config: RunConfig, logdir: Path) -> None:
  """`check_same_run` of a directory that holds a run of the same kind."""
  stored = load_config(logdir)
  for name in (field.name for field in dataclasses.fields(config) if field.name not in _MAY_CHANGE):
    difference = first_difference(getattr(stored, name), getattr(config, name), name)
    if difference:
      raise ValueError(differs(difference, logdir))


def differs(difference: tuple[str, Any, Any], logdir: Path) -> str:
  """The error for a `first_difference` from the run in `logdir`."""
  path, old, new = difference
  return (
    f"{path}={new!r} differs from {old!r}, with which the run in {logdir} was started: give {old!r}, or choose another "
    f"--logdir"
  )


def _env_factory(config: RunConfig) -> Callable[[int, int], envs.EnvBatch]:
  return partial(envs.make_batch, config.env, workers=config.workers)


def env_spec(config: RunConfig) -> EnvSpec:
  """What a run's environment shows and takes.

  Raises what `envs.make` raises.
  """
  env = envs.make(config.env, seed=0)
  try:
    return env.spec
  finally:
    env.close()
