"""The digest of a checkpoint: of its header and of every tensor, whatever order they stand in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from kerastl.data.digests import DIGEST_SIZE


def digest_of(header: str, tensors: Mapping[str, np.ndarray]) -> str:
    """The digest, in hexadecimal.

    Args:
        header: Text of the JSON header.
        tensors: By name.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    digest.update(header.encode())
    for name, tensor in sorted(tensors.items()):
        about = json.dumps([name, str(tensor.dtype), tensor.shape])
        digest.update(about.encode())
        if tensor.size:
            digest.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
