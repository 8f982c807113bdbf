"""The suite's tasks by the names that dm_control has for them."""

from collections.abc import Callable, Mapping
from functools import partial

from dreamerax.jitted.mjx.tasks.acrobot import AcrobotTask
from dreamerax.jitted.mjx.tasks.ball_in_cup import BallInCupTask
from dreamerax.jitted.mjx.tasks.base import ArrayTask
from dreamerax.jitted.mjx.tasks.cartpole import CartpoleTask
from dreamerax.jitted.mjx.tasks.cheetah import CheetahTask
from dreamerax.jitted.mjx.tasks.finger import FingerSpinTask
from dreamerax.jitted.mjx.tasks.hopper import HopperTask
from dreamerax.jitted.mjx.tasks.pendulum import PendulumTask
from dreamerax.jitted.mjx.tasks.point_mass import PointMassTask
from dreamerax.jitted.mjx.tasks.reacher import ReacherTask
from dreamerax.jitted.mjx.tasks.walker import WalkerTask

TASKS: Mapping[str, Callable[..., ArrayTask]] = {
  "acrobot_swingup": AcrobotTask,
  "acrobot_swingup_sparse": partial(AcrobotTask, sparse=True),
  "ball_in_cup_catch": BallInCupTask,
  "cartpole_balance": partial(CartpoleTask, swing_up=False),
  "cartpole_balance_sparse": partial(CartpoleTask, swing_up=False, sparse=True),
  "cartpole_swingup": partial(CartpoleTask, swing_up=True),
  "cartpole_swingup_sparse": partial(CartpoleTask, swing_up=True, sparse=True),
  "cheetah_run": CheetahTask,
  "finger_spin": FingerSpinTask,
  "hopper_hop": partial(HopperTask, hopping=True),
  "hopper_stand": partial(HopperTask, hopping=False),
  "pendulum_swingup": PendulumTask,
  "point_mass_easy": PointMassTask,
  "reacher_easy": ReacherTask,
  "reacher_hard": ReacherTask,
  "walker_run": partial(WalkerTask, speed=8),
  "walker_stand": partial(WalkerTask, speed=0),
  "walker_walk": partial(WalkerTask, speed=1),
}
