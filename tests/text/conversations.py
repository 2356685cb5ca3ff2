"""Conversations that templates are tried on, with what templates differ in."""

from typing import Any

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'Weather of <a> & "city" é',
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Näme"},
                    "days": {"type": "integer", "enum": [1, 2]},
                },
                "required": ["city"],
            },
        },
    }
]


def call(arguments: Any) -> list[dict[str, Any]]:
    """An assistant's call of the tool; templates differ in wanting an object or its JSON."""
    function = {"name": "get_weather", "arguments": arguments}
    return [{"type": "function", "id": "abcdefghi", "function": function}]


SYSTEM = {"role": "system", "content": "Be nice."}
USER = {"role": "user", "content": "  Hello <|im_end|> wörld \n"}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi there "}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "12 °C"}

CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ANSWER, {"role": "user", "content": "more"}],
    "turns without system": [USER, ANSWER, USER],
    "tool call": [
        SYSTEM,
        USER,
        {"role": "assistant", "content": "", "tool_calls": call({"city": "Köln & <b>", "days": 1})},
        RESULT,
        ANSWER,
        USER,
    ],
    "tool call without content": [
        USER,
        {"role": "assistant", "content": None, "tool_calls": call({"city": "Köln"})},
        {**RESULT, "content": '{"t": 12}'},
    ],
    "tool call as JSON": [
        USER,
        {"role": "assistant", "content": "let me", "tool_calls": call('{"city": "Köln"}')},
        RESULT,
        ANSWER,
    ],
    "reasoning": [
        USER,
        {"role": "assistant", "content": "Hi", "reasoning_content": "because"},
        USER,
    ],
    "unknown role": [{"role": "pirate", "content": "arr"}],
    "two questions": [USER, USER],
    "nothing": [],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
}
