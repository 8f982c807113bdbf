"""The scripts beside the package."""

from experiments import random_returns


def test_random_actions_have_a_return(capsys):
  random_returns.main(["--task", "dmc/cartpole_balance", "--action-repeat", "50", "--episodes", "2"])
  mean = float(capsys.readouterr().out.split()[0])
  assert 50 < mean < 900
