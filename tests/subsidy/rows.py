"""What each clause says, row by row: the facts that pass, one change, and what must come of it.

A block starts with a clause and a day, then the facts that pass. A row is `changes -> answer`; no change is `.`, and
`on=DAY` moves the day. Answers: `eligible AMOUNT`, `refused REASONS`, `closed REASON`, `open MISSING` (eligibility
undecided), `amount-open MISSING`. Words after them: `cap` (the cap was hit), `person`, `exact`, `range`, `gifts=…`.
Reasons are the ids of the conditions that fail, once for every document that states them.
"""

from dataclasses import dataclass
from datetime import date

from subsidy.facts import FactType
from subsidy.policies import Policies

NO_DUPLICATES = "project_received_national_or_municipal_support=false project_district_matching_funds_paid=false project_supported_under_other_industrial_policy=false"
GENERAL = (
    "applicant_registered_in_songjiang=true applicant_has_independent_civil_liability=true applicant_type=enterprise "
    "files_tax_accounting_statements=true files_statistical_statements=true on_severe_dishonesty_list=false "
    "project_already_received_district_matching_or_award=false " + NO_DUPLICATES
)
CENTRE = (
    "green_power_share=0.10 pue=1.2499 compute_pflops_fp16_dense=20000 compute_equipment_investment_yuan=3000000000 "
    "meets_latest_shanghai_data_centre_guideline=true meets_municipal_energy_and_new_build_rules=true"
)
GENERAL_MODEL = (
    GENERAL + " parameter_count=100000000001 model_system_adapted_to_scenarios=true provides_full_process_tools=true builds_open_ecosystem=true "
    "generative_ai_filing_completed=true evaluated_by_named_agency=Omdia performance_domestic_leading=true "
    "scenario_completed_accepted_and_operating_at_application=true scenario_located_in_songjiang=true "
    "forms_complete_industry_solution=true applicant_is_lead_developer=true rd_cost_non_hardware_yuan=7000000 "
    "rd_cost_hardware_yuan=3000000 rd_cost_paid_with_compute_vouchers_yuan=0"
)
SPECIAL_MODEL = (
    GENERAL + " benchmark_solution_in_own_vertical=true model_completed_accepted_and_operating_at_application=true model_deployed_in_songjiang=true "
    "generative_ai_filing_or_registration=registration application_case_with_scenario_process_effect_feedback=true "
    "rd_cost_non_hardware_yuan=700000 rd_cost_hardware_yuan=300000 rd_cost_paid_with_compute_vouchers_yuan=0"
)
ADAPTATION = (
    GENERAL + " recommended_by_computing_centre=true adapted_product_developed=true cross_industry_applicable=true "
    "usage_frequency_level=high industries_covered=5 one_off_reward_already_received=false"
)
SECURITY = (
    GENERAL + " product_category=core_processor_algorithm passed_crypto_security_test=true test_agency_state_recognised_xinchuang=true "
    "is_first_passing_test_of_this_product=true applicant_is_submitting_unit=true security_test_fee_yuan=100001"
)
MATERIALS = (
    "application_form business_licence_copy town_street_preliminary_opinion_form two_year_credit_report "
    "previous_year_audit_or_financial_statements project_situation_report investment_detail_with_proof award_condition_and_effect_proof"
).split()

DUPLICATE_ROWS = """
project_received_national_or_municipal_support=true -> {eligible} person
project_received_national_or_municipal_support=true project_district_matching_funds_paid=true -> refused {matched}
project_district_matching_funds_paid=true -> {eligible}
project_supported_under_other_industrial_policy=true -> refused {other}
project_supported_under_other_industrial_policy=null -> open project_supported_under_other_industrial_policy
project_received_national_or_municipal_support=true project_district_matching_funds_paid=null -> open project_district_matching_funds_paid
project_received_national_or_municipal_support=null project_district_matching_funds_paid=true -> open project_received_national_or_municipal_support
superior_policy_conflicts=true -> {eligible} person
superior_policy_conflicts=true project_supported_under_other_industrial_policy=true -> refused {other} person
superior_policy_conflicts=true project_supported_under_other_industrial_policy=null -> open project_supported_under_other_industrial_policy person
"""


def duplicates(eligible: str, documents: int) -> str:
    """The rows that every clause with the duplicate rules shares."""
    ids = ("no_upper_support_with_district_matching", "no_other_industrial_policy")
    matched, other = (" ".join([name] * documents) for name in ids)
    return DUPLICATE_ROWS.format(eligible=eligible, matched=matched, other=other)


