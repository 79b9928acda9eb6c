"""Checksums of published weights: in the name of a file, in its zip entries, beside its package."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

from kerastl.errors import WeightsError

_PIECE = 2**20
# As in resnet18-f37072fd.pth: the first digits of SHA-256, which torch.hub checks as it downloads.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[A-Za-z]\w*$")


def check_hash(file: Path, *, is_published: bool = False) -> None:
    """Refuse a weights file whose content is not what its name and its own checksums say.

    Args:
        file: The file; it exists.
        is_published: Whether the name is known to be a publisher's. A number
            of eight digits in another name may be a date or the number of a job.

    Raises:
        WeightsError: Saying which checksum differs.
    """
    found = _HASH_IN_NAME.search(file.name)
    if found and (is_published or not found[1].isdigit()):
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            while piece := opened.read(_PIECE):
                digest.update(piece)
        if not digest.hexdigest().startswith(found[1]):
            raise WeightsError(
                f"The weights file {file} is damaged: its name says that its SHA-256 begins with "
                f"{found[1]}. Received: {digest.hexdigest()[: len(found[1])]}. Download it again; "
                "if that is no checksum, give the file another name."
            )
    _check_entries(file)


def _check_entries(file: Path) -> None:
    """Compare the checksums that `torch.save` writes; torch itself does not."""
    try:
        if not zipfile.is_zipfile(file):
            return
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if not entry.CRC:  # none was written (torch.serialization.set_crc32_options)
                    continue
                with archive.open(entry) as opened:
                    while opened.read(_PIECE):
                        pass
    except Exception as error:  # whatever zipfile makes of broken bytes
        raise WeightsError(
            f"The weights file {file} is damaged ({error}). Get it anew, or save it again with "
            "`torch.save(model.state_dict(), path)`."
        ) from error
