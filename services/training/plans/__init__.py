"""The ways to serve the model that was trained: each is made, measured on the holdout, and one is chosen."""
