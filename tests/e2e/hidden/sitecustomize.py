"""With this folder on PYTHONPATH the packages named in EDGEKIT_TEST_HIDDEN (comma-separated) are not installed."""

import os
import sys

_HIDDEN = set(os.environ.get("EDGEKIT_TEST_HIDDEN", "").split(","))


class _Hiding:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in _HIDDEN else self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)


sys.meta_path[:] = [_Hiding(finder) for finder in sys.meta_path]
