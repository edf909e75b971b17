"""Write docs/policy-map.md from the rules: `python tools/build_policy_map.py`.

Each clause with the lines of the published text that it quotes, the file of its rule, the rows that show what it decides, the tests
that run them, and the pages where it is met. A test checks that the page is what this tool writes. No text of a policy is copied.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from subsidy.policies import Policies, load_policies  # noqa: E402
from subsidy.policy import AmountKind, Clause  # noqa: E402
from subsidy.rows import read_rows  # noqa: E402

ROWS = "config/policies/cases/clauses.rows"
FILES = {"323": "323-2024.yaml", "16": "16-2025.yaml"}
HEAD = """# 政策对照 / Policy map

逐条对照：条款 → 原文行 → 规则 → 测试 → 页面。由 `tools/build_policy_map.py` 从规则生成，测试核对；原文不在本仓库，行号指公开文本，`tests/subsidy/test_quotes.py` 在有原文时逐字核对每处引文。
Clause by clause: text → rule → test → page. Written by the tool from the rules, and checked by a test. Texts are not in this repository; lines are those of the published text, and where it is at hand
`tests/subsidy/test_quotes.py` compares every quote word for word.

每条规则的测试都是三层：判例行（`clauses.rows`，数目见表）由 `tests/subsidy/test_rows.py` 运行；`tests/subsidy/test_mutations.py` 证明规则里每个数字和比较改错都会被判例发现；`tests/subsidy/test_properties.py` 对所有条款、日期和事实检验通则。
Each rule is tested threefold: rows of cases (how many, the table says) by `tests/subsidy/test_rows.py`; `tests/subsidy/test_mutations.py` shows that a wrong number or comparison in a rule is noticed by them; `tests/subsidy/test_properties.py` holds for every clause, day and fact.

页面：`/subsidies` 逐题回答后说明各条是否适用；`/office/clauses` 有受理、通过、承诺、拨付与文件到期；有给付的条款经 `/applications/new`（算力券）或轮次申报，在 `/applications/{id}` 办理，每一步引条款原文。
Pages: `/subsidies` says after each answer which clauses apply; `/office/clauses` has received, decided, committed, paid and days left; what gives something is applied for and decided at `/applications/{id}`, whose steps quote their clause.
"""


def lines_of(clause: Clause) -> str:
    """Lines of the text that a clause quotes, in order."""
    quotes = [one.quote for one in clause.requirements]
    quotes += [clause.benefit.quote] if clause.benefit.quote else []
    quotes += [clause.opens_when.quote] if clause.opens_when else []
    found = sorted({line for quote in quotes for line in quote.lines})
    return ", ".join(map(str, found)) or "—"


def rows_by_clause(policies: Policies) -> Counter[str]:
    """Rows of cases by the clause that answers them."""
    rows = read_rows(policies, (ROOT / ROWS).read_text("utf-8"), ROWS)
    return Counter(policies.rule(row.clause, row.on).clause.id for row in rows)


def page_of(policies: Policies) -> str:
    """The whole page."""
    rows, parts = rows_by_clause(policies), [HEAD]
    for document in policies.documents.values():
        parts.append(f"\n## {document.number}\n")
        parts.append(
            f"{document.title_zh} / {document.title_en}：{document.first_day} – {document.last_day}，规则 `config/policies/{FILES[document.id]}`\n"
        )
        parts.append("| 条款 clause | 内容 about | 原文行 lines | 判例 rows | 页面 pages |\n|---|---|---|---|---|")
        for clause in document.clauses:
            gives = clause.benefit.kind is not AmountKind.NONE
            pages = "`/subsidies` `/office/clauses`" + (" `/applications/{id}`" if gives else "")
            about = f"{clause.title_zh} / {clause.title_en}"
            parts.append(f"| `{clause.id}` | {about} | {lines_of(clause)} | {rows[clause.id]} | {pages} |")
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    text = page_of(load_policies(ROOT / "config" / "policies"))
    (ROOT / "docs" / "policy-map.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
