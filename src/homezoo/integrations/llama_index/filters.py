"""LlamaIndex's metadata filters, applied to a node's metadata."""

from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from homezoo.errors import OptionError

_TESTS: dict[FilterOperator, Callable[[Any, Any], bool]] = {
    FilterOperator.EQ: lambda have, want: bool(have == want),
    FilterOperator.NE: lambda have, want: bool(have != want),
    FilterOperator.GT: lambda have, want: bool(have > want),
    FilterOperator.GTE: lambda have, want: bool(have >= want),
    FilterOperator.LT: lambda have, want: bool(have < want),
    FilterOperator.LTE: lambda have, want: bool(have <= want),
    FilterOperator.IN: lambda have, want: have in want,
    FilterOperator.NIN: lambda have, want: have not in want,
    FilterOperator.CONTAINS: lambda have, want: want in have,
    FilterOperator.ANY: lambda have, want: any(one in have for one in want),
    FilterOperator.ALL: lambda have, want: all(one in have for one in want),
    FilterOperator.TEXT_MATCH: lambda have, want: str(want) in str(have),
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda have, want: (
        str(want).lower() in str(have).lower()
    ),
}


def passes(filters: MetadataFilters, metadata: Mapping[str, Any]) -> bool:
    """Whether a node's metadata pass; OptionError for an operator that is not known."""
    results = (
        passes(one, metadata) if isinstance(one, MetadataFilters) else _passes_one(one, metadata)
        for one in filters.filters
    )
    if filters.condition == FilterCondition.OR:
        return any(results)
    if filters.condition == FilterCondition.NOT:
        return not any(results)
    return all(results)


def _passes_one(one: MetadataFilter, metadata: Mapping[str, Any]) -> bool:
    have = metadata.get(one.key)
    if one.operator == FilterOperator.IS_EMPTY:
        return have is None or have in ("", [])
    if one.operator not in _TESTS:
        raise OptionError(f"metadata filter {one.operator.value!r} is not supported")
    if have is None:  # as in LlamaIndex's own store: what is not there is unequal to everything
        return one.operator in (FilterOperator.NE, FilterOperator.NIN)
    try:
        return _TESTS[one.operator](have, one.value)
    except TypeError:
        return False  # such as a number compared with a text
