"""Import paths of kerastl 0.1 that were documented, and where their modules are now."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

OLD_PATHS = {
    "kerastl.calibration": "kerastl.evaluation.calibration",
    "kerastl.callbacks": "kerastl.model.divergence",
    "kerastl.classifier": "kerastl.model.classifier",
    "kerastl.losses": "kerastl.model.losses",
    "kerastl.rate_finder": "kerastl.optimizers.rate_finder",
    "kerastl.saving": "kerastl.model.files",
    "kerastl.schedules": "kerastl.optimizers.schedules",
}


class OldPaths(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under the path that it had, as the same module object."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in OLD_PATHS:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(OLD_PATHS[spec.name])
        self._specs = {**getattr(self, "_specs", {}), spec.name: module.__spec__}
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Python has put the old path's spec on the module; its own one comes back.
        for old, new in OLD_PATHS.items():
            if module.__name__ == new and old in self._specs:
                module.__spec__ = self._specs[old]


def keep_old_paths() -> None:
    """Let the documented paths of kerastl 0.1 go on working."""
    if not any(isinstance(finder, OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(OldPaths())
