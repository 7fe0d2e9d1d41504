"""The module ``SampleData``: a register."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import slicer


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom", sampleName: str | None = None, customDownloader: Any = None, **more: Any
    ) -> None:
        source = SimpleNamespace(category=category, sampleName=sampleName, customDownloader=customDownloader, **more)
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)
