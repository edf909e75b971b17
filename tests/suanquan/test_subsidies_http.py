"""Questions and answers of the policy clauses through the real service: facts in query or body, refusals, metrics."""

import json
import urllib.parse

import pytest

from suanquan.http.questions import PARAMETERS_MAX
from tests.suanquan.harness import assert_problem, request

DAY = "2025-09-01"
FINANCE = "323:(七)"
PASSES = {"company_is_large_model_or_generative_ai_related": True, "company_size": "small", "has_loan_need": True}
CENTRE = {
    "centre_built_in_songjiang": True,
    "green_power_share": "0.10",
    "pue": "1.2499",
    "compute_pflops_fp16_dense": "20000",
    "compute_equipment_investment_yuan": 3_000_000_000,
    "meets_latest_shanghai_data_centre_guideline": True,
    "meets_municipal_energy_and_new_build_rules": True,
    "project_received_national_or_municipal_support": False,
    "project_district_matching_funds_paid": False,
    "project_supported_under_other_industrial_policy": False,
}


def get(service, path, **query):
    text = urllib.parse.urlencode(query, doseq=True)
    return request(service.url, "GET", f"/v1/subsidies/{path}?{text}")


def post(service, path, **body):
    return request(
        service.url, "POST", f"/v1/subsidies/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )


def test_facts_in_the_query_and_in_the_body_get_the_same_questions(service):
    """The next question, the clauses it settles and where each clause stands; a skipped fact is not asked again."""
    query = get(
        service,
        "questions",
        on=DAY,
        clause=[FINANCE],
        company_size="small",
        levels_already_rewarded="national;district",
    )
    body = post(
        service,
        "questions",
        on=DAY,
        clauses=[FINANCE],
        facts={"company_size": "small", "levels_already_rewarded": ["national", "district"]},
    )
    assert query.content == body.content
    assert {item["fact"] for item in query.content["questions"]} == PASSES.keys() - {"company_size"}
    assert query.content["next"] == query.content["questions"][0]
    assert [(clause["clause"], clause["status"]) for clause in query.content["clauses"]] == [
        (FINANCE, "need_more_info")
    ]
    skipped = [item["fact"] for item in query.content["questions"]]
    assert (
        get(service, "questions", on=DAY, clause=[FINANCE], company_size="small", skip=skipped).content["next"] is None
    )


def test_an_inquiry_without_facts_asks_what_settles_most(service):
    """Nobody has to know a clause: all that give something are asked about, and the day is today unless one is named."""
    answer = request(service.url, "GET", "/v1/subsidies/questions").content
    assert len(answer["clauses"]) == 16
    assert len(get(service, "questions", on=DAY).content["next"]["clauses"]) > 1
    assert answer["on"] > "2026-01-01"


def test_an_evaluation_explains_itself_to_the_yuan(service):
    """3,000,000,000 yuan pass where one yuan less fails, through JSON and all; the explanation has quote, line and department."""
    enough = post(service, "evaluations", on=DAY, clauses=["323:(一)1"], facts=CENTRE).content["answers"][0]
    short = post(
        service,
        "evaluations",
        on=DAY,
        clauses=["323:(一)1"],
        facts=CENTRE | {"compute_equipment_investment_yuan": 2_999_999_999},
    ).content["answers"][0]
    assert (enough["status"], enough["needs_human"]) == ("eligible", True)
    assert (short["status"], short["reasons"]) == ("not_eligible", ["equipment_investment_at_least"])
    (change,) = short["explanation"]["nearest_pass"]
    assert (change["operator"], change["threshold"], change["value"]) == (">=", 3_000_000_000, 2_999_999_999)
    (failed,) = [condition for condition in short["explanation"]["conditions"] if condition["verdict"] == "failed"]
    assert (failed["document"], failed["line"], failed["department"]) == ("松发改字〔2024〕323号", 53, "区发改委")


def test_alive_but_not_open_is_an_answer(service):
    """After the implementing rules expired, the clause lives and takes no application; both lives are told."""
    answer = post(service, "evaluations", on="2026-11-22", clauses=["323:(四)1"], facts={}).content["answers"][0]
    assert answer["status"] == "not_open"
    assert [(life["layer"], life["state"]) for life in answer["explanation"]["lives"]] == [
        ("entitlement", "in_force"), ("procedure", "expired"), ("duplicates", "in_force"), ("duplicates", "expired"),
    ]  # fmt: skip
    listed = {clause["clause"]: clause for clause in get(service, "clauses", on="2026-11-22").content}
    assert (listed["323:(四)1"]["open"], listed["323:(四)1"]["reason"]) == (False, "implementing_rules_not_in_force")
    assert listed["323:(二)1"]["open"] is True
    assert listed["323:(三)"]["open"] is False


@pytest.mark.parametrize(
    ("query", "pointer", "advice"),
    [
        ({"pue": "1,2"}, "/facts/pue", "must be a decimal such as 0.10"),
        ({"peu": "1.2"}, "/facts/peu", "did you mean `pue`?"),
        ({"has_loan_need": "yes"}, "/facts/has_loan_need", "must be true or false"),
        ({"pue": ["1.2", "1.3"]}, "/facts/pue", "`pue` is repeated"),
        ({"on": "2025-9-1"}, "/on", "must be a day such as 2025-05-26"),
    ],
)
def test_a_fact_that_cannot_be_taken_is_named(service, query, pointer, advice):
    """Each refusal points to the fact and says what to write."""
    answer = get(service, "questions", **query)
    assert_problem(answer, 422, "facts-refused")
    assert [error["pointer"] for error in answer.content["errors"]] == [pointer]
    assert advice in answer.content["errors"][0]["detail"]


def test_floats_unknown_clauses_and_floods_are_refused(service):
    """A JSON float is no decimal; a clause that does not exist is 404; a thousand unknown names get twenty pieces of advice."""
    answer = post(service, "evaluations", facts={"pue": 1.2499})
    assert_problem(answer, 422, "facts-refused")
    assert "not 1.2499" in answer.content["errors"][0]["detail"]
    unknown = post(service, "questions", clauses=["323:(十)"])
    assert (unknown.status, unknown.content["code"]) == (404, "clause-unknown")
    assert_problem(
        post(service, "questions", facts={f"f{at}": 1 for at in range(PARAMETERS_MAX + 1)}), 422, "request-invalid"
    )
    assert len(post(service, "questions", facts={f"f{at}": 1 for at in range(PARAMETERS_MAX)}).content["errors"]) == 20
    assert_problem(get(service, "questions", skip=["x"] * (PARAMETERS_MAX + 1)), 422, "facts-refused")
    assert_problem(post(service, "questions", fact={}), 422, "request-invalid")


def test_metrics_count_answers_and_tell_when_documents_expire(service):
    """Every series is there from the start; an answer counts under its clause and status."""
    first = metrics(service)
    assert first['policy_expiry_timestamp_seconds{document="323"}'] == 1822320000
    assert first['policy_expiry_timestamp_seconds{document="16"}'] == 1779724800
    assert first['subsidy_clause_open{clause="323:(三)"}'] == 0
    counted = 'subsidy_evaluations_total{clause="323:(七)",status="eligible"}'
    assert first[counted] == 0
    post(service, "evaluations", on=DAY, clauses=[FINANCE], facts=PASSES)
    assert metrics(service)[counted] == 1


def metrics(service):
    lines = request(service.url, "GET", "/metrics").content.decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}
