"""Codes of errors of our own, told in place of a server's answer."""

from typing import Final

NOT_CARRIED_OUT: Final = -32_099
"""Nothing of the request was carried out: nobody was reached, or the server sent us away."""
