"""A packed agent: what acting and dreaming need of a checkpoint, in half precision, small enough to be given away."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from dreamerax.runtime.checkpoint import array_file, checksums, shapes
from dreamerax.runtime.checkpoint.checkpoints import load_state
from dreamerax.runtime.checkpoint.folder import PACKED
from dreamerax.runtime.checkpoint.metadata import SAVED, STAMP, RunState
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import abstract_state
from dreamerax.runtime.protocol import Agent, State

_ARRAYS = "arrays.bin"
_log = logging.getLogger(__name__)


def pack(run_dir: Path, agent: Agent, out: Path) -> RunState:
  """Writes the newest undamaged checkpoint of a run as a packed agent into the run directory `out`.

  The optimisers' state is left out, and float32 numbers are kept as float16 where all of their array fit.

  Raises:
    FileNotFoundError: there is no checkpoint. ValueError: none fits `agent`, or all are damaged.
    OSError: `out` cannot be written.
  """
  state, saved = load_state(run_dir, agent)
  kept, folder = _kept(state), out / PACKED
  index, arrays = array_file.flatten({name: _halved(np.asarray(x)) for name, x in shapes.named(kept)})
  given = saved._replace(replay={}, others=(), metrics=0)
  row = {**STAMP, "saved": given.to_json(), "shapes": shapes.of(kept), "arrays": index}
  folder.mkdir(parents=True)
  (folder / SAVED).write_text(json.dumps(row))
  with (folder / _ARRAYS).open("wb") as file:
    array_file.write(file, arrays)
  checksums.write_manifest(folder)
  return given


def load_trained(run_dir: Path, agent: Agent, say: Callable[[str], None] = _log.warning) -> State:
  """The state of a packed agent, or of a run's newest undamaged checkpoint, on the devices of this machine.

  The optimisers' part is absent.

  Raises what `load_state` raises, of either.
  """
  folder = run_dir.absolute() / PACKED
  if not folder.is_dir():
    return _kept(load_state(run_dir, agent, say)[0])
  if problem := find_problem(run_dir):
    raise ValueError(f"{folder}: {problem}: put a copy of it back")
  like = _kept(abstract_state(agent, local_mesh()))
  RunState.read(folder)  # for the format
  row = json.loads((folder / SAVED).read_text())
  shapes.check(folder, row["shapes"], shapes.of(like))
  with (folder / _ARRAYS).open("rb") as file:
    arrays = array_file.read(file, row["arrays"])
  whole = [jax.device_put(arrays[name].astype(x.dtype), x.sharding) for name, x in shapes.named(like)]
  return jax.tree.unflatten(jax.tree.structure(like), whole)


def find_problem(run_dir: Path) -> str | None:
  """Says what is damaged of a packed agent; None: nothing is."""
  return checksums.find_problem(run_dir / PACKED)


def size_of(run_dir: Path) -> int:
  """Bytes of a packed agent's files."""
  return sum(path.stat().st_size for path in (run_dir / PACKED).iterdir())


def _kept(state: State) -> State:
  return {name: tree for name, tree in state.items() if name != "optimizer"}


def _halved(array: np.ndarray) -> np.ndarray:
  if array.dtype != np.float32:
    return array
  with np.errstate(over="ignore"):
    half = array.astype(np.float16)
  return half if np.isfinite(half).all() else array
