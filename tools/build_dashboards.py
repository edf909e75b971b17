"""Write the Grafana dashboards of config/grafana from the tables below: `python tools/build_dashboards.py`.

Every panel says what it asks, its unit and its query. The tests check that the files are what this tool writes, and that each
query names metrics that the service or a recording rule really has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[1] / "config" / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "suanquan"}
WIDTH, HEIGHT = 12, 8


class Panel(NamedTuple):
    """A question with its answer; `kind` is a panel of Grafana, `unit` one of its units, `legend` names the series."""

    title: str
    query: str
    unit: str = "short"
    kind: str = "timeseries"
    legend: str = ""
    about: str = ""


BOARDS: dict[str, tuple[str, list[Panel]]] = {
    "commission": (
        "算券 · 委办局 / suanquan · commission",
        [
            Panel("券用到哪一步了 / How far along are the vouchers (CNY)", 'voucher_budget_yuan{state!="issued"}', "currencyCNY", "bargauge", "{{scheme}} {{state}}", "发放 = 可用 + 预占 + 已核销 + 已过期 + 已收回 / issued is the sum of these"),
            Panel("已核销占发放 / Redeemed of issued", "suanquan:voucher_used:ratio", "percentunit", "timeseries", "{{scheme}}"),
            Panel("照近 7 天的用法，可用额度还够几天 / Days that what is available lasts", "suanquan:voucher_days_left:days", "d", "stat", "{{scheme}}"),
            Panel("每日核销 / Redeemed a day (CNY)", "suanquan:voucher_redeemed_yuan:increase1d", "currencyCNY", "timeseries", "{{scheme}}"),
            Panel("各中心收到的券款 / Paid by vouchers at each centre (CNY)", "sum by (centre) (voucher_redeemed_yuan_total)", "currencyCNY", "bargauge", "{{centre}}"),
            Panel("受益单位 / Beneficiaries", "voucher_beneficiaries", "short", "bargauge", "{{scheme}} {{class}}"),
            Panel("各条款批准的金额 / Approved by clause (CNY)", "sum by (clause, year) (subsidy_committed_yuan)", "currencyCNY", "bargauge", "{{clause}} {{year}}"),
            Panel("各条款能否申报 / Clauses that take applications", "subsidy_clause_open", "bool", "table", "{{clause}}"),
            Panel("文件还有几天失效 / Days until documents cease", "suanquan:policy_left:days", "d", "bargauge", "{{document}}"),
            Panel("每日算力量 / Compute a day (PFLOPS·h, FP16 dense)", "suanquan:compute_pflops_hours:increase1d", "short", "timeseries", "{{centre}}"),
            Panel("等待复核的提示 / Findings that wait", "suanquan_findings_open > 0", "short", "table", "{{check}}"),
            Panel("算力量券 / Compute vouchers (PFLOPS·h)", "voucher_budget_compute", "short", "bargauge", "{{scheme}} {{state}}"),
        ],
    ),
    "centre": (
        "算券 · 智算中心 / suanquan · centres",
        [
            Panel("距最近上报 / Since the last report", "usage_report_lag_seconds", "s", "bargauge", "{{centre}}"),
            Panel("上一小时的利用率 / Use of capacity in the last hour", "suanquan:centre_utilisation_now:ratio", "percentunit", "timeseries", "{{centre}}"),
            Panel("自首次上报以来的利用率 / Use of capacity since the first report", "centre_utilisation_ratio", "percentunit", "bargauge", "{{centre}}"),
            Panel("登记算力 / Registered capacity (PFLOPS)", "centre_capacity_pflops", "short", "bargauge", "{{centre}}"),
            Panel("卡时 / GPU-hours a day", "sum by (centre, model) (increase(compute_gpu_seconds_total[1d])) / 3600", "short", "timeseries", "{{centre}} {{model}}"),
            Panel("上报记录 / Records by outcome a day", "sum by (centre, status) (increase(usage_records_total[1d]))", "short", "timeseries", "{{centre}} {{status}}"),
            Panel("被拒收或冲突的比例 / Part refused or in conflict", "suanquan:usage_refused:ratio1d", "percentunit", "timeseries", "{{centre}}"),
            Panel("等人处理的记录 / Records that wait for a person", "usage_quarantined", "short", "stat", "{{centre}}"),
            Panel("未到齐的账户月 / Account-months that lack usage", "usage_gaps", "short", "stat", "{{centre}}"),
            Panel("应计金额 / Rated (CNY)", "centre_rated_yuan_total", "currencyCNY", "bargauge", "{{centre}}"),
            Panel("PUE", "centre_pue", "short", "bargauge", "{{centre}}", "门槛 1.25 / threshold 1.25"),
            Panel("绿电比例 / Green power", "centre_green_power_ratio", "percentunit", "bargauge", "{{centre}}", "门槛 10 % / threshold 10 %"),
            Panel("准入条件 / Admission criteria", "centre_admission_ok", "bool", "table", "{{centre}} {{criterion}}"),
            Panel("是否暂停 / Suspended", "centre_suspended", "bool", "table", "{{centre}}"),
        ],
    ),
    "operator": (
        "算券 · 运维 / suanquan · operator",
        [
            Panel("服务 / The service", 'up{job="suanquan"}', "bool", "stat", "{{instance}}"),
            Panel("账本不变量 / Invariants of the ledger", "ledger_invariant_ok", "bool", "table", "{{invariant}}"),
            Panel("发放与各状态之差 / Issued less its states (CNY)", "suanquan:voucher_identity_gap:yuan", "currencyCNY", "timeseries", "{{scheme}}", "应为 0 / must be 0"),
            Panel("账本条数 / Entries of the log", "ledger_entries", "short", "timeseries", ""),
            Panel("见证过的条数 / Entries with their witnesses", "ledger_witnessed_size", "short", "timeseries", ""),
            Panel("最新检查点的年龄 / Age of the newest head", "ledger_checkpoint_age_seconds", "s", "timeseries", ""),
            Panel("每秒入账的记录 / Records a second", "sum by (centre) (rate(usage_records_total[5m]))", "short", "timeseries", "{{centre}}"),
            Panel("发券 / Vouchers", "voucher_issued", "short", "timeseries", "{{scheme}}"),
            Panel("有效的券 / Vouchers in force", "voucher_active", "short", "timeseries", "{{scheme}}"),
            Panel("条款问答 / Answers under clauses an hour", "sum by (clause) (increase(subsidy_evaluations_total[1h]))", "short", "timeseries", "{{clause}}"),
            Panel("为保证他人而拒绝的请求 / Requests refused so that others are served", "sum by (code) (rate(http_requests_refused_total[5m]))", "reqps", "timeseries", "{{code}}", "某个密钥、中心、账号或单位用满了自己的份额；原因见 api.md / a key, centre, account or company has used up its share"),
            Panel("取指标用时 / Time to read the metrics", 'scrape_duration_seconds{job="suanquan"}', "s", "timeseries", "{{instance}}"),
            Panel("序列数 / Series", 'scrape_samples_scraped{job="suanquan"}', "short", "timeseries", "{{instance}}"),
        ],
    ),
}  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    at_once = panel.kind != "timeseries"
    target = {
        "refId": "A", "datasource": SOURCE, "expr": panel.query, "legendFormat": panel.legend or "__auto",
        "instant": at_once, "range": not at_once, **({"format": "table"} if panel.kind == "table" else {}),
    }  # fmt: skip
    row, column = divmod(number, 2)
    return {
        "id": number + 1,
        "title": panel.title,
        "description": panel.about,
        "type": panel.kind,
        "datasource": SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "noValue": "尚无数据 / no data yet"}, "overrides": []},
        "targets": [target],
    }


def board(name: str) -> str:
    """The file of one dashboard."""
    title, panels = BOARDS[name]
    content = {
        "uid": f"suanquan-{name}",
        "title": title,
        "tags": ["suanquan"],
        "timezone": "Asia/Shanghai",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-30d", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in BOARDS:
        (FOLDER / f"{name}.json").write_text(board(name), "utf-8")


if __name__ == "__main__":
    main()
