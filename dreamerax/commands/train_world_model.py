"""`dreamerax train-world-model`: the world model of a preset alone, on recorded episodes."""

import textwrap
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from dreamerax import presets, run_list
from dreamerax.agent import AgentConfig
from dreamerax.commands import ending, printing, short_help
from dreamerax.commands.train import DEFAULT_PRESET, Beginning
from dreamerax.commands.trusting import TrustOption
from dreamerax.offline import figures
from dreamerax.offline import train as offline
from dreamerax.offline.open_loop import HorizonErrors, OpenLoopConfig
from dreamerax.own_code import NOBODY, Trust
from dreamerax.recordings import EpisodeFolder
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.devices.mesh import MeshConfig
from dreamerax.runtime.offline import OfflineConfig


@dataclass(frozen=True)
class Arguments(TrustOption, OfflineConfig):
  """Trains a preset's world model on the episodes of `dreamerax record`, without a behaviour, and says how far ahead it
  predicts those that it was not trained on. Ctrl-C saves and leaves; the same --logdir goes on from there."""

  data: Path | None = None
  """Folder of the episodes."""
  logdir: Path | None = None
  """Run directory; a run that is already there goes on. Default: runs/world-model-<preset>-seed<seed>-<time>."""
  size: str = ""
  """Model size; sets the widths of all parts. `dreamerax list` shows the sizes."""
  seed: int = 0
  """Of parameters, batches, and which episodes are held out."""
  held_out: float = 0.1
  """Share of the episodes that are not trained on."""
  open_loop: OpenLoopConfig = field(default_factory=OpenLoopConfig)
  mesh: MeshConfig = field(default_factory=MeshConfig)
  replay: ReplayConfig = field(default_factory=ReplayConfig)
  agent: AgentConfig = field(default_factory=AgentConfig)


def defaults(
  preset: str | None, *, data: str | None, size: str | None, logdir: str | None, trust: Trust = NOBODY
) -> tuple[Arguments, Beginning]:
  """A run before further options: that of the run directory if one is there, else the preset's, alone.

  Raises:
    ValueError: unknown preset or size, or not those of the run that is already there; the folder cannot be read.
  """
  there = RunDirectory.find(logdir, trust) if logdir else None
  if there is not None:
    recorded = offline.load(there)
    there.check_started_as(preset, size)
    loop = {each.name: getattr(recorded.loop, each.name) for each in fields(OfflineConfig)}
    arguments = _arguments(there.config, **loop, held_out=recorded.held_out, open_loop=recorded.open_loop)
    return arguments, Beginning(there.preset or DEFAULT_PRESET, there)
  preset = preset or DEFAULT_PRESET
  config = presets.build(preset, size)
  config = offline.world_model_only(config, EpisodeFolder(data)) if data else config
  return _arguments(config), Beginning(preset, None)


def describe(preset: str | None) -> str:
  """The head of the help page."""
  text = f"{Arguments.__doc__} Values below are those of {preset or DEFAULT_PRESET}."
  return textwrap.fill(" ".join(text.split()), short_help.WIDTH)


def _arguments(config: RunConfig, **more) -> Arguments:
  kept = {name: getattr(config, name) for name in ("size", "seed", "mesh", "replay", "agent")}
  return Arguments(**kept, **more)


def run(begun: Beginning, arguments: Arguments) -> int:
  """Trains; returns the exit status.

  Raises:
    ValueError: no episodes are named, or what `offline.train_world_model` refuses.
  """
  if arguments.data is None:
    raise ValueError("data: name the folder of the episodes, --data DIR; `dreamerax record --out DIR` makes one")
  folder, logdir = EpisodeFolder(arguments.data), arguments.logdir
  if begun.there is not None:
    base = begun.there.config
  else:
    base = offline.world_model_only(presets.build(begun.preset, arguments.size), folder)
  with ExitStack() as stack:
    if logdir is None:
      logdir = stack.enter_context(run_list.new_run_dir(f"world-model-{begun.preset}-seed{arguments.seed}"))
    lines = _train(base, folder, logdir, begun, arguments)
  print("\n".join(lines))
  return 0


def _train(base: RunConfig, folder: EpisodeFolder, logdir: Path, begun: Beginning, arguments: Arguments) -> list[str]:
  """Trains; returns what there is to say at the end."""
  chosen = {name: getattr(arguments, name) for name in ("seed", "mesh", "replay", "agent")}

  def show(found: HorizonErrors, updates: int) -> None:
    console = printing.console()
    console.print(f"held-out episodes after {updates:,} updates", highlight=False)
    console.print(printing.table(*figures.rows(found, folder.spec)))

  result = offline.train_world_model(
    replace(base, **chosen),
    folder,
    logdir,
    held_out=arguments.held_out,
    open_loop=arguments.open_loop,
    loop=OfflineConfig(**{each.name: getattr(arguments, each.name) for each in fields(OfflineConfig)}),
    preset=begun.preset,
    show=show,
    there=begun.there,
  )
  if not result.interrupted:
    print(f"plot: {logdir / offline.PLOT}")
  return ending.model_trained(
    logdir, updates=result.updates, seconds=result.seconds, interrupted=result.interrupted, data=folder.path
  )
