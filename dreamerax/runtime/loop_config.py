"""What a user decides of how a run goes: when things happen, and what follows when they go wrong."""

from dataclasses import dataclass
from typing import Literal

from dreamerax.loggers.names import LoggerName


@dataclass(frozen=True)
class LoopConfig:
  """When things happen. An env step is a simulator step (action repeat included), an agent step one decision."""

  prefill_steps: int = 1024
  """Agent steps in replay before the first update, over all environments. One whole sequence is awaited in any case."""
  prefill_policy: Literal["agent", "random"] = "agent"
  """Who acts until then: the untrained (or, in a run that goes on, the restored) agent, or uniform chance."""
  log_every: float = 30.0
  """Seconds between lines of training metrics."""
  eval_every: int = 10_000
  """Env steps between evaluations; 0 evaluates at the end only."""
  eval_episodes: int = 10
  """Episodes of an evaluation; 0 never evaluates."""
  eval_max_steps: int = 30_000
  """Agent steps after which an episode of an evaluation is cut, and counts as it is; 0 sets no limit."""
  video_every: int = 50_000
  """Env steps between videos; 0 makes none."""
  checkpoint_minutes: float = 10.0
  """Minutes between checkpoints; there is one at the end, and at Ctrl-C or SIGTERM, in any case."""
  resume: Literal["exact", "keep"] = "exact"
  """exact: a restarted run goes back to its checkpoint, replay and environments too. keep: experience that was collected
  after it stays in the replay."""
  sync: bool = False
  """Nothing depends on the clock, and checkpoints hold the replay's latents: reruns and restarts are equal to the bit."""
  nonfinite: Literal["stop", "skip"] = "stop"
  """What follows an update that is not finite: the run ends and keeps its batch and state, or goes on without it. And what
  follows a number that is not finite in what an environment shows: the run is saved and ends, or the episode is cut short."""
  log: tuple[LoggerName, ...] = ()
  """Loggers that metrics and videos go to, beside metrics.jsonl and TensorBoard. See docs/runs.md."""
  profile: bool = False
  """Say where a step's time goes once training is under way, and write a trace of it to <logdir>/profile."""

  def __post_init__(self):
    for name in ("prefill_steps", "eval_every", "eval_episodes", "eval_max_steps", "video_every"):
      if getattr(self, name) < 0:
        raise ValueError(f"loop.{name}={getattr(self, name)} must be at least 0")
    for name in ("log_every", "checkpoint_minutes"):
      if not getattr(self, name) > 0:
        raise ValueError(f"loop.{name}={getattr(self, name)} must be more than 0")
