"""What can be said of a CSV file beforehand, strictly."""

from typing import Any

import pytest
from marshmallow import ValidationError

from cashman.formats.headings import ROLES
from cashman.formats.mapping import MappingSchema


def errors_of(mapping: Any) -> Any:
    with pytest.raises(ValidationError) as raised:
        MappingSchema().load(mapping)
    return raised.value.messages


def test_a_full_mapping_is_taken_as_it_is() -> None:
    mapping = {
        "separator": ";", "decimal": ",", "date_order": "DMY", "header": True, "skip": 4, "sign": "reversed",
        "columns": {role: place for place, role in enumerate(ROLES, start=1)} | {"date": "Buchungstag", "type": None},
    }  # fmt: skip
    assert MappingSchema().load(mapping) == mapping
    assert MappingSchema().load({}) == {}


@pytest.mark.parametrize(
    ("mapping", "rule"),
    [
        ({"separator": "x"}, "Must be one of"), ({"separator": ",;"}, "Must be one of"), ({"separator": 1}, "string"),
        ({"decimal": "'"}, "Must be one of"), ({"date_order": "YDM"}, "Must be one of"),
        ({"sign": "-"}, "Must be one of"),
        ({"header": 1}, "Not true or false."), ({"header": "true"}, "Not true or false."),
        ({"skip": -1}, "from 0 to 1000"), ({"skip": 1_001}, "from 0 to 1000"), ({"skip": True}, "from 0 to 1000"),
        ({"skip": 1.0}, "from 0 to 1000"), ({"skip": "1"}, "from 0 to 1000"), ({"skip": None}, "null"),
        ({"colums": {}}, "Unknown field."),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_its_name(mapping: dict[str, Any], rule: str) -> None:
    errors = errors_of(mapping)
    assert [*errors] == [*mapping]
    assert rule in errors[next(iter(mapping))][0]


@pytest.mark.parametrize("column", [0, -1, 1_001, True, 1.5, [], {}, "", "  ", "x" * 201, "a\0"])
def test_a_column_is_a_name_or_a_number_from_1(column: Any) -> None:
    assert [*errors_of({"columns": {"date": column}})["columns"]] == ["date"]


def test_only_what_a_movement_has_can_be_a_column() -> None:
    assert errors_of({"columns": {"balance": 1}}) == {"columns": {"balance": ["Unknown field."]}}
    assert errors_of({"columns": {"remark": 1}}) == {"columns": {"remark": ["Unknown field."]}}
    assert errors_of({"columns": [1]}) == {"columns": {"_schema": ["Invalid input type."]}}


@pytest.mark.parametrize("mapping", [[], "x", None, 1])
def test_a_mapping_is_an_object(mapping: Any) -> None:
    assert errors_of(mapping) == {"_schema": ["Has to be a JSON object."]}
