"""Configures the environments of a run: the task, how it is shown, and the processes that step it."""

import os
from dataclasses import dataclass, replace
from typing import Literal

from dreamerax.envs.suites.dm_control import QUALITIES


@dataclass(frozen=True)
class EnvConfig:
  """Configuration of an environment: the task, and how it is shown."""

  task: str = "dmc/walker_walk"
  """dmc/<domain>_<task>, gym/<id>, package.module:factory, vector: or jit: in front of that for many at once, or another
  that `dreamerax list` names."""
  action_repeat: int = 1
  """Simulator steps per agent step; rewards are summed over them."""
  image_size: int | None = None
  """Side of the images in pixels: dmc/, goal/, table/, tasks/ and mjx/ are drawn so, images of others are resized. Default: 64
  for these and atari/, else as they are."""
  grey: bool = False
  """Whether images have one channel, the luminance of their colours."""
  channels_first: bool = False
  """Whether the environment's images are [channels, height, width], which are then put in order. For gym/ and
  module:factory."""
  float_images: bool = False
  """Whether arrays of floats (or of any other numbers than uint8) of rank 3 or 2 are images: their bounds become 0 and 255.
  For gym/ and module:factory."""
  rendering: Literal["published", "balanced", "coarse", "fast"] = "published"
  """published: every pixel as dm_control draws it. balanced: coarser shadows, in nearly every task at most 0.2 % of
  pixels differ. coarse: rough shadows, edges and round shapes, no reflections. fast: no shadows either (for dmc/,
  goal/, table/ and tasks/)."""
  observations: tuple[str, ...] = ("image",)
  """image; image/<camera>, such as image/back, for another camera of the model; and names of the task's own vectors, such as
  position (for dmc/, goal/, table/, tasks/, mjx/), or state, the true one, for e2c/. With true/ before its name, an
  observation is hidden from the world model: true/position, true/state."""
  exploring_starts: bool = False
  """Whether the episodes that are trained on begin anywhere, in uniformly random states. Evaluations begin as the task
  says. For e2c/ tasks."""
  conditions: int = 0
  """How many first states there are: environment i begins all its episodes as that of the seed i modulo this, and shows
  which, one-hot and hidden, as true/condition. 0: episodes begin as the task says. Not for jit:, vector: and mjx/ tasks."""

  def __post_init__(self):
    object.__setattr__(self, "observations", tuple(self.observations))  # a list where it was sent as JSON
    if self.action_repeat < 1:
      raise ValueError(f"action_repeat={self.action_repeat}: it must be at least 1.")
    if self.image_size is not None and self.image_size < 1:
      raise ValueError(f"image_size={self.image_size}: it must be at least 1 pixel.")
    if self.rendering not in QUALITIES:
      raise ValueError(f"rendering={self.rendering!r}: choose one of {', '.join(QUALITIES)}.")
    if self.conditions < 0:
      raise ValueError(f"conditions={self.conditions}: it must be at least 0.")
    if not self.observations:
      raise ValueError("observations is empty: name at least one, such as image.")

  def as_evaluated(self) -> "EnvConfig":
    """The task as it is scored: its episodes begin where the task says."""
    return replace(self, exploring_starts=False)


@dataclass(frozen=True)
class WorkerConfig:
  """Configuration of the processes that step the environments."""

  count: int | None = None
  """How many; by default one for each core, and no more than environments. 0 steps them in the trainer's own process."""
  timeout: float = 600.0
  """Seconds without an answer after which an environment counts as hung, and is ended and started again."""
  gpus: tuple[int, ...] = ()
  """EGL devices that MuJoCo renders on, dealt out in turn; by default EGL's first."""

  def __post_init__(self):
    if self.count is not None and self.count < 0:
      raise ValueError(f"workers.count={self.count}: it must be at least 0.")
    if not self.timeout > 0:
      raise ValueError(f"workers.timeout={self.timeout}: it must be more than 0 seconds.")
    if any(gpu < 0 for gpu in self.gpus):
      raise ValueError(f"workers.gpus={self.gpus}: they are numbered from 0.")

  def processes(self, num_envs: int) -> int:
    """Returns how many processes step so many environments; none a single one, which
    nothing could overlap."""
    if self.count is None:
      return 0 if num_envs == 1 else min(num_envs, len(os.sched_getaffinity(0)))
    return min(num_envs, self.count)
