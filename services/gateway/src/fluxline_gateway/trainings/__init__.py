"""Trainings: requests, state, what watches over them."""
