"""Options of the deep tests. ``.ci/deep`` runs the whole matrix, ``pytest tests/deep -m sample`` a part."""

from __future__ import annotations

#: The suites run in their own environments.
collect_ignore = ["plugins"]
