"""What is refused at the door, and with which words."""

import pytest

from dreamerax.envs import EnvConfig, make


@pytest.mark.parametrize(
  ("task", "nearest"),
  [
    ("dmc/cartpol_balance", "dmc/cartpole_balance"),
    ("walker_walk", "dmc/walker_walk"),
    ("dmc/walker_wlak", "dmc/walker_walk"),
  ],
)
def test_a_wrong_task_names_the_nearest(task, nearest):
  with pytest.raises(ValueError, match=f"task='{task}'.*Did you mean .*{nearest}"):
    make(EnvConfig(task), 0)


@pytest.mark.parametrize(
  ("field", "value"),
  [("action_repeat", 0), ("image_size", 0), ("rendering", "pretty"), ("observations", ())],
)
def test_a_wrong_field_is_named(field, value):
  with pytest.raises(ValueError, match=field):
    EnvConfig(**{field: value})


def test_a_seed_that_no_generator_takes_is_refused():
  with pytest.raises(ValueError, match="seed=-1"):
    make(EnvConfig("tests.envs.toys:counter"), -1)