GENERAL_ROWS = """
applicant_registered_in_songjiang=false -> refused established_in_district
applicant_has_independent_civil_liability=false -> refused independent_civil_liability
applicant_type=branch -> refused applicant_type_allowed
applicant_type=individual -> refused applicant_type_allowed
applicant_type=public_institution -> {eligible}
applicant_type=social_service_organisation -> {eligible} person
files_tax_accounting_statements=false -> refused files_accounts
files_statistical_statements=false -> refused files_statistics
on_severe_dishonesty_list=true -> refused not_severely_dishonest
on_severe_dishonesty_list=null -> open on_severe_dishonesty_list
project_already_received_district_matching_or_award=true -> refused no_district_matching_or_award
on=2025-05-25 -> closed document_not_yet_in_force
on=2025-05-26 -> {eligible}
on=2026-05-25 -> {eligible}
on=2026-05-26 -> closed document_expired
"""
LIFE_ROWS = """
on=2024-09-30 -> closed document_not_yet_in_force
on=2024-10-01 -> {eligible}
on=2027-09-30 -> {eligible}
on=2027-10-01 -> closed document_expired
"""


def _flags(names: str, documents: int = 1) -> str:
    """`fact=id` pairs: the fact turned to false (or `fact=true=id` to true) refuses by the condition of that id."""
    rows = []
    for pair in names.split():
        fact, *value, requirement = pair.split("=")
        rows.append(f"{fact}={value[0] if value else 'false'} -> refused {' '.join([requirement] * documents)}")
        rows.append(f"{fact}=null -> open {fact}")
    return "\n".join(rows)


