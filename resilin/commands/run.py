"""``resilin run``: end-to-end jobs, one module each in resilin/jobs."""

from resilin import jobs


def add_arguments(parser, words):
    commands = parser.add_subparsers(title="jobs", metavar="JOB", required=True)
    named = next((word for word in words if not word.startswith("-")), None)
    for name in jobs.names():
        if named in (None, name):
            module = jobs.load(name)
            job = commands.add_parser(name, help=module.summary, description=module.summary)
            module.add_arguments(job)
            job.set_defaults(job=module)
        else:
            commands.add_parser(name)


def run(args):
    return args.job.run(args)
