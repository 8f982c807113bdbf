"""`dreamerax list`: presets, model sizes, tasks."""

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dreamerax.agent import Agent
from dreamerax.envs.suites import rendering
from dreamerax.envs.suites.registry import SUITES
from dreamerax.presets import PRESETS
from dreamerax.types import ArraySpec

_IMAGE = ArraySpec((64, 64, 3), "uint8")
_ACTIONS = 6  # of dmc/walker_walk


@dataclass(frozen=True)
class Arguments:
  """Lists presets with their sizes, and the tasks. Counts are optimised parameters for dmc/walker_walk from 64x64 pixels,
  or for as many choices, or with its goal shown, where a method takes nothing else; the slow critic, a copy, is left out."""


def run(arguments: Arguments) -> int:
  """Prints the presets, then the tasks of each suite that can be listed; returns the exit status."""
  console = Console()
  for name, preset in PRESETS.items():
    console.print(f"[bold]{name}[/bold]  {preset.summary}")
    sizes = Table("size", "optimised parameters", "", box=None, padding=(0, 2))
    spec = preset.spec(_IMAGE, _ACTIONS)
    for size in preset.sizes:
      count = Agent(preset.build(size).agent, spec).parameter_count()
      sizes.add_row(size, f"{count:>20,}", "(default)" if size == preset.default_size else "")
    console.print(sizes)
    console.print()
  console.print(
    "[bold]tasks[/bold]  --task NAME; gym/<id> and package.module:factory work too, and vector: or jit: in front of the "
    "latter for many at once"
  )
  console.print(
    "atari/<game>, crafter/reward, minigrid/<id> and metaworld/<task> come with `make setup EXTRAS=dev,atari,crafter,"
    "minigrid,metaworld`, mjx/<domain>_<task> with `make setup EXTRAS=dev,batched`"
  )
  for suite in SUITES:
    if names := suite.names():
      console.print(", ".join(names), highlight=False)
  try:
    rendering.choose()
  except rendering.NoRenderer as error:
    console.print(
      f"\n[bold]dmc/, goal/, table/ and tasks/ cannot be drawn here yet:[/bold] {escape(str(error))}", highlight=False
    )
  return 0
