"""The subsidy rules decide: policy clauses as dated data, evaluated three-valued and explained."""
