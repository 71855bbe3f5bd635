"""Ours for patient people: the stages of effort 9 with four times the annealing, minutes a picture on CPUs.

jaxicm encode photo.png photo.jicm --stages configs/latents_long.py
"""

from dataclasses import replace

from jaxicm.adapt.effort import EFFORTS
from jaxicm.adapt.stage import Stage


def config() -> tuple[Stage, ...]:
    """Return the stages: annealing, then the choice of single symbols."""
    anneal, *rest = EFFORTS[9]
    return (replace(anneal, iterations=640), *rest)