BLOCKS = [
    (
        "323:附则",
        "2025-09-01",
        CENTRE,
        ". -> eligible none\n"
        + LIFE_ROWS.format(eligible="eligible none")
        + _flags("meets_latest_shanghai_data_centre_guideline=meets_guideline meets_municipal_energy_and_new_build_rules=meets_municipal_rules")
        + """
superior_policy_conflicts=true -> eligible none person
green_power_share=0.0999 -> refused green_power_share_at_least
pue=1.25 -> refused pue_below
compute_pflops_fp16_dense=19999.99 -> refused compute_at_least
compute_equipment_investment_yuan=2999999999 -> refused equipment_investment_at_least
""",
    ),
    (
        "323:(一)1",
        "2025-09-01",
        f"{CENTRE} centre_built_in_songjiang=true amount_under_referenced_service_industry_policy_yuan=150000000 {NO_DUPLICATES}",
        ". -> eligible 150000000\n"
        + LIFE_ROWS.format(eligible="eligible 150000000")
        + duplicates("eligible 150000000", 1)
        + _flags(
            "centre_built_in_songjiang=built_in_songjiang meets_latest_shanghai_data_centre_guideline=meets_guideline "
            "meets_municipal_energy_and_new_build_rules=meets_municipal_rules"
        )
        + """
green_power_share=0.0999 -> refused green_power_share_at_least
green_power_share=0.1001 -> eligible 150000000
green_power_share=null -> open green_power_share
pue=1.25 -> refused pue_below
pue=1.2501 -> refused pue_below
pue=1.2498 -> eligible 150000000
pue=null -> open pue
compute_pflops_fp16_dense=19999.99 -> refused compute_at_least
compute_pflops_fp16_dense=20000.01 -> eligible 150000000
compute_equipment_investment_yuan=2999999999 -> refused equipment_investment_at_least
compute_equipment_investment_yuan=3000000001 -> eligible 150000000
amount_under_referenced_service_industry_policy_yuan=null -> eligible none person
amount_under_referenced_service_industry_policy_yuan=200000000 -> eligible 200000000
amount_under_referenced_service_industry_policy_yuan=200000001 -> eligible 200000000 cap
amount_under_referenced_service_industry_policy_yuan=null pue=null -> open pue
green_power_share=0.05 pue=null -> refused green_power_share_at_least
project_received_national_or_municipal_support=null amount_under_referenced_service_industry_policy_yuan=null -> eligible none person
project_received_national_or_municipal_support=null -> settled 150000000 project_received_national_or_municipal_support
""",
    ),
    (
        "323:(一)2",
        "2026-11-22",
        GENERAL_MODEL,
        ". -> eligible 5000000 person\n"
        + LIFE_ROWS.format(eligible="eligible 5000000 person")
        + _flags("performance_domestic_leading=performance_leading applicant_is_lead_developer=lead_developer")
        + """
on=2025-05-25 -> eligible 5000000 person
on=2025-05-26 -> eligible 5000000
on=2026-05-25 -> eligible 5000000
on=2026-05-26 -> eligible 5000000 person
parameter_count=100000000000 -> refused parameters_above
parameter_count=100000000002 -> eligible 5000000 person
parameter_count=null -> open parameter_count
evaluated_by_named_agency=none -> refused evaluated_by_third_party
evaluated_by_named_agency=上海人工智能实验室 -> eligible 5000000 person
generative_ai_filing_completed=false -> eligible 5000000 person
generative_ai_filing_completed=false on=2025-09-01 -> refused filing_completed
on_severe_dishonesty_list=true -> eligible 5000000 person
project_already_received_district_matching_or_award=true -> eligible 5000000 person
project_already_received_district_matching_or_award=true on=2025-09-01 -> refused no_district_matching_or_award
rd_cost_hardware_yuan=3000001 -> eligible none person
rd_cost_hardware_yuan=3000001 on=2025-09-01 -> eligible 5000000 person
rd_cost_hardware_yuan=0 rd_cost_non_hardware_yuan=40000000 -> eligible 20000000 person
rd_cost_hardware_yuan=0 rd_cost_non_hardware_yuan=39999998 -> eligible 19999999 person
rd_cost_hardware_yuan=0 rd_cost_non_hardware_yuan=40000002 -> eligible 20000000 cap person
rd_cost_hardware_yuan=null -> amount-open rd_cost_hardware_yuan person
evaluated_by_named_agency=none on=2025-09-01 -> refused evaluated_by_third_party evaluated_by_third_party
""",
    ),
    (
        "16:三(一)",
        "2025-09-01",
        GENERAL_MODEL,
        ". -> eligible 5000000\n"
        + GENERAL_ROWS.format(eligible="eligible 5000000")
        + duplicates("eligible 5000000", 2)
        + _flags(
            "model_system_adapted_to_scenarios=model_system provides_full_process_tools=full_process_tools builds_open_ecosystem=open_ecosystem "
            "generative_ai_filing_completed=filing_completed scenario_completed_accepted_and_operating_at_application=scenario_operating "
            "scenario_located_in_songjiang=scenario_in_songjiang forms_complete_industry_solution=industry_solution"
        )
        + "\n"
        + _flags("performance_domestic_leading=performance_leading applicant_is_lead_developer=lead_developer", 2)
        + """
parameter_count=100000000000 -> refused parameters_above parameters_above
parameter_count=99999999999 -> refused parameters_above parameters_above
parameter_count=100000000002 -> eligible 5000000
evaluated_by_named_agency=none -> refused evaluated_by_third_party evaluated_by_third_party
evaluated_by_named_agency=another_authoritative_agency -> eligible 5000000 person
evaluated_by_named_agency=SuperCLUE -> eligible 5000000
evaluated_by_named_agency=null -> open evaluated_by_named_agency
rd_cost_hardware_yuan=3000001 -> eligible 5000000 person
rd_cost_hardware_yuan=7000000 -> eligible 5000000 person
rd_cost_hardware_yuan=2999999 -> eligible 4999999
rd_cost_hardware_yuan=2999998 -> eligible 4999999
rd_cost_non_hardware_yuan=0 -> eligible 0 person
rd_cost_non_hardware_yuan=0 rd_cost_hardware_yuan=0 -> eligible 0
rd_cost_non_hardware_yuan=40000000 rd_cost_hardware_yuan=0 -> eligible 20000000
rd_cost_non_hardware_yuan=40000001 rd_cost_hardware_yuan=0 -> eligible 20000000 cap
rd_cost_non_hardware_yuan=39999999 rd_cost_hardware_yuan=0 -> eligible 19999999
rd_cost_non_hardware_yuan=28000000 rd_cost_hardware_yuan=42000000 -> eligible 20000000 person
rd_cost_paid_with_compute_vouchers_yuan=1 rd_cost_hardware_yuan=0 -> eligible 3499999 person
rd_cost_paid_with_compute_vouchers_yuan=700000 rd_cost_hardware_yuan=2700000 -> eligible 4500000 person
rd_cost_paid_with_compute_vouchers_yuan=8000000 -> eligible 0 person
rd_cost_paid_with_compute_vouchers_yuan=null -> amount-open rd_cost_paid_with_compute_vouchers_yuan
rd_cost_non_hardware_yuan=null rd_cost_hardware_yuan=null -> amount-open rd_cost_non_hardware_yuan rd_cost_hardware_yuan
rd_cost_hardware_yuan=null parameter_count=null -> open parameter_count rd_cost_hardware_yuan
parameter_count=1 generative_ai_filing_completed=null -> refused parameters_above parameters_above
""",
    ),
    (
        "16:三(二)",
        "2025-09-01",
        SPECIAL_MODEL,
        ". -> eligible 800000\n"
        + GENERAL_ROWS.format(eligible="eligible 800000")
        + duplicates("eligible 800000", 2)
        + _flags(
            "benchmark_solution_in_own_vertical=benchmark_solution model_completed_accepted_and_operating_at_application=model_operating "
            "model_deployed_in_songjiang=model_in_songjiang application_case_with_scenario_process_effect_feedback=application_case"
        )
        + """
generative_ai_filing_or_registration=filing -> eligible 800000
generative_ai_filing_or_registration=none -> refused filed_or_registered
generative_ai_filing_or_registration=null -> open generative_ai_filing_or_registration
rd_cost_hardware_yuan=300001 -> eligible 800000 person
rd_cost_hardware_yuan=299999 -> eligible 799999
rd_cost_non_hardware_yuan=6250000 rd_cost_hardware_yuan=0 -> eligible 5000000
rd_cost_non_hardware_yuan=6250001 rd_cost_hardware_yuan=0 -> eligible 5000000 cap
rd_cost_non_hardware_yuan=6249999 rd_cost_hardware_yuan=0 -> eligible 4999999
rd_cost_non_hardware_yuan=1234567 rd_cost_hardware_yuan=0 -> eligible 987653
rd_cost_paid_with_compute_vouchers_yuan=1 rd_cost_hardware_yuan=0 -> eligible 559999 person
rd_cost_paid_with_compute_vouchers_yuan=70000 rd_cost_hardware_yuan=270000 -> eligible 720000 person
rd_cost_hardware_yuan=null -> amount-open rd_cost_hardware_yuan
""",
    ),
    (
        "323:(四)1",
        "2025-09-01",
        SPECIAL_MODEL,
        """
. -> eligible 800000
on=2025-05-25 -> closed implementing_rules_not_in_force person
on=2026-05-26 -> closed implementing_rules_not_in_force person
on=2027-09-30 -> closed implementing_rules_not_in_force person
on=2027-10-01 -> closed document_expired
on=2024-09-30 -> closed document_not_yet_in_force
on_severe_dishonesty_list=true on=2026-05-26 -> closed implementing_rules_not_in_force person
superior_policy_conflicts=true -> eligible 800000 person
""",
    ),
    (
        "16:三(三)",
        "2025-09-01",
        ADAPTATION,
        ". -> eligible 1000000\n"
        + GENERAL_ROWS.format(eligible="eligible 1000000")
        + duplicates("eligible 1000000", 2)
        + _flags("adapted_product_developed=product_developed cross_industry_applicable=cross_industry")
        + """
recommended_by_computing_centre=false -> refused recommended person
recommended_by_computing_centre=null -> open recommended_by_computing_centre
one_off_reward_already_received=true -> refused one_off person
industries_covered=6 -> eligible 1000000
industries_covered=4 -> eligible 500000 person
industries_covered=3 -> eligible 500000 person
industries_covered=2 -> eligible 200000 person
industries_covered=1 -> eligible 200000 person
industries_covered=0 -> refused tier_reached
industries_covered=null -> open industries_covered
usage_frequency_level=fairly_high -> eligible 500000 person
usage_frequency_level=fairly_high industries_covered=4 -> eligible 500000
usage_frequency_level=fairly_high industries_covered=3 -> eligible 500000
usage_frequency_level=fairly_high industries_covered=2 -> eligible 200000 person
usage_frequency_level=fairly_high industries_covered=1 -> eligible 200000 person
usage_frequency_level=fairly_high industries_covered=0 -> refused tier_reached
usage_frequency_level=ordinary -> eligible 200000 person
usage_frequency_level=ordinary industries_covered=3 -> eligible 200000 person
usage_frequency_level=ordinary industries_covered=2 -> eligible 200000 person
usage_frequency_level=ordinary industries_covered=1 -> eligible 200000 person
usage_frequency_level=ordinary industries_covered=0 -> refused tier_reached
usage_frequency_level=null -> open usage_frequency_level
usage_frequency_level=null industries_covered=2 -> eligible 200000 person
usage_frequency_level=fairly_high industries_covered=null -> open industries_covered
usage_frequency_level=null industries_covered=0 -> refused tier_reached
""",
    ),
    (
        "323:(四)2",
        "2025-09-01",
        ADAPTATION,
        """
. -> eligible 1000000
on=2026-11-22 -> closed implementing_rules_not_in_force person
recommended_by_computing_centre=false -> refused recommended person
superior_policy_conflicts=true -> eligible 1000000 person
""",
    ),
    (
        "16:三(四)",
        "2025-09-01",
        SECURITY,
        ". -> eligible 50000\n"
        + GENERAL_ROWS.format(eligible="eligible 50000")
        + duplicates("eligible 50000", 2)
        + _flags("test_agency_state_recognised_xinchuang=agency_recognised is_first_passing_test_of_this_product=first_passing_test")
        + "\n"
        + _flags("passed_crypto_security_test=test_passed applicant_is_submitting_unit=submitting_unit", 2)
        + """
product_category=unrelated -> refused product_related product_related
product_category=other_advanced_computing_product -> eligible 50000 person
product_category=terminal_office_software -> eligible 50000
product_category=null -> open product_category
security_test_fee_yuan=0 -> eligible 0
security_test_fee_yuan=499999 -> eligible 249999
security_test_fee_yuan=500000 -> eligible 250000
security_test_fee_yuan=500001 -> eligible 250000 cap
security_test_fee_yuan=null -> amount-open security_test_fee_yuan
security_test_fee_yuan=null superior_policy_conflicts=true -> amount-open security_test_fee_yuan person
""",
    ),
    (
        "323:(六)1",
        "2026-11-22",
        SECURITY,
        ". -> eligible 50000 person\n"
        + _flags("passed_crypto_security_test=test_passed applicant_is_submitting_unit=submitting_unit")
        + """
on=2025-09-01 -> eligible 50000
on=2025-05-25 -> eligible 50000 person
test_agency_state_recognised_xinchuang=false -> eligible 50000 person
test_agency_state_recognised_xinchuang=false on=2025-09-01 -> refused agency_recognised
is_first_passing_test_of_this_product=false -> eligible 50000 person
product_category=unrelated -> refused product_related
product_category=other_advanced_computing_product -> eligible 50000 person asks=2
project_supported_under_other_industrial_policy=true -> refused no_other_industrial_policy
superior_policy_conflicts=true -> eligible 50000 person asks=2
security_test_fee_yuan=500000 -> eligible 250000 person
security_test_fee_yuan=500002 -> eligible 250000 cap person
security_test_fee_yuan=499998 -> eligible 249999 person
""",
    ),
    (
        "323:(二)1",
        "2025-09-01",
        "centre_meets_clause_1_1_definition=true racks_upgraded_in_this_single_project=1000 compute_rack_share_after_upgrade=0.7001 "
        f"pue_after_upgrade=1.2499 one_off_upgrade_subsidy_already_received=false {NO_DUPLICATES}",
        ". -> eligible 1000000 exact\n"
        + LIFE_ROWS.format(eligible="eligible 1000000 exact")
        + duplicates("eligible 1000000 exact", 1)
        + _flags("centre_meets_clause_1_1_definition=centre_qualifies one_off_upgrade_subsidy_already_received=true=one_off")
        + """
racks_upgraded_in_this_single_project=999 -> refused racks_at_least
racks_upgraded_in_this_single_project=1001 -> eligible 1001000 exact
racks_upgraded_in_this_single_project=2000 -> eligible 2000000 exact
racks_upgraded_in_this_single_project=2001 -> eligible 2000000 exact cap
racks_upgraded_in_this_single_project=null -> open racks_upgraded_in_this_single_project
compute_rack_share_after_upgrade=0.70 -> refused compute_rack_share_above
compute_rack_share_after_upgrade=0.6999 -> refused compute_rack_share_above
compute_rack_share_after_upgrade=0.7002 -> eligible 1000000 exact
pue_after_upgrade=1.25 -> refused pue_after_upgrade_below
pue_after_upgrade=1.2498 -> eligible 1000000 exact
earlier_district_policy_conflicts=true -> eligible 1000000 exact asks=1
""",
    ),
    (
        "323:(二)2.a",
        "2025-09-01",
        "newly_registered_computing_related_company=true reached_above_scale_standard=true included_in_official_statistics=true "
        f"revenue_grew_over_previous_year=true one_off_reward_already_received=false {NO_DUPLICATES}",
        ". -> eligible 50000..1000000 range person\n"
        + duplicates("eligible 50000..1000000 range person", 1)
        + _flags(
            "newly_registered_computing_related_company=newly_registered reached_above_scale_standard=above_scale included_in_official_statistics=in_statistics "
            "revenue_grew_over_previous_year=grew one_off_reward_already_received=true=one_off"
        ),
    ),
    (
        "323:(二)2.b",
        "2025-09-01",
        f"recognised_by_municipal_commerce_commission_as=multinational_headquarters {NO_DUPLICATES}",
        ". -> eligible none person\n"
        + duplicates("eligible none person", 1)
        + """
recognised_by_municipal_commerce_commission_as=multinational_headquarters_type_institution -> eligible none person
recognised_by_municipal_commerce_commission_as=none -> refused recognised
recognised_by_municipal_commerce_commission_as=null -> open recognised_by_municipal_commerce_commission_as
""",
    ),
    (
        "323:(二)2.c",
        "2025-09-01",
        f"municipal_headquarters_titles=[private_enterprise_headquarters] {NO_DUPLICATES}",
        ". -> eligible 3000000\n"
        + duplicates("eligible 3000000", 1)
        + """
municipal_headquarters_titles=[private_headquarters_type_institution] -> eligible 2000000
municipal_headquarters_titles=[trade_headquarters] -> eligible 1000000
municipal_headquarters_titles=[trade_headquarters,private_headquarters_type_institution] -> eligible 2000000 person
municipal_headquarters_titles=[trade_headquarters,private_enterprise_headquarters] -> eligible 3000000 person
municipal_headquarters_titles=[private_enterprise_headquarters,private_headquarters_type_institution,trade_headquarters] -> eligible 3000000 person
municipal_headquarters_titles=[] -> refused recognised
municipal_headquarters_titles=null -> open municipal_headquarters_titles
""",
    ),
    (
        "323:(二)2.d",
        "2025-09-01",
        f"district_headquarters_titles=[large_enterprise_headquarters] {NO_DUPLICATES}",
        ". -> eligible 10000000\n"
        + duplicates("eligible 10000000", 1)
        + """
district_headquarters_titles=[regional_headquarters] -> eligible 7000000
district_headquarters_titles=[high_growth_headquarters] -> eligible 4000000
district_headquarters_titles=[high_growth_headquarters,regional_headquarters] -> eligible 7000000 person
district_headquarters_titles=[high_growth_headquarters,large_enterprise_headquarters] -> eligible 10000000 person
district_headquarters_titles=[] -> refused recognised
district_headquarters_titles=null -> open district_headquarters_titles
""",
    ),
    (
        "323:(三)",
        "2026-11-22",
        "voucher_implementing_rules_in_force=true holder_category=university voucher_channel=government_application used_at_regional_computing_centre=true",
        ". -> eligible none\n"
        + LIFE_ROWS.format(eligible="eligible none")
        + _flags("used_at_regional_computing_centre=at_regional_centre")
        + """
holder_category=information_software_startup -> eligible none
holder_category=technology_innovation_platform -> eligible none
holder_category=research_institution -> eligible none
holder_category=individual -> refused holder_listed
holder_category=non_software_startup -> refused holder_listed
holder_category=null -> open holder_category
voucher_channel=computing_centre_distribution -> eligible none
voucher_channel=other -> eligible none person
voucher_channel=null -> settled none voucher_channel
voucher_implementing_rules_in_force=false -> closed implementing_rules_not_in_force person
voucher_implementing_rules_in_force=false holder_category=individual -> closed implementing_rules_not_in_force person
voucher_implementing_rules_in_force=false holder_category=null -> closed implementing_rules_not_in_force person
voucher_implementing_rules_in_force=null -> open voucher_implementing_rules_in_force
voucher_implementing_rules_in_force=null holder_category=individual -> refused holder_listed
superior_policy_conflicts=true -> eligible none person
""",
    ),
    (
        "323:(五)",
        "2025-09-01",
        f"led_or_joined_by_computing_centre=true innovative_scenario_in_songjiang_listed_field=true solution_formed=true commercial_case_formed=true {NO_DUPLICATES}",
        ". -> eligible 6000000\n"
        + duplicates("eligible 6000000", 1)
        + _flags("solution_formed=solution commercial_case_formed=commercial_case")
        + """
led_or_joined_by_computing_centre=false -> eligible 6000000 person
innovative_scenario_in_songjiang_listed_field=false -> eligible 6000000 person
innovative_scenario_in_songjiang_listed_field=null -> settled 6000000 innovative_scenario_in_songjiang_listed_field
innovative_scenario_in_songjiang_listed_field=null led_or_joined_by_computing_centre=false -> eligible 6000000 person
""",
    ),
    (
        "323:(六)2",
        "2026-11-22",
        f"company_is_large_model_or_generative_ai_related=true recognised_technology_centre_levels=[municipal] levels_already_rewarded=[] {NO_DUPLICATES}",
        ". -> eligible 600000\n"
        + duplicates("eligible 600000", 1)
        + _flags("company_is_large_model_or_generative_ai_related=company_related")
        + """
recognised_technology_centre_levels=[national] -> eligible 2000000
recognised_technology_centre_levels=[district] -> eligible 200000
recognised_technology_centre_levels=[district,municipal] -> eligible 600000 person
recognised_technology_centre_levels=[district,national] -> eligible 2000000 person
recognised_technology_centre_levels=[municipal,national] -> eligible 2000000 person
recognised_technology_centre_levels=[] -> refused recognised_above_earlier_reward
recognised_technology_centre_levels=null -> open recognised_technology_centre_levels
recognised_technology_centre_levels=null levels_already_rewarded=[national] -> refused recognised_above_earlier_reward
levels_already_rewarded=null -> open levels_already_rewarded
levels_already_rewarded=[district] -> eligible 400000 person
levels_already_rewarded=[municipal] -> refused recognised_above_earlier_reward
levels_already_rewarded=[national] -> refused recognised_above_earlier_reward
levels_already_rewarded=[municipal] recognised_technology_centre_levels=[national] -> eligible 1400000 person
levels_already_rewarded=[district,municipal] recognised_technology_centre_levels=[national] -> eligible 1400000 person
levels_already_rewarded=[district] recognised_technology_centre_levels=[national] -> eligible 1800000 person
levels_already_rewarded=[national] recognised_technology_centre_levels=[national] -> refused recognised_above_earlier_reward
levels_already_rewarded=[district] recognised_technology_centre_levels=[district] -> refused recognised_above_earlier_reward
levels_already_rewarded=[national] recognised_technology_centre_levels=[district] -> refused recognised_above_earlier_reward
levels_already_rewarded=[municipal] recognised_technology_centre_levels=[district] -> refused recognised_above_earlier_reward
""",
    ),
    (
        "323:(七)",
        "2025-09-01",
        "company_is_large_model_or_generative_ai_related=true company_size=small has_loan_need=true",
        ". -> eligible none person asks=1\n"
        + _flags("company_is_large_model_or_generative_ai_related=company_related has_loan_need=loan_need")
        + """
company_size=medium -> eligible none person
company_size=micro -> eligible none person
company_size=large -> refused small_or_medium
company_size=null -> open company_size
superior_policy_conflicts=true -> eligible none person asks=2
""",
    ),
    (
        "323:(八)",
        "2025-09-01",
        f"standard_level=national standard_role=lead standard_topic_is_large_model_or_generative_ai=true intellectual_property_award=false {NO_DUPLICATES}",
        ". -> eligible 1000000\n"
        + duplicates("eligible 1000000", 1)
        + """
standard_level=international -> eligible 1000000
standard_level=industry -> refused award_or_standard
standard_level=none -> refused award_or_standard
standard_role=participate -> eligible 1000000
standard_role=none -> refused award_or_standard
standard_topic_is_large_model_or_generative_ai=false -> refused award_or_standard
standard_level=none intellectual_property_award=true -> eligible 1000000 person
standard_topic_is_large_model_or_generative_ai=false intellectual_property_award=true -> eligible 1000000 person
intellectual_property_award=null -> settled 1000000 intellectual_property_award
intellectual_property_award=null standard_role=none -> open intellectual_property_award
standard_level=null -> open standard_level
""",
    ),
    (
        "323:(九)",
        "2025-09-01",
        "outstanding_talent_in_computing_field=true brought_in_by_computing_centre_or_ecosystem_company=true district_talent_class=A",
        """
. -> eligible none gifts=settlement_as_scarce_talent,class_A_to_E_package
district_talent_class=B -> eligible none gifts=settlement_as_scarce_talent,class_A_to_E_package
district_talent_class=C -> eligible none gifts=settlement_as_scarce_talent,class_A_to_E_package
district_talent_class=D -> eligible none gifts=settlement_as_scarce_talent,class_A_to_E_package
district_talent_class=E -> eligible none gifts=settlement_as_scarce_talent,class_A_to_E_package
district_talent_class=F -> eligible none gifts=settlement_as_scarce_talent
district_talent_class=none -> eligible none gifts=settlement_as_scarce_talent
outstanding_talent_in_computing_field=false -> eligible none gifts=class_A_to_E_package
outstanding_talent_in_computing_field=false district_talent_class=B -> eligible none gifts=class_A_to_E_package
outstanding_talent_in_computing_field=false district_talent_class=C -> eligible none gifts=class_A_to_E_package
outstanding_talent_in_computing_field=false district_talent_class=D -> eligible none gifts=class_A_to_E_package
outstanding_talent_in_computing_field=false district_talent_class=E -> eligible none gifts=class_A_to_E_package
outstanding_talent_in_computing_field=false district_talent_class=F -> refused talent_ground
brought_in_by_computing_centre_or_ecosystem_company=false -> eligible none person gifts=class_A_to_E_package
brought_in_by_computing_centre_or_ecosystem_company=false district_talent_class=B -> eligible none person gifts=class_A_to_E_package
brought_in_by_computing_centre_or_ecosystem_company=false district_talent_class=C -> eligible none person gifts=class_A_to_E_package
brought_in_by_computing_centre_or_ecosystem_company=false district_talent_class=D -> eligible none person gifts=class_A_to_E_package
brought_in_by_computing_centre_or_ecosystem_company=false district_talent_class=E -> eligible none person gifts=class_A_to_E_package
brought_in_by_computing_centre_or_ecosystem_company=false district_talent_class=F -> refused talent_ground
brought_in_by_computing_centre_or_ecosystem_company=false district_talent_class=none -> refused talent_ground
district_talent_class=null brought_in_by_computing_centre_or_ecosystem_company=false -> open district_talent_class
outstanding_talent_in_computing_field=null -> settled none outstanding_talent_in_computing_field gifts=class_A_to_E_package
superior_policy_conflicts=true -> eligible none person gifts=settlement_as_scarce_talent,class_A_to_E_package
""",
    ),
    (
        "16:五",
        "2025-09-01",
        "rounds_already_held_this_year=0",
        """
. -> eligible none
rounds_already_held_this_year=1 -> eligible none person
rounds_already_held_this_year=2 -> eligible none person
rounds_already_held_this_year=null -> settled none rounds_already_held_this_year
on=2025-05-25 -> closed document_not_yet_in_force
on=2026-05-26 -> closed document_expired
superior_policy_conflicts=true -> eligible none person
""",
    ),
    (
        "16:六(三)",
        "2025-09-01",
        "initial_review_passed=true expert_or_third_party_review_passed=true balanced_into_plan=true list_agreed_with_finance_bureau=true "
        "confidential=false publicity_working_days_completed=5 open_objection=false project_completed=true",
        ". -> eligible none\n"
        + _flags(
            "initial_review_passed=initial_review_passed expert_or_third_party_review_passed=review_passed "
            "list_agreed_with_finance_bureau=list_agreed_with_finance_bureau project_completed=project_completed"
        )
        + """
balanced_into_plan=false -> refused balanced_into_plan person
open_objection=true -> refused no_open_objection person
open_objection=null -> open open_objection
publicity_working_days_completed=4 -> refused publicity_complete
publicity_working_days_completed=6 -> eligible none
publicity_working_days_completed=null -> open publicity_working_days_completed
confidential=true -> eligible none person
confidential=true publicity_working_days_completed=0 -> eligible none person
confidential=null publicity_working_days_completed=0 -> open confidential
superior_policy_conflicts=true -> eligible none person
superior_policy_conflicts=true project_completed=null -> open project_completed person
superior_policy_conflicts=true project_completed=false -> refused project_completed person
""",
    ),
    (
        "16:七",
        "2025-09-01",
        f"materials_submitted=[{','.join(MATERIALS)}] company_name_changed=false claims_honours=false all_sealed=true copies_match_originals=true "
        "bad_credit_record_within_two_years=false",
        ". -> eligible none\n"
        + "\n".join(f"materials_submitted=[{','.join(set(MATERIALS) - {name})}] -> open {name}" for name in MATERIALS)
        + f"""
materials_submitted=[{",".join(MATERIALS)},a_letter] -> eligible none
materials_submitted=null -> open materials_submitted
company_name_changed=true -> open name_change_proof
company_name_changed=true materials_submitted=[{",".join(MATERIALS)},name_change_proof] -> eligible none
company_name_changed=null -> open company_name_changed
claims_honours=true -> open honours_proof
claims_honours=true materials_submitted=[{",".join(MATERIALS)},honours_proof] -> eligible none
all_sealed=false -> open company_seal
copies_match_originals=false -> open copies_matching_originals
all_sealed=false copies_match_originals=null -> open company_seal copies_match_originals
bad_credit_record_within_two_years=true on_severe_dishonesty_list=false -> eligible none person
bad_credit_record_within_two_years=true on_severe_dishonesty_list=true -> refused bad_credit_not_severe
bad_credit_record_within_two_years=true -> open on_severe_dishonesty_list
superior_policy_conflicts=true -> eligible none person
""",
    ),
]


@dataclass(frozen=True)
class Row:
    """One row: a clause, a day, facts as written, and the answer in words."""

    id: str
    clause: str
    on: date
    facts: dict[str, object]
    answer: list[str]


def rows(policies: Policies) -> list[Row]:
    """Every row of every block."""
    found = []
    for clause, on, passing, text in BLOCKS:
        for line in filter(None, map(str.strip, text.splitlines())):
            changes, answer = line.split(" -> ")
            written = dict(pair.split("=", 1) for pair in [*passing.split(), *changes.split()] if "=" in pair)
            day = date.fromisoformat(written.pop("on", on))
            facts = {name: _value(policies, name, value) for name, value in written.items()}
            found.append(Row(f"{clause} {changes}", clause, day, facts, answer.split()))
    return found


def _value(policies: Policies, name: str, written: str) -> object:
    fact = policies.facts[name]
    if written in {"null", "true", "false"}:
        return {"null": None, "true": True, "false": False}[written]
    if written.startswith("["):
        return [item for item in written[1:-1].split(",") if item]
    if fact.type is FactType.INTEGER:
        return int(written)
    if fact.type is FactType.CHOICE and written not in fact.values:
        return written.replace("_", " ")
    return written
