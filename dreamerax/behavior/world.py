"""A world model as behaviours meet it: the functions that they get of it, and whether it has what they ask for."""

from functools import partial

import jax

from dreamerax.behavior.base import BehaviorModule
from dreamerax.behavior.imagination import World
from dreamerax.types import EnvSpec
from dreamerax.world_model.base import WorldModelBaseModule


def as_world(model: WorldModelBaseModule) -> World:
  """The functions of a world model, with its parameters."""

  def member(index: jax.Array) -> World:
    return world._replace(step=partial(model.step_as, index), expect=partial(model.expect_as, index), members=1)

  world = World(
    step=model.step,
    expect=model.expect,
    features=model.features,
    reward=model.expected_reward,
    continues=model.continue_probability,
    encode=model.encode,
    glance=model.glance,
    move=model.move if model.moves_pixels else None,
    decode=model.decode,
    members=model.members,
    member=member,
    event_probabilities=model.event_probabilities,
  )
  return world


def check_fits(behavior: BehaviorModule, world: WorldModelBaseModule, spec: EnvSpec) -> None:
  """Whether environment and world model have what a behaviour asks for.

  Raises:
    ValueError: names what is missing, and the fix.
  """
  unknown = next((name for name in behavior.needs if name not in spec.observation), None)
  if unknown is not None:
    raise ValueError(
      f"agent.behavior needs the observation {unknown!r}, and the environment shows {', '.join(spec.observation)}: "
      "choose a --task that shows it, or another behaviour"
    )
  if behavior.follows_pixels and not world.moves_pixels:
    raise ValueError(
      "agent.behavior follows pixels, and agent.world_model moves none: choose a VideoModel with CDNA, or another behaviour"
    )
  images = {name for name, array in spec.visible.items() if array.is_image}
  if behavior.compares_images and not images <= set(world.decoded):
    raise ValueError(
      f"agent.behavior compares images, and agent.world_model does not decode {min(images - set(world.decoded))!r}: "
      "choose a world model with a decoder, or another behaviour"
    )
  unforeseen = next((name for name in behavior.events if name not in world.events), None)
  if unforeseen is not None:
    raise ValueError(
      f"agent.behavior asks for the probability of {unforeseen!r}, and the world model foresees "
      f"{', '.join(world.events) or 'no event'}: add an EventForecast of it to agent.world_model.objectives"
    )
  both = world.scales.keys() & behavior.scales.keys()
  if both:
    raise ValueError(f"world model and behaviour both have a loss called {min(both)!r}: rename the objective's")
