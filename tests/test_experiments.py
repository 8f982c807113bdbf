"""The scripts beside the package."""

import numpy as np
import pytest

from dreamerax import presets
from dreamerax.agent import Agent
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from experiments import random_returns, visited_cells


def test_random_actions_have_a_return(capsys):
  random_returns.main(["--task", "dmc/cartpole_balance", "--action-repeat", "50", "--episodes", "2"])
  mean = float(capsys.readouterr().out.split()[0])
  assert 50 < mean < 900


def test_states_are_counted_by_cells_and_turns_do_not_count():
  states = np.array([[0.1, 0, 0.5, -0.5], [0.1 + 2 * np.pi, 0, 0.9, -0.1], [0.1, 0, 1.1, -0.5], [3, 0, 0.5, -0.5]])
  assert visited_cells.visited(states) == 3


def test_random_actions_see_states_that_the_agent_does_not(capsys):
  visited_cells.main(["--agent-steps", "6"])
  assert capsys.readouterr().out.endswith(" of velocities alone, in 6 agent steps\n")
  env = visited_cells.reacher(0)
  assert set(env.spec.visible) == {"image"} and env.reset().observation["event/velocity"].shape == (2,)
  env.close()


@pytest.mark.parametrize("posterior", ["filtering", "smoothing", "single_step", "deterministic"])
def test_each_posterior_is_a_preset_of_the_same_numbers(posterior: str):
  run = presets.build(f"experiments.posteriors:{posterior}")
  agent = Agent(run.agent, EnvSpec({"image": ArraySpec((64, 64, 3), "uint8")}, ActionSpec(1)))
  assert agent.latent_spec["stoch"].shape == (16,) and run.replay.context == 0
