"""The bench: shipped firmware in closed loop with an emulated town."""
