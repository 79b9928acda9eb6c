"""The user's cache folder, where what can be computed again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "KERASTL_CACHE"


def user_cache(name: str) -> Path:
    """Where one kind of thing is kept: below `KERASTL_CACHE`, else in the user's cache folder.

    Args:
        name: Of the folder there.
    """
    import platformdirs

    given = os.environ.get(FOLDER_VARIABLE)
    base = (
        Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("kerastl", False))
    )
    return base / name
