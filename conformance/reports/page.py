"""The report as a page: a template and the data, in one file that needs no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seq.files import write_whole

TEMPLATE = Path(__file__).with_name("report.html")
PLACE = "/*data*/null"


def page(data: dict[str, Any]) -> str:
    """The page that shows what `Report.as_dict` says."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    # Inside a script, "</script>" and "<!--" would end or comment it out.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    template = TEMPLATE.read_text("utf-8")
    assert template.count(PLACE) == 1
    return template.replace(PLACE, text)


def write_page(path: Path, data: dict[str, Any]) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, page(data))
