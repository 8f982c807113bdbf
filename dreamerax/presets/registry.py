"""Presets by name: which parts make a method, and the figures that it was published with."""

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dreamerax import own_code
from dreamerax.config import nearest
from dreamerax.presets.cdna import cdna
from dreamerax.presets.cfm import cfm
from dreamerax.presets.deep_fitted_q import deep_fitted_q
from dreamerax.presets.dreamer_r2 import dreamer_r2
from dreamerax.presets.dreamer_v1 import dreamer_v1
from dreamerax.presets.dreamer_v2 import dreamer_v2
from dreamerax.presets.dreamer_v3 import dreamer_v3
from dreamerax.presets.embed_to_control import embed_to_control
from dreamerax.presets.events import events
from dreamerax.presets.foresight import foresight
from dreamerax.presets.guided_policy import guided_policy
from dreamerax.presets.her import her
from dreamerax.presets.laptop import laptop
from dreamerax.presets.lexa import lexa
from dreamerax.presets.local_lqr import local_lqr
from dreamerax.presets.multitask import multitask
from dreamerax.presets.oh import oh
from dreamerax.presets.pc3 import pc3
from dreamerax.presets.pc3_points import pc3_points
from dreamerax.presets.pddm import pddm
from dreamerax.presets.plan2explore import plan2explore
from dreamerax.presets.planet import planet
from dreamerax.presets.poke import poke
from dreamerax.presets.quick import quick
from dreamerax.presets.sizes import OLDER_SIZES, SIZES, VIDEO_SIZES
from dreamerax.presets.solar import solar
from dreamerax.presets.spatial_autoencoder import spatial_autoencoder
from dreamerax.presets.svg import svg
from dreamerax.presets.vice import vice
from dreamerax.run_config import RunConfig
from dreamerax.types import CONDITION, GOAL, PIXELS, TASK, TASK_REWARDS, TRUE, ActionSpec, ArraySpec, EnvSpec


class Preset(NamedTuple):
  """A method by name."""

  summary: str
  build: Callable[[str], RunConfig]  # a size -> the whole run
  sizes: tuple[str, ...]
  default_size: str
  choices: bool = False  # whether the task's actions have to be discrete
  goals: bool = False  # whether the task has to show its goal
  frames: bool = False  # whether its world model predicts images from images
  states: bool = False  # whether the task has to show its true state in place of images
  taught: bool = False  # whether it has to show the true state beside images, and to begin in a few first states
  tasks: bool = False  # whether it has to show the rewards of several tasks
  events: tuple[str, ...] = ()  # events that the task has to show

  @property
  def special(self) -> bool:
    """Whether it takes tasks of one kind alone."""
    return self.choices or self.goals or self.states or self.taught or self.tasks or bool(self.events)

  def spec(self, image: ArraySpec, action: int) -> EnvSpec:
    """What it can be trained on: an environment that shows an image or a state, with actions of `action` entries."""
    shown = {"state": ArraySpec((4,))} if self.states else {"image": image}
    goal = {GOAL + name: array for name, array in shown.items()} if self.goals else {}
    goal |= {PIXELS: ArraySpec((4,))} if self.goals and self.frames else {}
    tasks = {name: ArraySpec((3,)) for name in (TASK, TASK_REWARDS)} if self.tasks else {}
    known = {TRUE + "position": ArraySpec((2,)), CONDITION: ArraySpec((4,))} if self.taught else {}
    events = {name: ArraySpec((1,)) for name in self.events}
    return EnvSpec(shown | goal | tasks | known | events, ActionSpec(action, discrete=self.choices))


_OLDER = (tuple(OLDER_SIZES), "published")
_VIDEO = (tuple(VIDEO_SIZES), "small")

