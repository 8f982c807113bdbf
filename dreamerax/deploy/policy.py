"""A trained policy as a program calls it, and the loader of exported ones.

This file imports jax and numpy alone, so that it can be copied to where dreamerax is not:

    policy = load("policy.bin")
    action, state = policy(observation)         # episodes begin
    action, state = policy(observation, state)  # and go on
"""

import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export  # not imported by jax itself
import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import sdy, stablehlo

FORMAT = 1  # of the file; raised where older loaders would read it wrong
HEADER, PROGRAM, PARAMETERS = "header", "program", "parameters/"  # names in the file

# A program may come from elsewhere, so it may compute and nothing else. Custom calls run code of the machine with arguments
# that the file chooses: of them, only the check of symbolic shapes, which jax itself replaces, is let through.
_DIALECTS = ("builtin", "func", "stablehlo", "sdy")
_CUSTOM_CALLS = ("shape_assertion",)
_NOT_COMPUTING = ("infeed", "outfeed", "send", "recv", "set_dimension_size")  # of stablehlo

_UNREADABLE = (
  *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, MemoryError, struct.error),
  *(zipfile.BadZipFile, zlib.error, SyntaxError),  # SyntaxError: the head of an array
  RuntimeError,  # RecursionError; an archive that is encrypted, or packed in a way that Python does not know
)

PolicyState = Any  # pytree of arrays: "carry" [N, ...], what the agent remembers, and "random" [2], where its draws are
Observation = Mapping[str, Any]
# (parameters, state, observation {name: [N, ...]}, is_first [N]) -> actions [N, A], the next state
Step = Callable[[Any, PolicyState, Observation, Any], tuple[jax.Array, PolicyState]]


class WrongPlatform(ValueError):
  """The policy was exported for other devices than this machine's."""


class LoadedPolicy:
  """Acts in N environments at once. A call changes nothing but what it returns: the same arguments, the same actions."""

  def __init__(self, step: Step, parameters: Any, carry: Callable[[int], Any], header: Mapping[str, Any]):
    """
    Args:
      step: compiled once for each N.
      carry: N -> what the agent remembers before it has seen anything.
      header: "spec" {"observation": {name: {"shape", "dtype"}}, "action": {"size", "discrete"}}, "batch" (the only N, or
        None: any), and what else is known of the policy.
    """
    self._step, self._parameters, self._carry = step, parameters, carry
    self.header = header
    """What is known of the policy: spec, task, env steps that it was trained for, ..."""

  def initial_state(self, batch: int, seed: int = 0) -> PolicyState:
    """The state before the first observation of `batch` environments. seed: of all that the policy draws, 64 bits."""
    fixed = self.header["batch"]
    if batch < 1 or fixed not in (None, batch):
      wanted = f"{fixed}, for which it was exported" if fixed else "at least 1"
      raise ValueError(f"batch={batch} must be {wanted}")
    if not 0 <= seed < 2**64:
      raise ValueError(f"seed={seed} must lie in [0, 2**64)")
    random = jax.numpy.array([seed >> 32, seed & 0xFFFFFFFF], jax.numpy.uint32)  # a key of threefry
    return {"carry": self._carry(batch), "random": random}

  def __call__(
    self, observation: Observation, state: PolicyState | None = None, is_first: Any | None = None
  ) -> tuple[np.ndarray, PolicyState]:
    """Decides in N environments; waits for the actions.

    Args:
      observation: {name: [N, *shape]} with the names, shapes and dtypes of `header["spec"]`; images are uint8.
      state: what the call before returned; None begins an episode everywhere.
      is_first: bool [N], where an episode has begun since that call: what was before is forgotten there. None: nowhere.

    Returns:
      Actions [N, A] float32, in [-1, 1] or one-hot, and the next state.

    Raises:
      ValueError: an observation is not as the policy knows it.
      FloatingPointError: an action is not a finite number.
    """
    observation, batch = self._checked(observation)
    first = np.full(batch, state is None) if is_first is None else np.asarray(is_first, bool)
    if first.shape != (batch,):
      raise ValueError(
        f"is_first has shape {first.shape}: observations are of {batch} environments, so give ({batch},)"
      )
    if state is None:
      state = self.initial_state(batch)
    actions, state = self._step(self._parameters, state, observation, first)
    actions = np.asarray(actions)
    if not np.isfinite(actions).all():
      raise FloatingPointError("the policy's actions are not finite numbers: are its observations?")
    return actions, state

  def _checked(self, observation: Observation) -> tuple[dict[str, np.ndarray], int]:
    spec = self.header["spec"]["observation"]
    if set(observation) != set(spec):
      raise ValueError(f"observation has the names {sorted(observation)}; the policy takes {sorted(spec)}")
    arrays = {name: np.asarray(observation[name]) for name in spec}
    batch = next(iter(arrays.values())).shape[:1]
    for name, array in arrays.items():
      shape, dtype = tuple(spec[name]["shape"]), spec[name]["dtype"]
      if array.shape == shape:
        raise ValueError(f"observation {name!r} has no batch axis: give [N, ...], observation[{name!r}][None] for one")
      if array.dtype != dtype or array.shape != (*batch, *shape):
        raise ValueError(
          f"observation {name!r} is {array.dtype} {list(array.shape)}; the policy takes {dtype} [N, *{list(shape)}], "
          "with one N for all observations"
        )
    return arrays, batch[0]


