"""Questions over tables that are made up for each task: by SQL, and as files that have to be cleaned first."""

from __future__ import annotations

from environments.tools.tasks.tables import databases, notes
from environments.tools.tasks.template import Template

TEMPLATES: tuple[Template, ...] = (*databases.TEMPLATES, *notes.TEMPLATES)
