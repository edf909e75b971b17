"""Advice to schedulers: over HTTP, by the shipped prolog under sh, and as a Kubernetes admission webhook."""

import json
import os
import shutil
import subprocess
import urllib.parse

import pytest

from suanquan.use_cases import setup
from tests.shared_data import ROOT
from tests.suanquan.harness import ThreadedService, assert_problem, figures, give, request
from voucher.holder import sandbox_uscc

PROLOG = ROOT / "config/slurm/suanquan-prolog.sh"
TRES = "cpu=2,mem=1000M,node=1,billing=38"


@pytest.fixture
def asked(installation):
    """A service, an account with a voucher of 100 yuan, and the token of its centre's scheduler."""
    with ThreadedService(installation.home) as running:
        running.call(give(running.service, sandbox_uscc(1), "100", accounts=["covered", "登记 a/b"]))
        yield running, running.call(setup.register_scheduler(running.service.journal, "sj01"))


def advice(asked, account="covered", *, token=None, centre="sj01", accept="application/json", **query):
    running, own = asked
    asked_for = {"account": account, "model": "A100", "cards": "1", "hours": "8"} | query
    path = f"/v1/advice/{centre}?{urllib.parse.urlencode(asked_for, doseq=True)}"
    return request(running.url, "GET", path, headers={"authorization": f"Bearer {token or own}", "accept": accept})


def test_an_advice_says_what_the_debit_will_be(asked):
    """Eight hours of an A100 are 96 yuan and covered; nine are not, and it is said for how long the voucher lasts."""
    found = advice(asked).content
    assert (found["allowed"], found["price_yuan"], found["covered_yuan"]) == (True, "96.000000", "96.000000")
    assert (found["reasons"], found["balance"]) == ([], {"CNY": "100.000000"})
    longer = advice(asked, hours="9").content
    assert (longer["allowed"], longer["price_yuan"], longer["self_pay_yuan"]) == (False, "108.000000", "8.000000")
    assert [one["code"] for one in longer["reasons"]] == ["balance-short"]
    assert longer["covered_ms"] == (8 * 60 + 20) * 60_000, "100 yuan at 12 an hour"
    assert advice(asked, hours="9", need="some").content["allowed"]
    assert advice(asked, hours="", seconds="28800").content["price_yuan"] == "96.000000"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"hours": "9"},
        {"account": "nobody"},
        {"model": "Nobody's"},
        {"model": ["A100", "H100"], "cards": ["1", "2"]},
    ],
    ids=str,
)
def test_both_ways_give_the_same_advice(asked, query):
    """The framework, which is asked where a member is not known to the quick way, says what the quick way says; in words, too."""
    for accept in ("application/json", "text/plain"):
        quick, slow = (advice(asked, accept=accept, **query, **more) for more in ({}, {"x": "1"}))
        if accept == "application/json":
            assert quick.content.pop("as_of") <= slow.content.pop("as_of")
        assert (quick.status, quick.content) == (slow.status, slow.content)
        assert quick.headers["content-type"] == slow.headers["content-type"]


def test_no_account_is_said_by_the_framework(asked):
    """What is missing is named, and a centre's name that is too long is none."""
    running, own = asked
    path = "/v1/advice/sj01?model=A100&cards=1&hours=1"
    answer = request(running.url, "GET", path, headers={"authorization": f"Bearer {own}"})
    assert_problem(answer, 422, "request-invalid")
    assert advice(asked, centre="x" * 300).status == 422


@pytest.mark.parametrize(
    ("query", "allowed", "code"),
    [
        ({"account": "nobody"}, False, "account-unbound"),
        ({"model": "Nobody's"}, False, "model-unknown"),
        ({"model": "Nobody's", "need": "none"}, True, "model-unknown"),
        ({"cards": "1001", "hours": "0.001"}, False, "over-capacity"),
        ({"account": "nobody", "need": "none"}, True, "account-unbound"),
    ],
)
def test_a_refusal_has_a_reason(asked, query, allowed, code):
    """No holder, an unknown card, more cards than there are: each is said; `need=none` advises and refuses nothing."""
    found = advice(asked, **query).content
    assert (found["allowed"], [one["code"] for one in found["reasons"]][:1]) == (allowed, [code])


def test_a_job_of_several_models_is_asked_for_as_one(asked):
    """Two cards of two models are priced together."""
    found = advice(asked, model=["A100", "H100-SXM"], cards=["1", "0.5"], hours="1").content
    alone = [
        advice(asked, model=m, cards=c, hours="1").content["price_yuan"]
        for m, c in (("A100", "1"), ("H100-SXM", "0.5"))
    ]
    assert found["price_yuan"] == f"{sum(map(float, alone)):.6f}"


@pytest.mark.parametrize(
    "query",
    [{"cards": "0"}, {"cards": "-1"}, {"hours": "x"}, {"hours": "1e9"}, {"need": "maybe"}, {"cards": ["1", "2"]}],
)
def test_what_cannot_be_understood_is_named(asked, query):
    """A problem says which member is wrong."""
    answer = advice(asked, **query)
    assert_problem(answer, 422, "advice-malformed")
    assert next(iter(query)) in answer.content["detail"]


