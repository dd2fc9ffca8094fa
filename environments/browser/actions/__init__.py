"""What a policy may do in a browser: its JSON Schema, and the check that turns it into a request to the driver."""

from environments.browser.actions.kinds import KINDS
from environments.browser.actions.members import ActionError, Viewport
from environments.browser.actions.parse import ACTION_SCHEMA, action_schema, parse_action, read_kind

__all__ = ["ACTION_SCHEMA", "KINDS", "ActionError", "Viewport", "action_schema", "parse_action", "read_kind"]
