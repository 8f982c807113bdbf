"""Everything that a run is made of, as one configuration."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from dreamerax import checks
from dreamerax.agent import AgentConfig
from dreamerax.envs import EnvConfig, WorkerConfig
from dreamerax.replay.replay import ReplayConfig
from dreamerax.runtime.devices.mesh import MeshConfig
from dreamerax.runtime.schedule import IterationsConfig, ScheduleConfig, TrainRatioConfig
from dreamerax.runtime.seeds import check_seed
from dreamerax.runtime.settings import LoopConfig

_Flat = tyro.conf.arg(name="")  # on the command line the group's options carry no prefix: --task, not --env.task


@dataclass(frozen=True)
class RunConfig:
  """Everything that a run is made of. Env steps are simulator steps (action repeat included), agent steps decisions."""

  size: str
  """Model size; sets the widths of all parts. `dreamerax list` shows the sizes."""
  env_steps: int
  """Length of the run in env steps, summed over all environments."""
  seed: int = 0
  """Of parameters, environments, replay and every draw."""
  num_envs: int = 16
  """Environments in parallel."""
  env: Annotated[EnvConfig, _Flat] = field(default_factory=EnvConfig)
  workers: WorkerConfig = field(default_factory=WorkerConfig)
  mesh: MeshConfig = field(default_factory=MeshConfig)
  loop: Annotated[LoopConfig, _Flat] = field(default_factory=LoopConfig)
  replay: ReplayConfig = field(default_factory=ReplayConfig)
  schedule: ScheduleConfig = field(default_factory=TrainRatioConfig)
  agent: AgentConfig = field(default_factory=AgentConfig)

  def __post_init__(self):
    checks.at_least(1, self, "env_steps", "num_envs")
    check_seed(self.seed)
    conditions = self.env.conditions
    if conditions and self.num_envs % conditions:
      raise ValueError(
        f"conditions={conditions} do not come evenly from num_envs={self.num_envs} environments: give --num-envs "
        f"{-(-self.num_envs // conditions) * conditions}"
      )
    if self.replay.batch_length < 2:
      raise ValueError(f"replay.batch_length={self.replay.batch_length} must be at least 2: values need a next step")
    if isinstance(self.agent, AgentConfig):  # in the outline of a stored run it is what is stored
      self._check_iterations()

  def _check_iterations(self) -> None:
    """Whether on-policy iterations see the newest episodes, all of them, and behaviours that need such iterations do."""
    draw, made = self.replay.draw, self.schedule if isinstance(self.schedule, IterationsConfig) else None
    needed, updates = self.agent.behavior.iteration, made and made.updates
    if needed is not None and updates != needed.updates:
      raise ValueError(
        f"agent.behavior={type(self.agent.behavior).__name__} learns from whole episodes of its own, in iterations of "
        f"{needed.updates} updates, and the schedule has {updates or 'none'}: give "
        f"IterationsConfig(updates={needed.updates})"
      )
    if made is not None and needed is not None and (made.warmup, self.replay.older) != needed[1:]:
      raise ValueError(
        f"agent.behavior={type(self.agent.behavior).__name__} expects {needed.warmup} updates before its first iteration and "
        f"{needed.older} older episodes behind each new one, and schedule.warmup={made.warmup} and "
        f"replay.older={self.replay.older}: set both of each to one value"
      )
    if (updates is None) != (draw == "uniform"):
      schedule = type(self.schedule).__name__
      raise ValueError(
        f"replay.draw={draw!r} does not go with schedule={schedule}: 'newest' goes with IterationsConfig"
      )
    if updates is not None and (self.loop.resume == "keep" or self.replay.max_disk_bytes == 0):
      raise ValueError(
        "schedule=IterationsConfig counts whole episodes, which a restart cuts short with loop.resume='keep' or "
        "replay.max_disk_bytes=0: leave both out"
      )