def test_a_scheduler_asks_about_its_own_centre_alone(asked, installation):
    """Its token opens neither another centre nor anything else; an officer may ask about any; a stranger about none."""
    running, own = asked
    assert_problem(advice(asked, centre="sj02"), 403, "foreign-centre")
    assert_problem(advice(asked, centre="nowhere", token=installation.token), 404, "centre-unknown")
    assert advice(asked, centre="sj02", token=installation.token).status == 200
    assert_problem(advice(asked, token="sqt_wrong"), 401, "token-unknown")
    listed = request(running.url, "GET", "/v1/centres", headers={"authorization": f"Bearer {own}"})
    assert_problem(listed, 403, "not-permitted")
    assert running.call(figures(running.service.database, running.service.catalog)).records == 0


# ---- the prolog


class Slurm:
    """A controller: its folder of settings, and a `scontrol` that prints what the real one prints of a job."""

    def __init__(self, folder, asked):
        self.folder, (self.running, token) = folder, asked
        (folder / "bin").mkdir()
        (folder / "token").write_text(token + "\n")
        self.settings = {
            "SUANQUAN_URL": self.running.url,
            "SUANQUAN_CENTRE": "sj01",
            "SUANQUAN_TOKEN_FILE": str(folder / "token"),
        }

    def scontrol(self, line):
        program = self.folder / "bin/scontrol"
        program.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "-o show job" ] && cat <<X\n{line}\nX\n')
        program.chmod(0o755)

    def starts(self, shell="sh", **variables):
        """Exit status and messages of the real script for a job."""
        lines = (f"{name}='{value}'\n" for name, value in self.settings.items())
        (self.folder / "prolog.conf").write_text("".join(lines))
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SUANQUAN_PROLOG_CONF": str(self.folder / "prolog.conf"),
            "SLURM_JOB_ID": "10",
            "SLURM_JOB_ACCOUNT": "covered",
        } | variables
        done = subprocess.run([shell, str(PROLOG)], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr


@pytest.fixture
def slurm(tmp_path, asked):
    if shutil.which("curl") is None:
        pytest.skip("no curl, which the prolog asks with")
    (tmp_path / "slurm").mkdir()
    return Slurm(tmp_path / "slurm", asked)


def test_the_prolog_asks_for_what_slurm_says(slurm):
    """Typed GPUs of AllocTRES, the limit in any spelling, Slurm's own times first; a job without GPUs is not asked about."""
    slurm.scontrol(f"JobId=10 Account=covered TimeLimit=08:00:00 AllocTRES={TRES},gres/gpu=1,gres/gpu:a100=1")
    assert slurm.starts()[0] == 0
    assert slurm.starts(SLURM_JOB_ACCOUNT="登记 a/b")[0] == 0
    end = {"SLURM_JOB_START_TIME": "1764300000", "SLURM_JOB_END_TIME": str(1764300000 + 9 * 3600)}
    status, said = slurm.starts(**end)
    assert (status, "the vouchers do not last" in said, "needs 108.000000" in said) == (1, True, True)
    slurm.scontrol(f"JobId=10 TimeLimit=1-00:00:00 TRES={TRES},gres/gpu=2,gres/gpu:a100=2")
    status, said = slurm.starts()
    assert (status, "needs 576.000000" in said) == (1, True), "typed and untyped are the same cards: 2, not 4"
    slurm.scontrol(f"JobId=10 TimeLimit=1-00:00:00 AllocTRES={TRES}")
    assert slurm.starts() == (0, "")


def test_untyped_gpus_take_the_model_that_is_set(slurm):
    """Without a model the failure rule decides; with one, and without scontrol, the variables of the node's prolog are enough."""
    slurm.scontrol(f"JobId=10 TimeLimit=UNLIMITED AllocTRES={TRES},gres/gpu=2")
    status, said = slurm.starts()
    assert (status, "SUANQUAN_MODEL is not set" in said) == (0, True)
    slurm.settings |= {"SUANQUAN_MODEL": "A100", "SUANQUAN_HOURS": "5"}
    assert slurm.starts()[0] == 1, "two cards, five hours: 120 yuan"
    (slurm.folder / "bin/scontrol").unlink()
    assert slurm.starts(SLURM_JOB_GPUS="0,1", SLURM_JOB_NUM_NODES="2", SUANQUAN_X="")[0] == 1, "240 yuan"
    slurm.settings["SUANQUAN_HOURS"] = "2"
    assert slurm.starts(SLURM_JOB_GPUS="0,1", SLURM_JOB_NUM_NODES="2")[0] == 0, "96 yuan"


@pytest.mark.parametrize("rule", ["", "allow", "refuse"])
def test_without_an_answer_the_setting_decides(slurm, rule):
    """Nobody listens, the token is wrong, the settings are broken: allowed by default, refused where it is set."""
    slurm.scontrol(f"JobId=10 TimeLimit=08:00:00 AllocTRES={TRES},gres/gpu:a100=1")
    slurm.settings |= {"SUANQUAN_ON_FAILURE": rule} if rule else {}
    ends = 1 if rule == "refuse" else 0
    for change in (
        {"SUANQUAN_URL": "http://127.0.0.1:9"},
        {"SUANQUAN_CENTRE": "sj02"},
        {"SUANQUAN_TOKEN_FILE": "/nowhere"},
    ):
        before, slurm.settings = slurm.settings, slurm.settings | change
        status, said = slurm.starts()
        assert (status, f"SUANQUAN_ON_FAILURE={rule or 'allow'}" in said) == (ends, True), said
        slurm.settings = before
    assert slurm.starts()[0] == 0


def test_a_refused_job_may_be_held(slurm):
    """The command for refusals is run with the job's id; the token is in no argument of any program."""
    slurm.scontrol(f"JobId=10 TimeLimit=2-00:00:00 AllocTRES={TRES},gres/gpu:a100=1")
    slurm.settings["SUANQUAN_ON_REFUSAL"] = f"cp {slurm.folder / 'prolog.conf'}"
    assert slurm.starts(SLURM_JOB_ID=str(slurm.folder / "held"))[0] == 1
    assert (slurm.folder / "held").exists()
    assert "--config -" in PROLOG.read_text()


# ---- the webhook


def pod(**spec):
    container = {"name": "main", "image": "train:1", "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "8"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train-0", "namespace": "covered", "labels": {"team": "nobody"}},
        "spec": {"containers": [container], "nodeSelector": {"nvidia.com/gpu.product": "A100"}} | spec,
    }