PRESETS: Mapping[str, Preset] = {
  "quick": Preset("cartpole_balance in minutes on a laptop's CPU", quick, ("tiny",), "tiny"),
  "laptop": Preset("the control suite on a laptop's CPU, cheetah_run by default", laptop, ("tiny",), "tiny"),
  "dreamer-v3": Preset("DreamerV3 with the published figures, walker_walk by default", dreamer_v3, tuple(SIZES), "12m"),
  "dreamer-r2": Preset("DreamerV3 with redundancy reduction in place of a decoder", dreamer_r2, tuple(SIZES), "12m"),
  "plan2explore": Preset("Plan2Explore: explores where an ensemble disagrees", plan2explore, ("tiny", *SIZES), "12m"),
  "dreamer-v2": Preset("Dreamer v2: categorical latents, gradients through the dynamics", dreamer_v2, *_OLDER),
  "dreamer-v1": Preset("Dreamer: Gaussian latents, gradients through the dynamics", dreamer_v1, *_OLDER),
  "planet": Preset("PlaNet: Gaussian latents, planning by the cross-entropy method", planet, *_OLDER),
  "pddm": Preset("PDDM: planning over an ensemble, with filtered noise", pddm, *_OLDER),
  "deep-fitted-q": Preset(
    "fitted Q iteration on an autoencoder's code", deep_fitted_q, ("small",), "small", choices=True
  ),
  "embed-to-control": Preset(
    "iLQR to a goal image in a locally linear latent", embed_to_control, ("small",), "small", goals=True
  ),
  "pc3": Preset("as embed-to-control, but without a decoder: contrast", pc3, ("small",), "small", goals=True),
  "pc3-points": Preset("pc3 on feature points, for poles", pc3_points, ("small",), "small", goals=True),
  "cfm": Preset("contrastive forward model, one greedy step to a goal image", cfm, ("small",), "small", goals=True),
  "poke": Preset("an inverse and a forward model learned together", poke, ("small",), "small", goals=True),
  "spatial-autoencoder": Preset(
    "iLQR on feature points of an image to those of a goal", spatial_autoencoder, ("small",), "small", goals=True
  ),
  "local-lqr": Preset(
    "LQR to a goal on the true state, with fitted dynamics", local_lqr, ("small",), "small", goals=True, states=True
  ),
  "solar": Preset("LQR to a goal image in the latents of a linear system", solar, ("small",), "small", goals=True),
  "guided-policy": Preset(
    "a policy from pixels, taught by LQR on the true state", guided_policy, ("small",), "small", taught=True
  ),
  "events": Preset(
    "plans to a goal image, and away from likely contacts",
    events,
    ("small",),
    "small",
    goals=True,
    events=("event/contact",),
  ),
  "vice": Preset("a reward from a few examples of success", vice, ("small",), "small", goals=True),
  "her": Preset("goals of images, learned in hindsight", her, ("tiny",), "tiny", goals=True),
  "lexa": Preset("LEXA: an explorer, and an achiever of goals", lexa, ("tiny",), "tiny", goals=True),
  "multitask": Preset("stands, walks and runs as it is told, in one model", multitask, ("tiny",), "tiny", tasks=True),
  "oh": Preset("action-conditional video prediction, table/push by default", oh, *_VIDEO, frames=True),
  "cdna": Preset("video prediction by moving pixels, table/push by default", cdna, *_VIDEO, frames=True),
  "svg": Preset("stochastic video prediction with a learned prior", svg, *_VIDEO, frames=True),
  "foresight": Preset(
    "visual foresight: a marked pixel moves to its goal", foresight, *_VIDEO, goals=True, frames=True
  ),
}


def build(preset: str, size: str | None = None) -> RunConfig:
  """The run that a preset's name and a size stand for; the preset's default size where none is given.

  `module:name` is a preset of the person's own: a RunConfig, or a function that returns one and may take a size.

  Raises:
    ValueError: unknown preset or size; names the nearest.
  """
  if ":" in preset:
    return _build_own(preset, size)
  if preset not in PRESETS:
    raise ValueError(f"preset={preset!r} is not one of {', '.join(PRESETS)}{nearest(preset, PRESETS)}")
  sizes = PRESETS[preset].sizes
  if size is not None and size not in sizes:
    raise ValueError(f"size={size!r} is not one of {', '.join(sizes)} of {preset}{nearest(size, sizes)}")
  return PRESETS[preset].build(size or PRESETS[preset].default_size)


def _build_own(path: str, size: str | None) -> RunConfig:
  built = own_code.find(path, "preset")
  if callable(built) and not isinstance(built, RunConfig):
    parameters = inspect.signature(built).parameters
    if size is None and any(each.default is each.empty for each in parameters.values()):
      raise ValueError(f"preset={path!r} takes a size: give --size")
    try:
      built = built(size) if parameters and size is not None else built()
    except Exception as error:
      raise ValueError(f"preset={path!r} raised {own_code.account(error)}") from error
  if not isinstance(built, RunConfig):
    raise ValueError(f"preset={path!r} is {type(built).__name__}: name a RunConfig, or a function that returns one")
  if size not in (None, built.size):
    raise ValueError(f"size={size!r}: preset={path!r} has the size {built.size!r}; leave --size out")
  return built
