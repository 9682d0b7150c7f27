"""End-to-end jobs of ``resilin run``: every module in this folder is one, under its own name.

A job module has ``summary`` (one line), ``add_arguments(parser)`` and ``run(args)``, which returns the exit code. It
imports what is heavy inside ``run``, so that the command line answers at once.
"""

import importlib
import pkgutil

__all__ = ["load", "names"]


def names():
    """Names of the jobs, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name):
    """The module of the job called ``name``; a ``ValueError`` lists what there is."""
    if name not in names():
        raise ValueError(f"job = {name!r} is not known: the jobs are " + ", ".join(names()))
    return importlib.import_module(f"{__name__}.{name}")
