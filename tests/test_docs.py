"""The code in docs/extending.md is code that works."""

import re
import sys
import types
from pathlib import Path

import jax
import pytest

from dreamerax.agent import Agent
from tests import tiny
from tests.contracts.dynamics import DynamicsContract
from tests.contracts.planner import PlannerContract
from tests.test_presets import WALKER

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"

page = types.ModuleType("extending")  # dataclasses look their module up
sys.modules[page.__name__] = page
for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
  exec(compile(block, str(PAGE), "exec"), page.__dict__)


class TestHeldAction(page.TestHeldAction):
  """What every planner promises, of the page's."""


class TestLinearRSSM(page.TestLinearRSSM):
  """What every dynamics promises, of the page's."""


def test_the_pages_tests_inherit_the_contracts():
  assert issubclass(TestHeldAction, PlannerContract) and issubclass(TestLinearRSSM, DynamicsContract)


def test_the_pages_parts_make_an_agent():
  run = page.planet_held("small")
  world_model = page.replace(run.agent.world_model, dynamics=page.LinearRSSM(deter=16))
  agent = Agent(page.replace(run.agent, world_model=world_model), WALKER)
  state = jax.eval_shape(agent.init, jax.random.key(0))
  assert state["params"]["world_model"]["dynamics"]["guess"]["kernel"].shape == (16, 60)


def test_the_pages_objectives_train_a_model():
  objectives = page.dreamer_inverse("1m").agent.world_model.objectives
  config = tiny.config()
  world_model = page.replace(
    config.world_model, objectives={**objectives, **config.world_model.objectives, "kl": page.PlainKL()}
  )
  agent = Agent(page.replace(config, world_model=world_model), tiny.VECTOR)
  state = agent.init(jax.random.key(0))
  new, _, metrics = jax.jit(agent.update)(state, tiny.batch(agent), jax.random.key(1))
  assert metrics["loss/inverse"] > 0 and metrics["loss/kl"] > 0 and "loss/dynamics" not in metrics
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()),
    *(each["params"]["world_model"]["objectives"]["inverse"] for each in (state, new)),
  )
  assert all(jax.tree.leaves(moved))


def test_a_planner_of_the_page_is_checked():
  with pytest.raises(ValueError, match="candidates=0"):
    page.HeldAction(candidates=0)
