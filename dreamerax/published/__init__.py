"""Published scores on the DeepMind Control Suite and the tasks of Embed to Control, and how they were measured.

scores.csv has final figures computed from the score files that the authors publish with their code (column source): one row
for each method, task and number of env steps, mean and sample standard deviation over seeds. Each value is the mean return in
a window that ends at that step (see `WINDOW`). Rows without seeds are values that danijar/dreamer quotes as baselines. Rows of
e2c/ tasks are the share of steps in the goal that Shu et al. 2020 report, times the steps of an episode.
"""

from dreamerax.published.scores import METHODS, WINDOW, Method, Score, curve, scores, task_of

__all__ = ["METHODS", "WINDOW", "Method", "Score", "curve", "scores", "task_of"]
