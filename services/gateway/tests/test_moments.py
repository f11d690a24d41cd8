"""A time in a request is RFC 3339 with its offset, and nothing that only could be taken for one."""

import pytest
from pydantic import TypeAdapter, ValidationError

from fluxline_gateway.moments import Moment

_MOMENT: TypeAdapter[object] = TypeAdapter(Moment)


@pytest.mark.parametrize("text", ["2026-11-25T10:00:00Z", "2026-11-25t10:00:00.5z", "2026-11-25T10:00:00+02:00"])
def test_a_time_with_its_offset_is_taken(text: str) -> None:
    assert _MOMENT.validate_python(text)


@pytest.mark.parametrize(
    "text", ["0.5", 0.5, "1795600800", "2026-11-25", "2026-11-25T10:00:00", "", "٢026-11-25T10:00:00Z"]
)
def test_numbers_dates_and_local_times_are_no_moments(text: object) -> None:
    with pytest.raises(ValidationError):
        _MOMENT.validate_python(text)
