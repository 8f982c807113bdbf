"""The sweep of locally linear latents is one that would start."""

from dreamerax import cli, run_directory
from dreamerax.agent import Agent
from dreamerax.sweeps.spec import read
from dreamerax.sweeps.trials import expand
from tests.conftest import ROOT


def test_each_preset_takes_the_pictures_of_its_tasks():
  path = ROOT / "experiments" / "latent_control.yaml"
  found = [trial.config for trial in expand(read(path), cli.read_run)]
  assert len(found) == 54 and {config.env_steps for config in found} == {10_000}
  tasks = {"planar", "balance", "swingup", "cartpole", "planar_opposite"}
  assert {config.env.task.removeprefix("e2c/") for config in found} == tasks
  for config in found[::3]:
    Agent(config.agent, run_directory.env_spec(config))
  assert f"dreamerax sweep {path.relative_to(ROOT)}" in path.read_text()
