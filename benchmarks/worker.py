"""python -m benchmarks.worker REQUEST RESULT: one run, in a process made for it."""

import json
import sys
from pathlib import Path

from benchmarks import threads


def main() -> None:
    """Pin this process, then load the libraries, measure, and write the run."""
    request, result = sys.argv[1:]
    options = json.loads(request)
    threads.pin(options["threads"])
    try:
        from benchmarks import results, suite
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; pip install 'minigrad[conformance]' brings what is needed")
    cases = list(suite.SUITES[options["suite"]](options["threads"], options["quick"]))
    chosen = [c for c in cases if options["only"].lower() in c.label.lower()]
    if not chosen:
        names = ", ".join(dict.fromkeys(case.part for case in cases))
        sys.exit(f"--only {options['only']}: in no label; the parts are {names}")
    run = suite.run(options["threads"], options["quick"], chosen)
    results.dump(Path(result), [run])


if __name__ == "__main__":
    main()
