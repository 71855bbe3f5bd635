"""Changing some parameters for one picture, where the true cost falls."""
