"""The `${…}` language: looked up once when a suite is loaded, evaluated per request only where it must be.

    template = compile_text("/users/${randint(1, 100)}", suite.scope)
    template.constant or template.render(context)

This module is the face; the parts are `template_syntax` (the grammar), `template_functions` (uuid, randint, …),
`text_template` (names, the Scope) and `json_template` (bodies as bytes around holes).
"""

from perfcore.suite.json_template import JsonTemplate, JsonTemplateError, compile_json
from perfcore.suite.template_functions import FUNCTIONS, RenderContext
from perfcore.suite.text_template import Scope, Template, TemplateError, compile_text, text_of

__all__ = [
    "FUNCTIONS",
    "JsonTemplate",
    "JsonTemplateError",
    "RenderContext",
    "Scope",
    "Template",
    "TemplateError",
    "compile_json",
    "compile_text",
    "text_of",
]
