"""Goals as an environment shows them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.behavior.goals.observed import goal_features, goal_names
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests.behavior.small_world import make_world

IMAGE, VECTOR = ArraySpec((8, 8, 3), "uint8"), ArraySpec((2,))


def spec(**observation: ArraySpec) -> EnvSpec:
  return EnvSpec({name.replace("__", "/"): array for name, array in observation.items()}, ActionSpec(2))


def test_a_goal_shows_all_that_the_world_model_sees():
  names = goal_names(spec(image=IMAGE, place=VECTOR, goal__image=IMAGE, goal__pixels=VECTOR, event__contact=VECTOR))
  assert names == ("goal/image", "goal/place")


def test_a_goal_of_another_shape_is_refused():
  with pytest.raises(ValueError, match=r"'goal/image' is uint8 \[4, 8, 3\], and 'image' is uint8 \[8, 8, 3\]"):
    goal_names(spec(image=IMAGE, goal__image=ArraySpec((4, 8, 3), "uint8")))


def test_the_goal_is_encoded_as_what_it_is_a_goal_of():
  world = make_world(1.0)._replace(
    encode=lambda observation, key: 2 * observation["x"], glance=lambda embed, key: embed + 1
  )
  hidden = {"goal/x": jnp.array([[1.0, 2.0]]), "event/hit": jnp.ones((1, 1))}
  np.testing.assert_array_equal(goal_features(world, hidden, jax.random.key(0)), [[3.0, 5.0]])
