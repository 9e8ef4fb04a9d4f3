"""The library's kinds of error in the words of this config."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from relay.channels import CHANNEL_TYPES

NO_TYPE = ("union_tag_invalid", "union_tag_not_found")
"""The kinds of error that concern a channel's `type`."""

_MESSAGES = {
    "missing": "is required",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of less than 4,000 digits",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "path_type": "must be a path",
    "list_type": "must be a list, such as [a, b]",
    "tuple_type": "must be a list, such as [a, b]",
    "dict_type": "must be keys and values",
    "mapping_type": "must be keys and values",
    "model_type": "must be keys and values",
    "model_attributes_type": "must be keys and values, such as {{type: telegram, chat_id: -1001234567890}}",
    "union_tag_not_found": "is required: one of {types}",
    "union_tag_invalid": "must be one of {types}",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "holds characters that cannot stand here",
    "too_short": "needs at least {min_length}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}


def message(error: ErrorDetails) -> str:
    """What is wrong in the words of this config; never the value itself, which may be a secret."""
    template = _MESSAGES.get(error["type"])
    if template is None:
        return error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    types = ", ".join(CHANNEL_TYPES)
    return template.format(**error.get("ctx", {}) | {"types": types})
