"""Questions about pictures that are drawn for them: what is asked is nowhere written, but can be seen and measured."""

from __future__ import annotations

from environments.tools.tasks.pictures import charts, crowds, maps
from environments.tools.tasks.template import Template

TEMPLATES: tuple[Template, ...] = (*charts.TEMPLATES, *maps.TEMPLATES, *crowds.TEMPLATES)
