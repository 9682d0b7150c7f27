"""``resilin doctor``: what is missing, and how to get it."""

import json


def add_arguments(parser, words):
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    from resilin.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not args.json:
            mark = "ok" if finding.ok else "missing" if finding.needed else "absent"
            print(f"{mark:8} {finding.name}: {finding.text}", flush=True)
            if not finding.ok:
                print(f"{'':8} {'to get it' if finding.needed else 'optional'}: {finding.remedy}")
    failed = [finding for finding in findings if finding.needed and not finding.ok]
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        print("All that is needed is here." if not failed else f"{len(failed)} things are missing.")
    return 1 if failed else 0
