"""The scripts beside the package."""

from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from dreamerax import presets
from dreamerax.agent import Agent
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.envs import EnvConfig
from dreamerax.envs.suites import goal_task
from dreamerax.recordings import EpisodeFolder
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from dreamerax.world_model.video.curriculum import Curriculum
from dreamerax.world_model.video.model import VideoModel
from dreamerax.world_model.video.oh import Oh
from experiments import (
  event_auc,
  example_scores,
  foresight_costs,
  foresight_distance,
  goal_baselines,
  grid,
  poke_data,
  push_data,
  random_returns,
  visited_cells,
)
from experiments.true_physics import TruePhysics


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


def test_the_return_of_the_grid_is_the_number_of_other_cells_that_were_visited():
  env, right, left = grid.Grid(0), *np.eye(4)[:2]
  first = env.reset(seed=3).observation["image"]
  seen = [env.step(action) for action in (*[right] * 8, *[left] * 32)]
  columns = [step.observation["image"][..., 0].argmax() % 32 // 4 for step in seen]
  assert sum(step.reward for step in seen) == 7 and seen[-1].is_last and not seen[-1].is_terminal
  assert columns[7] == 7 and columns[-1] == 0  # the borders
  assert first.shape == (32, 32, 3)


@pytest.mark.parametrize("ablation", ["multiplicative", "concatenated", "no_actions", "one_step"])
def test_each_ablation_of_oh_is_a_preset_that_alone_hears_no_actions_or_looks_one_step_ahead(ablation: str):
  model = presets.build(f"experiments.video_ablations:{ablation}").agent.world_model
  assert isinstance(model, VideoModel) and isinstance(model.predictor, Oh) and isinstance(model.training, Curriculum)
  effect = model.predictor.action.build(16, 2, dtype=np.float32, rngs=nnx.Rngs(0))
  code = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
  one, other = (effect(code, np.full((1, 2), value, np.float32)) for value in (-1, 1))
  assert np.allclose(one, other) == (ablation == "no_actions")
  assert model.training.steps == ((1,) if ablation == "one_step" else (1, 3, 5))


def test_a_planner_on_the_true_physics_brings_the_puck_to_its_goal():
  scene = goal_baselines.TASKS["table/reach"]
  planning = Planning(BlockCEM(horizon=3, candidates=60), replan_every=3)
  truth = TruePhysics(scene, goal_task.simulate(scene, 0).physics, planning)
  (success,), (distance,) = goal_baselines.run("table/reach", truth, 1, 1, 0)
  assert success == 1 and distance < 0.02


def test_pushes_are_recorded_with_contacts_that_random_actions_lack(tmp_path: Path):
  config = EnvConfig("table/push", image_size=16, rendering="fast")
  pushed, random = (push_data.record(config, tmp_path, episodes=4, share=share, seed=0) for share in (1.0, 0.0))
  folder = EpisodeFolder(tmp_path)
  episodes = folder.read_all()
  contacts = [episode.observation["event/contact"][1:].mean() for episode in episodes]
  assert len(episodes) == 8 and pushed > 0.1 > random
  assert np.mean(contacts[:4]) == pytest.approx(pushed) and np.mean(contacts[4:]) == pytest.approx(random)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order():
  random = np.random.default_rng(0)
  score, happens = random.integers(0, 6, 40) / 6, random.random(40) < 0.3  # with equal scores, which count by half
  pairs = [np.sign(yes - no) / 2 + 0.5 for yes in score[happens] for no in score[~happens]]
  assert event_auc.auc(score, happens) == pytest.approx(np.mean(pairs))
  assert event_auc.auc(happens.astype(float), happens) == 1


def test_a_classifiers_positives_are_counted_within_reach_and_beyond():
  told = example_scores.summary(np.array([2.0, -1.0, 1.0, -3.0]), np.array([0.01, 0.2, 0.09, 0.04]))
  assert told == (
    "4 steps, 50.0% within reach, 50.0% with a positive logit; "
    "of these 50.0% within reach, 0.050 m away on average; AUC 0.500"
  )


def test_little_data_are_the_first_episodes_and_one_that_is_held_out(tmp_path: Path):
  push_data.record(
    EnvConfig("table/push", image_size=16, rendering="fast"), tmp_path / "all", episodes=4, share=0, seed=0
  )
  few = EpisodeFolder(poke_data.first_episodes(tmp_path / "all", 50, tmp_path / "few")).read_all()
  assert [len(episode.reward) for episode in few] == [31] * 3  # 60 transitions, and 30 to look at
  with pytest.raises(ValueError, match="has too few transitions, 120: record more than 1000"):
    poke_data.first_episodes(tmp_path / "all", 1000, tmp_path / "none")


def test_foresight_is_compared_beginning_by_beginning():
  told = foresight_distance.paired(np.array([0.1, 0.2, 0.1]), np.array([0.2, 0.2, 0.3]))
  assert told == "+0.100 ± 0.058 m nearer, in 2 of 3 episodes,"


@pytest.mark.parametrize("cost", ["goal_image", "classifier"])
def test_each_cost_of_foresight_is_a_preset_that_can_be_built(cost: str):
  run = presets.build(f"experiments.foresight_costs:{cost}")
  image = ArraySpec((48, 48, 3), "uint8")
  agent = Agent(run.agent, EnvSpec({"image": image, "goal/image": image}, ActionSpec(2)))
  assert agent.initial_carry(1)["memory"]["plan"].shape == (1, 15, 2)
  assert foresight_costs.GOAL_IMAGE_WEIGHT > foresight_costs.CLASSIFIER_WEIGHT > 10


@pytest.mark.parametrize(
  "name", ["forward_alone", "poke_small_strides", "her_shuffled", "her_similarity", "multitask_planned"]
)
def test_each_ablation_is_a_preset_that_can_be_built(name: str):
  run = presets.build(f"experiments.goal_ablations:{name}")
  image, several = ArraySpec((64, 64, 3), "uint8"), ArraySpec((3,))
  shown = {"image": image, "goal/image": image, "event/task": several, "event/rewards": several}
  assert Agent(run.agent, EnvSpec(shown, ActionSpec(2))).parameter_count() > 0
