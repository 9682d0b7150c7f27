"""One module a command: ``add_arguments(parser, words)`` and ``run(args)``, which returns the exit code."""
