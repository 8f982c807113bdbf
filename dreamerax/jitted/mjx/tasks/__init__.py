"""Rewards, observations and starts of the suite's tasks, as functions of a scene."""
