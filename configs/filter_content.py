r"""Four filters behind VVC that compete for the content (system S1), from the filter of `configs/filter_vvc.py`.

jaxicm train configs/filter_content.py --data coded/train.npy \
  validation.folders=coded/validation.npy init=runs/filter_vvc

Baselines by the same command:
  filter.assignment=hard                                     the best filter alone learns from a crop
  filter.assignment=ranges filter.ranges=28,34,40            independent filters, one for each range of QPs
  filter.model.count=1                                       one filter, trained on
  filter.model.shared_kernels=true                           ours: one trunk, four sets of biases and slopes
"""

import dataclasses
import runpy
from pathlib import Path

from jaxicm.models.filter_set import FilterSetConfig
from jaxicm.objectives.competitive import Annealing
from jaxicm.train.config import TrainConfig
from jaxicm.train.filter import FilterTraining


def config() -> TrainConfig:
    """Return the configuration."""
    base: TrainConfig = runpy.run_path(str(Path(__file__).with_name("filter_vvc.py")))["config"]()
    return dataclasses.replace(
        base,
        name="filter_content",
        filter=FilterTraining(
            FilterSetConfig(count=4),
            # Relative errors of good filters differ by about a hundredth.
            annealing=Annealing(first=0.05, last=0.001, share=0.6, noise=0.05),
        ),
        optimizer=dataclasses.replace(base.optimizer, learning_rate=5e-4, warmup=20),
        validation=dataclasses.replace(base.validation, every=500),
        steps=1500,
    )
