"""What can stop the tools from being there."""


class ToolError(Exception):
    """A real part of the tests cannot be had on this machine; the text says what is missing and how to get it."""
