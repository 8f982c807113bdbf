"""Finds out what is wrong with an environment, before a run does."""

import inspect
import logging
from collections.abc import Callable, Sequence

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition

_log = logging.getLogger(__name__)

RESERVED = Transition._fields


def check_env(
  env: Environment, *, factory: Callable[[int], Environment] | None = None, steps: int = 100, seed: int = 0
) -> None:
  """Steps `env` with random actions and compares what it says and does with its spec.

  An environment that does not repeat an episode from its seed can be trained on: that is only logged, as a warning.

  Args:
    env: reset at least once and stepped `steps` times, and up to twice as often to compare; the caller closes it.
    factory: makes the environment from a seed. Where given, two made from one seed must agree to the bit.
    steps: agent steps to take.
    seed: of the actions, of the episode that is repeated, and of what `factory` makes.

  Raises:
    ValueError: the first thing found wrong, by name.
  """
  _check_spec(env.spec)
  _check_reset(env)
  _episodes(env, steps, seed)
  difference = _difference(*(_episode(env, steps, seed) for _ in range(2)))
  if difference:
    _log.warning(
      "reset(seed=%d) begins an episode that differs from the one it began before in %s. Training works, but a run that "
      "is killed and goes on cannot bring its unfinished episodes back. Let everything random in an episode follow from "
      "the seed, when one is given.",
      seed,
      difference,
    )
  if factory is None:
    return
  records = []
  for _ in range(2):
    twin = factory(seed)
    records.append(_episodes(twin, steps, seed))
    twin.close()
  difference = _difference(*records)
  if difference:
    raise ValueError(f"seed: two environments made with seed {seed} differ in {difference}.")


def random_action(spec: ActionSpec, rng: np.random.Generator) -> np.ndarray:
  """A uniform action [A], float32: in [-1, 1], or one-hot."""
  if spec.discrete:
    return np.eye(spec.size, dtype=np.float32)[rng.integers(spec.size)]
  return rng.uniform(-1, 1, spec.size).astype(np.float32)


def _check_spec(spec: EnvSpec) -> None:
  if not isinstance(spec, EnvSpec):
    raise ValueError(f"spec is {type(spec).__name__}, not an EnvSpec.")
  if not spec.observation:
    raise ValueError("spec.observation is empty: an environment shows something.")
  for key, array in spec.observation.items():
    if key in RESERVED:
      raise ValueError(f"spec.observation has the key {key!r}, a name kept for transitions ({', '.join(RESERVED)}).")
    if not array.is_image and (array.dtype != "float32" or len(array.shape) != 1):
      raise ValueError(
        f"spec.observation[{key!r}] is {array.dtype} {list(array.shape)}: use uint8 [height, width, channels] for an "
        "image or float32 [size] for a vector."
      )
    if 0 in array.shape:
      raise ValueError(f"spec.observation[{key!r}] has the shape {list(array.shape)}, which holds nothing.")
  least = 2 if spec.action.discrete else 1
  if spec.action.size < least:
    raise ValueError(f"spec.action.size={spec.action.size}: it must be at least {least}.")


def _check_reset(env: Environment) -> None:
  for arguments in ((), (0,)):
    try:
      inspect.signature(env.reset).bind(*arguments)
    except TypeError as error:
      raise ValueError(
        f"reset cannot be called {'with a seed' if arguments else 'without a seed'} ({error}): declare it as "
        "`def reset(self, seed: int | None = None) -> Step`."
      ) from None


def _difference(one: Sequence[Step], other: Sequence[Step]) -> str | None:
  """Where two records of the same actions differ first; where their lengths do, a flag differed before."""
  for index, (a, b) in enumerate(zip(one, other, strict=False)):
    for key in a.observation:
      if not np.array_equal(a.observation[key], b.observation[key]):
        return f"observation {key!r} at step {index}"
    if a[1:] != b[1:]:
      return f"reward or flags at step {index}"
  return None


def _episode(env: Environment, steps: int, seed: int) -> list[Step]:
  """Takes up to `steps` steps of the episode with this seed."""
  rng = np.random.default_rng(seed)
  record = [_checked(env.reset(seed), env.spec, "reset")]
  while len(record) <= steps and not record[-1].is_last:
    record.append(_checked(env.step(random_action(env.spec.action, rng)), env.spec, "step"))
  return record


def _episodes(env: Environment, steps: int, seed: int) -> list[Step]:
  """Takes `steps` steps over as many episodes as that needs and checks each answer."""
  spec = env.spec
  rng = np.random.default_rng(seed)
  record = [_checked(env.reset(), spec, "reset")]
  for _ in range(steps):
    if record[-1].is_last:
      record.append(_checked(env.reset(), spec, "reset"))
    action = random_action(spec.action, rng)
    given = action.copy()
    record.append(_checked(env.step(action), spec, "step"))
    if not np.array_equal(action, given):
      raise ValueError("step changes the action it is given: copy it first.")
  # The extremes of what a policy may send.
  if not record[-1].is_last and not spec.action.discrete:
    for bound in (-1, 1):
      step = _checked(env.step(np.full(spec.action.size, bound, np.float32)), spec, f"step at action {bound}")
      record.append(step)
      if step.is_last:
        break
  return record


def _checked(step: Step, spec: EnvSpec, where: str) -> Step:
  """A copy of `step`, so that a buffer used twice cannot make two steps look alike."""
  if not isinstance(step, Step):
    raise ValueError(f"{where} returned {type(step).__name__}, not a Step.")
  if set(step.observation) != set(spec.observation):
    raise ValueError(
      f"{where}: the observation has the keys {sorted(step.observation)}, spec {sorted(spec.observation)}."
    )
  for key, array in spec.observation.items():
    _check_array(step.observation[key], array, f"{where}: observation {key!r}")
  if not np.isscalar(step.reward) or not np.isfinite(step.reward):
    raise ValueError(f"{where}: the reward is {step.reward!r}, not a finite number.")
  for name in ("is_first", "is_last", "is_terminal"):
    if not isinstance(getattr(step, name), bool | np.bool_):
      raise ValueError(f"{where}: {name} is {getattr(step, name)!r}, not a bool.")
  is_reset = where == "reset"
  if step.is_first != is_reset:
    raise ValueError(f"{where}: is_first is {step.is_first}; it marks what reset returns, and nothing else.")
  if is_reset and step.reward != 0:
    raise ValueError(f"reset: the reward is {step.reward}; nothing was done yet, so it is zero.")
  if is_reset and step.is_last:
    raise ValueError("reset: is_last is True; an episode has at least one step.")
  if step.is_terminal and not step.is_last:
    raise ValueError(f"{where}: is_terminal without is_last; a terminal step ends the episode.")
  return step._replace(observation={key: value.copy() for key, value in step.observation.items()})


def _check_array(value: np.ndarray, spec: ArraySpec, what: str) -> None:
  if not isinstance(value, np.ndarray):
    raise ValueError(f"{what} is {type(value).__name__}, not a numpy array.")
  if value.dtype != spec.dtype or value.shape != spec.shape:
    raise ValueError(f"{what} is {value.dtype} {list(value.shape)}; its spec says {spec.dtype} {list(spec.shape)}.")
  if not np.isfinite(value).all():
    raise ValueError(f"{what} holds values that are not finite.")
