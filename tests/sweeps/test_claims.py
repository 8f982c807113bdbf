"""The sweeps in experiments/claims are sweeps that would start, over what the published table has."""

from functools import cache
from pathlib import Path

import jax
import pytest

from dreamerax import cli, run_directory
from dreamerax.agent import Agent
from dreamerax.sweeps.spec import read
from dreamerax.sweeps.trials import Trial, expand
from tests.conftest import ROOT

FOLDER = ROOT / "experiments" / "claims"
METHODS = {"planet": "planet", "dreamer_v1": "dreamerv1", "dreamer_v2": "dreamerv2", "dreamer_v3": "dreamerv3"}
TRIALS = {"planet": 30, "dreamer_v1": 100, "dreamer_v2": 100, "dreamer_v3": 100, "dreamer_v3_proprio": 90}


@cache
def trials(name: str) -> list[Trial]:
  return expand(read(FOLDER / f"{name}.yaml"), cli.read_run)


def test_every_file_is_a_claim():
  assert {path.stem for path in FOLDER.glob("*.yaml")} == set(TRIALS)


@pytest.mark.parametrize("name", TRIALS)
def test_every_trial_is_a_run(name: str):
  found = trials(name)
  assert len(found) == TRIALS[name] and {trial.config.seed for trial in found} == {0, 1, 2, 3, 4}
  text = (FOLDER / f"{name}.yaml").read_text()
  assert f"dreamerax sweep {Path('experiments/claims', name)}.yaml" in text
  assert (f"--against {METHODS[name]}" in text) if name in METHODS else "--against" not in text


@pytest.mark.parametrize("name", METHODS)
def test_each_task_has_a_published_score_at_the_end_of_the_budget(name: str):
  published = pytest.importorskip("dreamerax.published")
  scores = [score for score in published.scores() if score.method == METHODS[name]]
  found = trials(name)
  assert {trial.config.env.task.removeprefix("dmc/") for trial in found} == {score.task for score in scores}
  for trial in found:
    at = {score.env_steps for score in published.curve(METHODS[name], trial.config.env.task)}
    assert trial.config.env_steps in at
    assert trial.config.env.action_repeat == published.METHODS[METHODS[name]].repeat_of(trial.config.env.task[4:])


def test_vectors_alone_make_an_agent():
  """Of each group of tasks that shows the same vectors, one."""
  found = {trial.config.env.observations: trial.config for trial in trials("dreamer_v3_proprio")}
  assert len(found) == 7
  for config in found.values():
    spec = run_directory.env_spec(config)
    assert set(spec.observation) == set(config.env.observations)
    assert config.schedule.ratio == 1024 and config.env.action_repeat == 1
    jax.eval_shape(Agent(config.agent, spec).init, jax.random.key(0))
