"""The version, alone in a file that costs nothing to import: `perfcore --version` answers from here."""

__version__ = "0.1.0"
