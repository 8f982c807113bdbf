"""The plane of Embed to Control: a robot moves between six obstacles, seen from above."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

# Rows and columns, in pixels.
OBSTACLES = np.array([(20.5, 5.5), (20.5, 13.5), (20.5, 27.5), (20.5, 35.5), (10.5, 20.5), (30.5, 20.5)])
_DRAWN_RADIUS = 2  # of an obstacle, which blocks the robot as a point
_HALF = 1.5  # half the robot's side where it touches; drawn, it has 2 × 2 pixels
_WHOLE = 2.0  # likewise, where places are whole pixels
_NEAR = 2.0  # of the goal, in pixels


@dataclass(frozen=True)
class Plane:
  """A state is the row and the column of the robot, in pixels; an action is the step that it takes.

  A step ends at the walls, and is not taken where it would end on an obstacle; it may cross one.
  """

  whole: bool = False  # whether walls stop the robot on whole pixels: then whole steps from there lead to such, too
  side: int = field(default=40, init=False)  # of the picture
  frames: int = field(default=1, init=False)  # pictures that show a state
  limit: float = 3.0  # pixels along an axis in one step
  actions: int = field(default=2, init=False)

  def move(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The state [2] after a step [2]."""
    wall = _WHOLE if self.whole else _HALF
    reached = np.clip(state + action, wall, self.side - wall)
    return reached if self.allows(reached) else state

  def allows(self, state: np.ndarray) -> bool:
    """Whether the robot touches no obstacle there."""
    return not (np.abs(state - OBSTACLES) <= _HALF).all(-1).any()

  def in_goal(self, state: np.ndarray, goal: np.ndarray) -> bool:
    return bool(np.linalg.norm(state - goal) <= _NEAR)

  def draw(self, state: np.ndarray) -> np.ndarray:
    """uint8 [40, 40]: white on black."""
    picture = Image.new("L", (self.side, self.side))
    pen = ImageDraw.Draw(picture)
    for row, column in OBSTACLES.astype(int):
      corners = (column - _DRAWN_RADIUS, row - _DRAWN_RADIUS, column + _DRAWN_RADIUS, row + _DRAWN_RADIUS)
      pen.ellipse(corners, fill=255)
    pixels = np.array(picture)
    row, column = np.rint(state).astype(int)
    pixels[row - 1 : row + 1, column - 1 : column + 1] = 255
    return pixels
