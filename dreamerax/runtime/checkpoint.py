"""Saves what a run needs to continue, and restores it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from dreamerax.runtime.counters import Counters
from dreamerax.runtime.protocol import Agent, State
from dreamerax.runtime.sharding import abstract_state, local_mesh

FOLDER = "checkpoints"
_KEPT = 2
_COMPLETE = ("commit_success.txt", "state/_METADATA", "saved/metadata")


class Saved(NamedTuple):
  """What a checkpoint holds besides the state."""

  counters: Counters
  seconds: float  # since the run began, over restarts
  calls: int  # of the exploring policy
  prefilled: int  # agent steps collected before the first update or to refill the replay; no update is owed for them
  schedule: Mapping[str, int]
  seed: int


class Checkpoints:
  """A folder of checkpoints, each named by its env steps; the newest two are kept.

  A checkpoint appears under its name only when it is whole. Saving goes on in the background.
  """

  def __init__(self, folder: Path):
    """Creates the folder, and removes what a crash has left half-written."""
    self._folder = folder.absolute()
    options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, cleanup_tmp_directories=True)
    self._manager = ocp.CheckpointManager(self._folder, options=options)

  def save(self, state: State, saved: Saved) -> None:
    """Begins to save; waits for an earlier save. Does nothing where these env steps are saved already."""
    step = saved.counters.env_steps
    if step in self._manager.all_steps():
      return
    row = {**saved._asdict(), "counters": saved.counters._asdict(), "shapes": _shapes(state)}
    arguments = ocp.args.Composite(state=ocp.args.StandardSave(state), saved=ocp.args.JsonSave(row))  # type: ignore[call-arg]
    self._manager.save(step, args=arguments, force=True)

  def restore(self, like: State) -> tuple[State, Saved] | None:
    """The newest whole checkpoint, None if there is none.

    Args:
      like: the wanted state as shapes, dtypes and shardings.

    Raises:
      ValueError: the checkpoint's parameters have other names or shapes.
    """
    return _restore(self._manager, self._folder, like)

  @property
  def newest(self) -> int | None:
    """Env steps of the newest whole checkpoint."""
    return max(_whole(self._manager, self._folder), default=None)

  def wait(self) -> None:
    """Until everything is saved."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, and ends the background thread."""
    self._manager.close()


def load_state(logdir: Path, agent: Agent) -> tuple[State, Saved]:
  """State of the newest whole checkpoint in a run directory, on the devices of this machine; changes nothing there.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it was made by an agent of another shape.
  """
  folder = logdir.absolute() / FOLDER
  if folder.is_dir():
    with ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(read_only=True)) as manager:
      restored = _restore(manager, folder, abstract_state(agent, local_mesh()))
    if restored is not None:
      return restored
  raise FileNotFoundError(f"{folder} holds no checkpoint: train first, or name the directory of another run")


def _restore(manager: ocp.CheckpointManager, folder: Path, like: State) -> tuple[State, Saved] | None:
  steps = _whole(manager, folder)
  if not steps:
    return None
  step = max(steps)
  saved = manager.restore(step, args=ocp.args.Composite(saved=ocp.args.JsonRestore()))["saved"]  # type: ignore[call-arg]
  _check_shapes(folder / str(step), saved.pop("shapes"), _shapes(like))
  arguments = ocp.args.Composite(state=ocp.args.StandardRestore(like))  # type: ignore[call-arg]
  state = manager.restore(step, args=arguments)["state"]
  return state, Saved(**{**saved, "counters": Counters(**saved["counters"])})


def _whole(manager: ocp.CheckpointManager, folder: Path) -> list[int]:
  """Env steps of the checkpoints; a directory that a crash left empty would otherwise be taken for one."""
  return [step for step in manager.all_steps() if all((folder / str(step) / name).exists() for name in _COMPLETE)]


def _shapes(state: State) -> dict[str, list[Any]]:
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): [list(leaf.shape), str(leaf.dtype)] for path, leaf in leaves
  }


def _check_shapes(folder: Path, found: Mapping[str, list], wanted: Mapping[str, list]) -> None:
  # A parameter says more to people than its moments in the optimiser do.
  for name in sorted([*wanted, *found], key=lambda name: not name.startswith("params/")):
    if found.get(name) != wanted.get(name):
      there, here = (_describe(shapes.get(name)) for shapes in (found, wanted))
      raise ValueError(
        f"{name} is {there} in the checkpoint {folder} and {here} in this configuration: "
        "continue with the settings in the run's config.json, or begin a run in another --logdir"
      )


def _describe(entry: list | None) -> str:
  return "absent" if entry is None else f"{entry[1]} {tuple(entry[0])}"
