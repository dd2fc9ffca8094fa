"""The root of every exception that envserver raises on purpose."""


class EnvserverError(Exception):
    """Base of all errors with a meaning; anything else that escapes is a defect of ours."""
