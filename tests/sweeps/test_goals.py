"""The sweep of goals, contrast, events, examples and ensembles is one that would start."""

from dreamerax import cli, run_directory
from dreamerax.agent import Agent
from dreamerax.sweeps.spec import read
from dreamerax.sweeps.trials import expand
from tests.conftest import ROOT


def test_each_preset_takes_what_its_task_shows():
  path = ROOT / "experiments" / "goals.yaml"
  found = [trial.config for trial in expand(read(path), cli.read_run)]
  assert len(found) == 3 * (4 + 4 + 2 + 2 + 3 + 2 + 4 + 4 + 4)
  tasks = {"goal/reacher", "goal/point_mass", "table/reach", "table/push", "table/place", "tasks/walker"}
  assert {config.env.task for config in found} == {*tasks, "tasks/walker_run", "dmc/cheetah_run"}
  for config in found[::3]:
    assert config.loop.prefill_steps * config.env.action_repeat < config.env_steps
  for config in (found[0], found[-1]):
    Agent(config.agent, run_directory.env_spec(config))
  assert f"dreamerax sweep {path.relative_to(ROOT)}" in path.read_text()
