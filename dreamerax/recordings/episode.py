"""Checks that a recorded episode can be trained on."""

import numpy as np

from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition, column_specs, to_transition

MIN_STEPS = 2  # of an episode: what its reset showed, and what one action led to


def from_arrays(arrays: dict[str, np.ndarray], spec: EnvSpec) -> Transition:
  """The episode [T, ...] that these arrays are, once it was checked.

  Raises:
    ValueError: names the array, what was found in it, and how it is mended.
  """
  wanted = column_specs(spec)
  for name in wanted:
    if name not in arrays:
      raise ValueError(
        f"{name} is missing; it has {', '.join(sorted(arrays)) or 'nothing'}: store what spec.json names"
      )
  unknown = sorted(arrays.keys() - wanted.keys())
  if unknown:
    raise ValueError(
      f"{unknown[0]} is not in spec.json, which names {', '.join(wanted)}: leave it out, or add it there"
    )
  steps = _check_shapes(arrays, wanted)
  if steps < MIN_STEPS:
    raise ValueError(f"reward has {steps} steps, and an episode has at least {MIN_STEPS}: leave such episodes out")
  _check_numbers(arrays)
  _check_flags(*(arrays[name] for name in ("is_first", "is_last", "is_terminal")))
  _check_actions(arrays["action"], spec.action)
  _check_start(arrays)
  return to_transition(arrays)


def _check_shapes(arrays: dict[str, np.ndarray], wanted: dict[str, ArraySpec]) -> int:
  """Checks the shapes, and returns how many steps there are, T."""
  reward = arrays["reward"]
  steps = len(reward) if reward.ndim else 0
  for name, one in wanted.items():
    array = arrays[name]
    if array.dtype != one.dtype:
      raise ValueError(f"{name} is {array.dtype}, not {one.dtype}: convert it with astype, or change spec.json")
    if array.shape != (steps, *one.shape):
      expected = (steps, *one.shape)
      raise ValueError(
        f"{name} has the shape {array.shape}, not {expected}, for the {steps} steps of reward: "
        "every array has one row a step, shaped as spec.json says"
      )
  return steps


def _check_numbers(arrays: dict[str, np.ndarray]) -> None:
  for name, array in arrays.items():
    if array.dtype.kind == "f":
      wrong = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))
      if wrong.size:
        raise ValueError(
          f"{name} is not finite at step {wrong[0]} ({array[wrong[0]]}): leave the episode out, or cut it before that step"
        )


def _check_flags(is_first: np.ndarray, is_last: np.ndarray, is_terminal: np.ndarray) -> None:
  if not is_first[0]:
    raise ValueError("is_first is False at step 0: an episode begins with what reset showed, and marks it")
  if is_first[1:].any():
    step = int(is_first[1:].argmax()) + 1
    raise ValueError(f"is_first is True at step {step}: store one episode a file")
  if not is_last[-1]:
    raise ValueError(
      f"is_last is False at the last step, {len(is_last) - 1}: mark it, also where the episode was cut there"
    )
  if is_last[:-1].any():
    raise ValueError(f"is_last is True at step {int(is_last.argmax())} of {len(is_last)}: store one episode a file")
  if is_terminal[:-1].any():
    raise ValueError(
      f"is_terminal is True at step {int(is_terminal.argmax())}, which is not the last: end the episode there"
    )


def _check_actions(action: np.ndarray, spec: ActionSpec) -> None:
  taken = action[1:]
  if spec.discrete:
    wrong = ~spec.is_one_hot(taken)
    problem = f"not one-hot over {' and '.join(map(str, spec.groups))} choices"
    fix = "store each choice as a row of the identity matrix"
  else:
    wrong = (np.abs(taken) > 1).any(-1)
    problem, fix = "outside [-1, 1]", "scale the actuators' bounds to it, or clip"
  if wrong.any():
    step = int(wrong.argmax()) + 1
    raise ValueError(f"action is {action[step]} at step {step}, {problem}: {fix}")


def _check_start(arrays: dict[str, np.ndarray]) -> None:
  for name in ("action", "reward"):
    if arrays[name][0].any():
      raise ValueError(
        f"{name} is {arrays[name][0]} at step 0, to which no action has led: store zero there; {name}[t] belongs to the "
        "step that led to observation[t]"
      )
