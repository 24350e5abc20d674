"""The JSON Schema of results.json: `result.schema.json` beside this file, written by hand and shipped with perfcore."""

from pathlib import Path


def result_schema() -> str:
    """The schema (draft 2020-12) as JSON text, ending with a newline."""
    return (Path(__file__).parent / "result.schema.json").read_text("utf-8")