def load(path: str | Path) -> LoadedPolicy:
  """The policy in a file that `dreamerax export` wrote. Nothing in it is unpickled, and its program can only compute.

  Raises:
    ValueError: the file is damaged or of another format, or its program does something else than compute.
    WrongPlatform: it was not made for the devices of this machine.
  """
  try:
    # Opened here, because numpy leaves a damaged file open.
    with Path(path).open("rb") as stored, np.load(stored, allow_pickle=False) as file:
      _check_size(file.zip.infolist())
      header = json.loads(file[HEADER].tobytes())
      if header["format"] != FORMAT:
        raise ValueError(f"it has the format {header['format']}, and this loader reads {FORMAT}: export it again")
      program = _deserialize(file[PROGRAM].tobytes())
      check_computes(program)
      _, state, *_ = _check_arguments(program, header)
      parameters = {k.removeprefix(PARAMETERS): jax.device_put(file[k]) for k in file.files if k.startswith(PARAMETERS)}
  except _UNREADABLE as error:
    raise ValueError(f"{path} cannot be read as an exported policy: {error}") from error
  platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
  if platform not in program.platforms:
    raise WrongPlatform(f"{path} was exported for {', '.join(program.platforms)}, and JAX runs on {platform} here")

  def carry(batch: int) -> Any:  # where the program takes any N, its shapes hold a symbol
    return jax.tree.map(
      lambda x: np.zeros([n if isinstance(n, int) else batch for n in x.shape], x.dtype), state["carry"]
    )

  return LoadedPolicy(jax.jit(program.call), parameters, carry, header)


def _check_size(entries: Iterable[zipfile.ZipInfo]) -> None:
  unpacked = sum(entry.file_size for entry in entries)
  if unpacked > _memory():
    raise ValueError(f"unpacked it has {unpacked:,} bytes, which is more than this machine's memory")


def _deserialize(data: bytes) -> jax.export.Exported:
  try:
    return jax.export.deserialize(bytearray(data))
  except Exception as error:  # whatever bytes of another kind lead to
    raise ValueError(f"its program is damaged ({type(error).__name__}: {error})") from error


def _check_arguments(program: jax.export.Exported, header: Mapping[str, Any]) -> tuple[Any, ...]:
  """The program's arguments, parameters, state, observations and is_first; ValueError where the header says others."""
  (arguments, _) = jax.tree.unflatten(program.in_tree, program.in_avals)
  if len(arguments) != 4:
    raise ValueError(f"its program takes {len(arguments)} arguments, and a policy's takes 4")
  taken = {name: (x.shape[1:], x.dtype.name) for name, x in arguments[2].items()}
  said = {name: (tuple(x["shape"]), x["dtype"]) for name, x in header["spec"]["observation"].items()}
  if taken != said:
    raise ValueError(f"its program takes the observations {taken}, and its header says {said}")
  shapes = [[n for n in x.shape if isinstance(n, int)] for x in program.in_avals]
  if (largest := max(shapes, key=math.prod, default=[])) and math.prod(largest) > _memory():
    raise ValueError(f"its program takes an array of the shape {largest}, which is more than this machine's memory")
  return arguments


def check_computes(program: jax.export.Exported) -> None:
  """Refuses a program that this loader would not run.

  Raises:
    ValueError: the program does something else than compute, or needs more memory for one array than this machine has.
  """
  if program.ordered_effects or program.unordered_effects or program.nr_devices != 1:
    raise ValueError("its program has effects, or runs on several devices: a policy only computes, on one")

  problems: list[str] = []

  def look(operation: ir.Operation) -> ir.WalkResult:  # what it raises would come with MLIR's own stack
    problems.extend(filter(None, [_problem(operation)]))
    return ir.WalkResult.INTERRUPT if problems else ir.WalkResult.ADVANCE

  context = ir.Context()
  with context:
    stablehlo.register_dialect(context)
    sdy.register_dialect(context)  # of the attributes that factorisations of matrices have
    try:
      module = stablehlo.deserialize_portable_artifact(context, program.mlir_module_serialized)
    except Exception as error:
      raise ValueError(f"its program is no StableHLO ({error})") from error
    module.operation.walk(look)
  if problems:
    raise ValueError(f"its program {problems[0]}")


def _problem(operation: ir.Operation) -> str | None:
  """Why an operation of a policy's program is refused."""
  dialect, _, name = operation.name.partition(".")
  if dialect not in _DIALECTS or (dialect == "stablehlo" and name in _NOT_COMPUTING):
    return f"has the operation {operation.name}, and a policy only computes: do not use the file"
  if operation.name == "stablehlo.custom_call":
    target = ir.StringAttr(operation.attributes["call_target_name"]).value
    if target not in _CUSTOM_CALLS:
      return f"calls {target!r} of this machine, and a policy only computes: do not use the file"
  for kind in (result.type for result in operation.results):
    if isinstance(kind, ir.RankedTensorType):
      shape = [n for n in kind.shape if n >= 0]
      if math.prod(shape) > _memory():
        return f"has an array of the shape {shape}, which is more than this machine's memory"
  return None


def _memory() -> int:
  """Bytes that this machine has, which no array of a policy comes near."""
  return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
