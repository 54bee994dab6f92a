"""The public sets by name: fetched from pinned commits, held to their checksums."""

import csv
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from minigrad.errors import ArgumentError, MissingExtraError
from seq.data.errors import DataError, MissingDataError

ORIGIN = "https://raw.githubusercontent.com"
SECONDS = 30
"""How long a server may stay silent."""


class Source(NamedTuple):
    """Where a file of a set is from, and what it must be."""

    set: str
    file: str
    repository: str
    commit: str
    path: str
    bytes: str
    sha256: str


@cache
def sources() -> dict[str, list[Source]]:
    """The files of each set, from the table `sources.tsv`."""
    text = files("seq.data").joinpath("sources.tsv").read_text("utf-8")
    found: dict[str, list[Source]] = {}
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        found.setdefault(row["set"], []).append(Source(**row))
    return found


def fetch(name: str, folder: str | Path, origin: str = ORIGIN) -> list[Path]:
    """The files of the set `name`, in the folder; those that are there stay.

    A file is written whole, with the checksum of the table, or not at all. origin: the
    server, which has repository/commit/path. Raises ArgumentError for a name that the
    table doesn't have, MissingExtraError without pooch, MissingDataError if the server
    can't be reached or breaks off, DataError for a file with another checksum.
    """
    if name not in sources():
        raise ArgumentError(f"no set {name!r}; there are {', '.join(sources())}")
    return [_fetch(source, Path(folder), origin) for source in sources()[name]]


def _fetch(source: Source, folder: Path, origin: str) -> Path:
    path = folder / source.file
    if path.exists():
        if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
            raise DataError(
                f"{path} is not the pinned file (another checksum); move it away to "
                "have it fetched, or read it as your own"
            )
        return path
    try:
        import pooch
        from requests import RequestException
    except ImportError as error:
        raise MissingExtraError(
            "fetching data needs pooch; install it with: pip install 'minigrad[data]'"
        ) from error
    url = f"{origin}/{source.repository}/{source.commit}/{source.path}"
    quiet = pooch.get_logger().level
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            url,
            f"sha256:{source.sha256}",
            path.name,
            path.parent,
            downloader=pooch.HTTPDownloader(timeout=SECONDS),
        )
    except (RequestException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingDataError(
            f"{source.file} could not be fetched from {url}: {reason}; try again, or "
            f"put the file into {folder} yourself"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{url} is not the pinned file: its checksum is not {source.sha256}; "
            "nothing was written"
        ) from error
    finally:
        pooch.get_logger().setLevel(quiet)
    return path
