"""Start the processes of one run from Python, as a notebook does.

from cifar100.parallel.launch import launch
history = launch(find_recipe("resnet18_best"), processes=4)
"""

import uuid

from cifar100.errors import UserError
from cifar100.parallel.group import joined
from cifar100.parallel.watch import LOST
from cifar100.recipe import Recipe
from cifar100.runs.run import EpochRecord


def launch(recipe: Recipe, processes: int = 2, **options) -> list[EpochRecord]:
    """Train a recipe in so many new processes on this machine, for notebooks, and return the run's history.

    options: those of `fit`. Each epoch's line is printed. Raises UserError as `fit` does, and if a process dies. In a
    script, call it below `if __name__ == "__main__":`, since the new processes import the script.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if processes < 1:
        raise UserError(f"The number of processes must be 1 or more, not {processes}.")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        start_method="spawn",
    )
    try:
        results = elastic_launch(config, train_here)(recipe, options)
    except ChildFailedError as error:
        raise UserError(LOST) from error
    for message in (result for result in results.values() if isinstance(result, str)):
        raise UserError(message)
    return results[0]


def train_here(recipe: Recipe, options: dict) -> list[EpochRecord] | str | None:
    """What each process of `launch` does. Returns the history, or what went wrong where this process has to say it."""
    from cifar100.training.fit import fit
    from cifar100.training.progress import Progress, format_record

    history = []
    try:
        with joined() as group:
            progress = Progress(recipe) if group.rank == 0 else None
            for record in fit(recipe, group=group, **{"progress": progress} | options):
                history.append(record)
                if group.rank == 0:
                    print(format_record(record, recipe.epochs), flush=True)
    except UserError as error:
        return str(error)
    except SystemExit:  # another process says why
        return None
    return history
