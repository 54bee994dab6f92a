"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Put a text or bytes in place in one move; what stood there stays until then."""
    draft = path.with_name(f"{path.name}.draft")
    raw = content.encode("utf-8") if isinstance(content, str) else content
    try:
        draft.write_bytes(raw)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
