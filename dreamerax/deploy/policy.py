"""A trained policy as a program calls it, and the loader of exported ones.

This file imports jax and numpy alone, so that it can be copied to where dreamerax is not:

    policy = load("policy.bin")
    action, state = policy(observation)         # episodes begin
    action, state = policy(observation, state)  # and go on
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export  # not imported by jax itself
import numpy as np

FORMAT = 1  # of the file; raised where older loaders would read it wrong
HEADER, PROGRAM, PARAMETERS = "header", "program", "parameters/"  # names in the file

State = Any  # pytree of arrays: "carry" [N, ...], what the agent remembers, and "random" [2], where its draws are
Observation = Mapping[str, Any]
# (parameters, state, observation {name: [N, ...]}, is_first [N]) -> actions [N, A], the next state
Step = Callable[[Any, State, Observation, Any], tuple[jax.Array, State]]


class WrongPlatform(ValueError):
  """The policy was exported for other devices than this machine's."""


class Policy:
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

  def initial_state(self, batch: int, seed: int = 0) -> State:
    """The state before the first observation of `batch` environments. seed: of everything that the policy draws."""
    fixed = self.header["batch"]
    if batch < 1 or fixed not in (None, batch):
      wanted = f"{fixed}, for which it was exported" if fixed else "at least 1"
      raise ValueError(f"batch={batch} must be {wanted}")
    random = jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))
    return {"carry": self._carry(batch), "random": random}

  def __call__(
    self, observation: Observation, state: State | None = None, is_first: Any | None = None
  ) -> tuple[np.ndarray, State]:
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
      raise ValueError(f"observation has the names {sorted(observation)}; the policy was trained with {sorted(spec)}")
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


def load(path: str | Path) -> Policy:
  """The policy in a file that `dreamerax export` wrote. Nothing in it is unpickled.

  Raises:
    ValueError: the file is damaged or of another format. WrongPlatform: it was not made for the devices of this machine.
  """
  try:
    # Opened here, because numpy leaves a damaged file open.
    with Path(path).open("rb") as stored, np.load(stored, allow_pickle=False) as file:
      header = json.loads(file[HEADER].tobytes())
      if header["format"] != FORMAT:
        raise ValueError(f"it has the format {header['format']}, and this loader reads {FORMAT}: export it again")
      program = jax.export.deserialize(bytearray(file[PROGRAM].tobytes()))
      parameters = {k.removeprefix(PARAMETERS): jax.device_put(file[k]) for k in file.files if k.startswith(PARAMETERS)}
  except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f"{path} cannot be read as an exported policy: {error}") from error
  platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
  if platform not in program.platforms:
    raise WrongPlatform(f"{path} was exported for {', '.join(program.platforms)}, and JAX runs on {platform} here")
  (_, state, _, _), _ = jax.tree.unflatten(program.in_tree, program.in_avals)

  def carry(batch: int) -> Any:  # where the program takes any N, its shapes hold a symbol
    return jax.tree.map(
      lambda x: np.zeros([n if isinstance(n, int) else batch for n in x.shape], x.dtype), state["carry"]
    )

  return Policy(jax.jit(program.call), parameters, carry, header)