def review(asked, made, operation="CREATE", kind="Pod", query="", token=None):
    """What the API server gets for a document as it sends it."""
    running, own = asked
    document = {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": kind},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": kind},
            "name": "train-0",
            "namespace": "covered",
            "operation": operation,
            "userInfo": {
                "username": "system:serviceaccount:kube-system:job-controller",
                "groups": ["system:authenticated"],
            },
            "object": made,
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    }
    headers = {"authorization": f"Bearer {token or own}", "content-type": "application/json"}
    path = f"/v1/admission/kubernetes/sj01?{query}"
    return request(running.url, "POST", path, json.dumps(document).encode(), headers)


def test_a_pod_is_allowed_or_refused_with_a_reason(asked):
    """The answer is an AdmissionReview with the request's uid; who is refused reads why, and what there is."""
    allowed = review(asked, pod(activeDeadlineSeconds=8 * 3600)).content
    assert allowed == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True},
    }
    refused = review(asked, pod(activeDeadlineSeconds=9 * 3600)).content["response"]
    assert (refused["allowed"], refused["status"]["code"]) == (False, 403)
    assert "the vouchers do not last" in refused["status"]["message"]
    assert "100.000000 CNY" in refused["status"]["message"]
    warned = review(asked, pod(activeDeadlineSeconds=9 * 3600), query="need=some").content["response"]
    assert (warned["allowed"], len(warned["warnings"])) == (True, 1)


def test_account_length_and_model_come_from_where_it_is_set(asked):
    """A label instead of the namespace, an annotation or the address for the hours, a model for all."""
    assert not review(asked, pod(), query="account_label=team").content["response"]["allowed"]
    longer = pod()
    longer["metadata"]["annotations"] = {"suanquan.cn/hours": "9"}
    assert not review(asked, longer).content["response"]["allowed"]
    assert not review(asked, pod(), query="hours=9").content["response"]["allowed"]
    assert review(asked, pod(nodeSelector={}), query="model=A100").content["response"]["allowed"]
    unknown = review(asked, pod(nodeSelector={})).content["response"]
    assert (unknown["allowed"], "unknown" in unknown["status"]["message"]) == (False, True)


def test_what_holds_no_cards_is_let_through(asked):
    """Pods without cards, other objects, changes and deletions; a share that a pod does not size gets a warning."""
    plain = {"name": "web", "resources": {"limits": {"cpu": "1"}}}
    assert review(asked, pod(containers=[plain])).content["response"] == {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "allowed": True,
    }
    assert review(asked, pod(), operation="UPDATE").content["response"]["allowed"]
    assert review(asked, {"spec": {}}, kind="Deployment").content["response"]["allowed"]
    shared = {"name": "s", "resources": {"limits": {"nvidia.com/gpu.shared": "1"}}}
    told = review(asked, pod(containers=[shared])).content["response"]
    assert (told["allowed"], "share-unknown" in told["warnings"][0]) == (True, True)


def test_what_is_no_review_is_refused(asked):
    """Version v1beta1, no uid, no object: a problem, so that the failure policy decides; a stranger's token opens nothing."""
    running, own = asked
    headers = {"authorization": f"Bearer {own}", "content-type": "application/json"}
    for document in (
        {},
        {"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "1"}},
    ):
        answer = request(running.url, "POST", "/v1/admission/kubernetes/sj01", json.dumps(document).encode(), headers)
        assert_problem(answer, 422, "review-malformed")
    assert_problem(review(asked, None), 422, "review-malformed")
    assert review(asked, pod(), token="sqt_wrong").status == 401
