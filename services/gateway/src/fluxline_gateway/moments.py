"""Times that a request names."""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AwareDatetime, BeforeValidator

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _is_moment(value: object) -> object:
    """A time as RFC 3339 has it; pydantic would take numbers and dates too, which the document forbids."""
    if value is not None and not (isinstance(value, str) and _MOMENT.fullmatch(value)):
        raise ValueError("must be a time with its offset, like 2099-01-01T00:00:00Z")
    return value


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_is_moment)]
"""A point in time, with its offset from UTC."""
