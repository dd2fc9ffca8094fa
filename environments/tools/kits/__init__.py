"""The kits that ship with envserver, by the names that tasks and callers ask for them by."""

from __future__ import annotations

from collections.abc import Mapping

from environments.tools.kit import Kit
from environments.tools.kits.browser import BrowserKit
from environments.tools.kits.calculator import CalculatorKit
from environments.tools.kits.code import BashKit, PythonKit
from environments.tools.kits.files import FilesKit
from environments.tools.kits.image import ImageKit
from environments.tools.kits.search import RetrievalKit, SearchKit
from environments.tools.kits.sql import SqlKit
from environments.tools.worlds.kit import WorldKit
from environments.tools.worlds.recording import RecordingKit

KITS: Mapping[str, type[Kit]] = {
    kit.name: kit
    for kit in (
        SearchKit,
        RetrievalKit,
        CalculatorKit,
        PythonKit,
        BashKit,
        FilesKit,
        SqlKit,
        ImageKit,
        WorldKit,
        RecordingKit,
        BrowserKit,
    )
}
