"""What a user can do wrong, as one line."""


class BadInput(Exception):
    """Input that cannot be used: the message names the file, key or value at fault and the way out (exit code 2)."""
