"""Backdesk: the backend of internal admin panels."""

__version__ = "0.1.0"
