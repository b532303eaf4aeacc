"""Training on RLlib: runner, learner and the run around them."""
