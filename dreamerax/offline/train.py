"""Trains a world model alone on recorded episodes, and evaluates it on those held out."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jax

from dreamerax import config_file
from dreamerax.agent import Agent
from dreamerax.behavior.uniform import Uniform
from dreamerax.config import from_dict, to_dict
from dreamerax.config_file import RECORDED
from dreamerax.config_format import naming_the_writer, with_image_settings
from dreamerax.envs import EnvConfig
from dreamerax.offline import data, figures
from dreamerax.offline.open_loop import HorizonErrors, OpenLoopConfig, cut, horizon_errors, means
from dreamerax.recordings import EpisodeFolder
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.devices.mesh import divide_cpu, local_mesh, policy_mesh
from dreamerax.runtime.devices.sharding import batch_rows, put_on
from dreamerax.runtime.offline import OfflineConfig, OfflineResult, train_offline
from dreamerax.runtime.protocol import Params
from dreamerax.runtime.schedule import TrainRatioConfig
from dreamerax.words import number_of

PLOT = "open_loop.png"
_MAY_CHANGE = ("loop",)


@dataclass(frozen=True)
class Recorded:
  """The data of a world model's training, and its settings; kept in config.json beside
  the run's configuration."""

  episodes: int
  steps: int  # of the training episodes
  held_out: float = 0.1
  open_loop: OpenLoopConfig = field(default_factory=OpenLoopConfig)
  loop: OfflineConfig = field(default_factory=OfflineConfig)


def world_model_only(config: RunConfig, folder: EpisodeFolder) -> RunConfig:
  """A preset's run without what learns to act, in the environment that the episodes were recorded in, where that is known.

  A planner stays where actions are continuous, and so does what learns from recorded steps (`Behavior.kept_offline`): the
  run directory then holds an agent that acts.

  Raises:
    ValueError: spec.json names fields of an environment that this version does not have.
  """
  acts = config.agent.behavior.kept_offline(folder.spec.action)
  env = config.env
  if "env" in folder.about:
    stored = with_image_settings(folder.about["env"])
    env = from_dict(EnvConfig, stored, f"{folder.path / 'spec.json'}: about.env", complete=False)
  return dataclasses.replace(
    config,
    env=env,
    agent=config.agent if acts else dataclasses.replace(config.agent, behavior=Uniform(), model_first=False),
    replay=dataclasses.replace(
      config.replay, online=False, draw="uniform", older=0, max_disk_bytes=0
    ),  # all there at once
    schedule=TrainRatioConfig() if config.replay.draw == "newest" else config.schedule,  # nothing is collected
  )


def train_world_model(
  config: RunConfig,
  folder: EpisodeFolder,
  logdir: str | Path,
  *,
  held_out: float = 0.1,
  open_loop: OpenLoopConfig | None = None,
  loop: OfflineConfig | None = None,
  preset: str | None = None,
  show: Callable[[HorizonErrors, int], None] = lambda found, updates: None,
  there: RunDirectory | None = None,
) -> OfflineResult:
  """Trains the world model of `config` (see `world_model_only`), or goes on from the checkpoint in `logdir`.

  Args:
    held_out: share of the episodes that are not trained on.
    show: is given each evaluation, and how many updates the model has had.
    there: the run in `logdir`, where the caller has opened it.

  Raises:
    ValueError: a value or an episode does not fit, `logdir` holds another run, or there is nothing to train; nothing is
      overwritten.
  """
  divide_cpu(config.mesh, config.replay.batch_size)
  logdir, open_loop, loop = Path(logdir).absolute(), open_loop or OpenLoopConfig(), loop or OfflineConfig()
  episodes = data.split(folder, held_out, config.seed)
  recorded = Recorded(len(folder.files()), episodes.steps, held_out, open_loop, loop)
  there = there or RunDirectory.find(logdir)
  if there is not None:
    _check_goes_on_with(there, config, recorded)
  agent = Agent(config.agent, folder.spec)
  if not agent.parameter_count():
    raise ValueError(
      f"agent.world_model={type(config.agent.world_model).__name__} has nothing to learn: choose a preset with a world model"
    )
  size = batch_rows(config.replay.batch_size, config.mesh, local_mesh(config.mesh))
  replay_config = dataclasses.replace(config.replay, batch_size=size)
  replay = data.make_replay(episodes.training, folder.spec, agent.latent_spec, replay_config, config.seed)
  windows, baseline = cut(episodes.held_out, open_loop), means(episodes.training, folder.spec)
  told = number_of(len(episodes.training), "episode"), number_of(episodes.steps, "step"), len(episodes.held_out)
  print(
    f"{folder.path}: {told[0]} of {told[1]} to train on, {told[2]} held out, {len(windows.valid)} windows to predict"
  )
  print(f"parameters: {agent.parameter_count():,}\nlogdir: {logdir}")
  predict = jax.jit(lambda params, batch, key: agent.predict(params, batch, open_loop.context, key))

  def evaluate(params: Params, updates: int) -> Mapping[str, float]:
    params = put_on(params, policy_mesh(config.mesh))  # else every device would predict the same
    found = horizon_errors(predict, params, windows, baseline, folder.spec, size)
    figures.plot(
      found, folder.spec, logdir / PLOT, f"{preset or 'world model'}, {updates:,} updates: held-out episodes"
    )
    show(found, updates)
    return figures.scalars(found, folder.spec)

  stored, about = {} if there is None else there.stored, {RECORDED: to_dict(recorded)}
  return train_offline(
    agent,
    replay,
    loop,
    evaluate,
    logdir=logdir,
    seed=config.seed,
    mesh=config.mesh,
    begin=lambda: config_file.write(config, folder.spec, logdir, preset, stored=stored, **about),
  )


def load(directory: RunDirectory) -> Recorded:
  """Reads what the world model in a run directory was trained on.

  Raises:
    ValueError: it was not trained alone, or this version cannot read it.
  """
  stored = directory.stored
  if stored.get(RECORDED) is None:
    raise ValueError(f"{directory.path} holds a run of `dreamerax train`: choose another --logdir")
  with naming_the_writer(stored):
    return from_dict(Recorded, stored[RECORDED], RECORDED)


def _check_goes_on_with(there: RunDirectory, config: RunConfig, recorded: Recorded) -> None:
  """
  Raises:
    ValueError: the run was not trained alone, or on something else, or has another configuration.
  """
  old = load(there)
  there.check_same_config(config)
  kept = (each.name for each in dataclasses.fields(recorded) if each.name not in _MAY_CHANGE)
  there.check_equal({name: (getattr(old, name), getattr(recorded, name)) for name in kept})
