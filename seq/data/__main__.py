"""Fetch the public sets into a folder: `python -m seq.data FOLDER [SET ...]`."""

import argparse
import sys

from minigrad.errors import MinigradError
from seq.data.fetching import fetch, sources


def main() -> None:
    """Fetch each set, and say what came; exit with 1 if one of them did not."""
    parser = argparse.ArgumentParser(
        "python -m seq.data",
        description="Fetch the public sets, from pinned commits, by checksum.",
        epilog="example: python -m seq.data ~/data chorales sentiment",
    )
    parser.add_argument("folder", help="where the files go; MINIGRAD_DATA names it")
    parser.add_argument(
        "sets", nargs="*", metavar="SET", help=f"one of {', '.join(sources())}; all"
    )
    options = parser.parse_args()
    failed = 0
    for name in options.sets or sources():
        try:
            for path in fetch(name, options.folder):
                print(f"{name}: {path}")
        except MinigradError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    sys.exit(failed)


if __name__ == "__main__":
    main()
