"""The dictionary of facts that conditions of schemes may use; a scheme file adds its own under `[facts]`.

Sums of money and cost items are no facts of it: they are read apart, in fen, by `claim`.
"""

from __future__ import annotations

from subsidy.facts import Dictionary, Fact, FactType, Supplier

KINDS = ("enterprise", "university", "research_institute", "platform", "maker", "public_institution", "individual")
"""Kinds of beneficiaries; other words may be used."""
PURPOSES = ("model_training", "model_tuning", "model_application", "research")
USES = ("training", "inference", "application", "maas", "agent")


def _fact(name: str, kind: FactType, zh: str, en: str, *, values: tuple[str, ...] = (), effort: int = 1) -> Fact:
    return Fact(
        name, kind, zh, en, values=values, open=kind in {FactType.CHOICE, FactType.SET}, supplier=Supplier.APPLICANT,
        effort=effort,
    )  # fmt: skip


_ALL = (
    _fact("beneficiary.kind", FactType.CHOICE, "申领单位的类别", "kind of beneficiary", values=KINDS),
    _fact("beneficiary.region", FactType.SET, "注册地（自省级写起）", "place of registration, from the province down"),
    _fact("beneficiary.sector", FactType.CHOICE, "所属行业", "industry"),
    _fact("beneficiary.startup", FactType.FLAG, "是否初创企业", "is a start-up"),
    _fact(
        "beneficiary.innovation_platform",
        FactType.FLAG,
        "是否科技创新企业平台",
        "is an innovation platform of a technology company",
    ),
    _fact("beneficiary.independent_legal_person", FactType.FLAG, "是否独立法人", "is an independent legal person"),
    _fact(
        "beneficiary.years_without_dishonesty_record",
        FactType.INTEGER,
        "无失信记录的年数",
        "years without a record of dishonesty",
        effort=2,
    ),
    _fact(
        "beneficiary.years_without_major_penalty",
        FactType.INTEGER,
        "无重大处罚的年数",
        "years without a major penalty",
        effort=2,
    ),
    _fact(
        "beneficiary.related_to_provider",
        FactType.FLAG,
        "与服务商是否有关联关系",
        "is related to the provider",
        effort=2,
    ),
    _fact(
        "beneficiary.same_cost_subsidised_elsewhere",
        FactType.FLAG,
        "同一费用是否已享受其他补贴",
        "the same cost is subsidised elsewhere",
    ),
    _fact("provider.admitted", FactType.FLAG, "服务商是否入库", "the provider is admitted", effort=2),
    _fact("contract.signed_on", FactType.DAY, "合同签订日", "day of signing"),
    _fact("contract.starts_on", FactType.DAY, "合同起始日", "first day of the contract"),
    _fact("contract.ends_on", FactType.DAY, "合同终止日", "last day of the contract"),
    _fact("contract.prior_claims", FactType.INTEGER, "该合同已申领次数", "earlier claims on this contract"),
    _fact("usage.from", FactType.DAY, "开始使用日", "first day of use"),
    _fact("application.received_on", FactType.DAY, "申请受理日", "day of application"),
    _fact("purpose", FactType.CHOICE, "算力用途", "purpose of the compute", values=PURPOSES),
    _fact("use", FactType.CHOICE, "使用方式", "kind of use", values=USES),
    _fact(
        "service.filed_multimodal_foundation_model",
        FactType.FLAG,
        "服务是否为已备案的多模态基础大模型",
        "the service is a filed multimodal foundation model",
    ),
    _fact("facility.domestic_chips", FactType.FLAG, "是否使用国产算力", "the facility runs on domestic chips"),
    _fact("target.measured", FactType.INTEGER, "第三方核定的规模", "what the third party measured", effort=3),
    _fact("target.other_side_claims", FactType.FLAG, "另一方是否已申领", "the other side claims as well"),
)
FACTS: Dictionary = {fact.name: fact for fact in _ALL}
DECISIVE = tuple(fact.name for fact in _ALL if fact.type is FactType.DAY)
"""Facts that can be the decisive date: the version in force on it decides."""
