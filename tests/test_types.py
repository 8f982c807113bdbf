"""Specs of actions."""

import numpy as np
import pytest

from dreamerax.types import ActionSpec

LEVERS = ActionSpec(5, discrete=True, groups=(3, 2))


def test_a_discrete_action_is_one_group_where_none_is_named():
  assert ActionSpec(3, discrete=True) == ActionSpec(3, discrete=True, groups=(3,))
  assert ActionSpec(3).groups == ()


@pytest.mark.parametrize(
  ("size", "discrete", "groups", "why"),
  [
    (5, False, (3, 2), r"groups=\(3, 2\) are of discrete actions: add discrete=True"),
    (6, True, (3, 2), r"groups=\(3, 2\) must be numbers of at least 1 that add up to size=6"),
    (3, True, (3, 0), "at least 1"),
    (1, True, (3, -2), "at least 1"),
  ],
)
def test_groups_that_do_not_fit_are_refused(size, discrete, groups, why):
  with pytest.raises(ValueError, match=why):
    ActionSpec(size, discrete, groups)


def test_an_action_is_split_into_its_groups():
  action = np.arange(20).reshape(2, 2, 5)
  three, two = LEVERS.split(action)
  np.testing.assert_array_equal(three, action[..., :3])
  np.testing.assert_array_equal(two, action[..., 3:])


@pytest.mark.parametrize(
  ("action", "valid"),
  [
    ([0, 1, 0, 0, 1], True),
    ([0, 1, 1, 0, 0], False),
    ([0, 1, 0, 0, 0], False),
    ([0, 1, 0, 0.5, 0.5], False),
    ([2, 0, 0, 0, 1], False),
    ([0, 1, 0, 0, np.nan], False),
  ],
)
def test_one_hot_is_so_in_each_group(action, valid):
  assert LEVERS.is_one_hot(np.array(action)) == valid
  np.testing.assert_array_equal(LEVERS.is_one_hot(np.array([action, [1, 0, 0, 1, 0]])), [valid, True])
