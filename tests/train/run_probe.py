"""A training run in a process of its own: CONFIG_JSON RUN [COORDINATOR COUNT INDEX]. Not a test.

It prints the error of a run that cannot be, as the command line does, and then leaves with exit code 2.
"""

import json
import sys
from pathlib import Path

from jaxicm import compilation
from jaxicm.configuration import from_dict, to_dict
from jaxicm.errors import JaxicmError


def main() -> int:
    """Run."""
    settings, run, *group = sys.argv[1:]
    try:
        if group:
            from jaxicm.train.processes import start_processes

            start_processes(group[0], int(group[1]), int(group[2]))
        compilation.use_compilation_cache()
        options = {**compilation.training_options(), "xla_backend_optimization_level": 0}
        compilation.training_options = lambda: options  # before the modules that take it

        from jaxicm.train.config import TrainConfig
        from jaxicm.train.loop import train_run
        from jaxicm.train.processes import same_everywhere

        config = from_dict(TrainConfig, json.loads(settings))
        same_everywhere("the configuration", json.dumps(to_dict(config)))
        train_run(config, Path(run), resume=True)
    except JaxicmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
