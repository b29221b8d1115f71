import pytest
import schemathesis
from hypothesis import settings
from schemathesis.checks import not_a_server_error
from service import app

schema = schemathesis.openapi.from_wsgi("/openapi.json", app)


@pytest.mark.migration_component("guardian-hive")
@schema.parametrize()
@settings(max_examples=5)
def test_api(case):
    case.call_and_validate(checks=[not_a_server_error])
