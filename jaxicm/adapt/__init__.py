"""Changing latents or some parameters for one picture or clip, where the true cost falls."""
