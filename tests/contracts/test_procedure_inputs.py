"""Malformed applications: each fault names its field and says what to write instead."""

import pytest

from ledger.errors import DomainError
from tests.subsidy.procedure_samples import materials

BAD = [
    ({"facts": {"pue": 1.25}}, "/facts/pue"),
    ({"facts": {"no_such_fact": True}}, "/facts/no_such_fact"),
    ({"facts": {"security_test_fee_yuan": "30万"}}, "/facts/security_test_fee_yuan"),
    ({"materials": [{"id": "application_forms"}]}, "/materials/0/id"),
    ({"materials": materials(application_form={"sha256": "abc"})}, "/materials/0/sha256"),
    ({"materials": materials(application_form={"pages": 1.5})}, "/materials/0/pages"),
    ({"costs": [{"issuer": "a", "document": "b", "yuan": 300000}]}, "/costs/0/yuan"),
    ({"costs": [{"issuer": "a", "yuan": "1"}]}, "/costs/0"),
    ({"extra": "x"}, "/extra"),
    ({"project": " "}, "/project"),
]


@pytest.mark.parametrize(("changes", "where"), BAD)
async def test_malformed_input_names_its_field(bureau, changes, where):
    """Each fault says where it is and what to write instead, in two languages."""
    round_ = await bureau.call()
    with pytest.raises(DomainError) as caught:
        await bureau.submit(round_, **changes)
    assert caught.value.code == "inputs-malformed"
    assert where in [finding.where for finding in caught.value.findings]
