#!/usr/bin/python3
"""Makes ops/grafana/tidemark.json, Grafana's dashboard: a line here for each panel.

usage: ops/grafana/make.py [--write]     prints it; --write replaces the file
"""
import json
import os
import sys

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tidemark.json")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ABOUT = "Is every count right, how fresh, how fast, what is wrong. Each trouble has a heading in ops/docs/RUNBOOK.md."


def metric(name):
    return f'tidemark_{name}{{job="$job"}}'


def rate(name, by=""):
    return f"sum {f'by ({by}) ' if by else ''}(rate({metric(name)}[$__rate_interval]))"


def grown(name, window, by=""):
    return f"sum {f'by ({by}) ' if by else ''}(increase({metric(name)}[{window}]))"


def quantile(part, name):
    return f"histogram_quantile({part}, sum by (le) (rate({metric(name + '_bucket')}[$__rate_interval])))"


def steps(low, border, high):
    """Colours of a stat: `low` below the border, `high` from there on. No series yet means that nothing happened."""
    thresholds = {"mode": "absolute", "steps": [{"color": low, "value": None}, {"color": high, "value": border}]}
    return {"color": {"mode": "thresholds"}, "decimals": 0, "noValue": "0", "thresholds": thresholds}


def heatmap(name):
    return [(f"sum by (le) (increase({metric(name + '_bucket')}[$__rate_interval]))", "{{le}}")]


# Rows of panels: (title, height, [(kind, width, title, description, unit, [(query, legend)], colours of a stat)]).
ROWS = [
    ("Is every count right?", 4, [
        ("stat", 4, "Drift",
         "Cells that were wrong for another reason than lag, in the time shown. A healthy group has none.", "none",
         [(grown("drift_rows_total", "$__range"), "")], steps("green", 0.5, "red")),
        ("stat", 4, "Data lost", "Partitions whose records were gone before they were read, in the time shown.", "none",
         [(grown("data_loss_total", "$__range"), "")], steps("green", 0.5, "red")),
        ("stat", 4, "Parked", "Records that could not be taken, in the time shown.", "none",
         [(grown("parked_total", "$__range"), "")], steps("green", 0.5, "orange")),
        ("stat", 4, "Partitions that stand still", "At the bound of parked records.", "none",
         [(f"sum({metric('partitions_blocked')})", "")], steps("green", 1, "red")),
        ("stat", 4, "Members ready", "Members that have claimed their partitions and read them.", "none",
         [(f"sum({metric('ready')})", "")], steps("red", 1, "green")),
        ("stat", 4, "Passes",
         "Recounts of everything that ended in the last hour; by default one is due every 10 minutes.", "none",
         [(grown("recount_passes_total", "1h"), "")], steps("orange", 0.5, "green")),
    ]),
    ("How fresh, how fast, how far behind", 8, [
        ("timeseries", 12, "Freshness",
         "From the append to Kafka of a batch's oldest record until it is visible in Postgres.", "s",
         [(quantile(0.5, "freshness_seconds"), "p50"), (quantile(0.99, "freshness_seconds"), "p99")], {}),
        ("timeseries", 12, "Lag", "Records behind the end of each topic, as its owners last heard.", "short",
         [(f"sum by (topic) ({metric('lag_records')})", "{{topic}}")], {}),
        ("timeseries", 12, "Lag in time",
         "Age of the last visible record, of the partition of each topic that is furthest behind.", "s",
         [(f"max by (topic) ({metric('lag_seconds')})", "{{topic}}")], {}),
        ("timeseries", 12, "From where to visible",
         "Of 99 % of batches, from the oldest commit at the source, and from the receipt of the first record.", "s",
         [(quantile(0.99, "commit_to_visible_seconds"), "commit p99"),
          (quantile(0.99, "received_to_visible_seconds"), "received p99")], {}),
        ("timeseries", 12, "Events by topic", "Row changes that became visible, by topic and Debezium's op.", "cps",
         [(rate("events_total", "topic, op"), "{{topic}} {{op}}")], {}),
        ("timeseries", 12, "Throughput", "Records and row changes that became visible, for each second.", "cps",
         [(rate("records_total"), "records"), (rate("changes_total"), "changes")], {}),
        ("timeseries", 12, "Throughput by member",
         "Records that became visible, for each second: how evenly work is spread.", "cps",
         [(rate("records_total", "instance"), "{{instance}}")], {}),
        ("heatmap", 12, "Duration of transactions",
         "How long the transaction of a batch takes.", "s", heatmap("apply_seconds"), {}),
        ("timeseries", 12, "Batches",
         "Transactions for each second, and the aggregate rows that one writes on average.", "short",
         [(rate("batch_rows_count"), "batches/s"),
          (f"{rate('batch_rows_sum')} / {rate('batch_rows_count')}", "rows of one batch")], {}),
        ("timeseries", 12, "Phases of a batch", "Of 99 %: reading and folding it, and its transaction.", "s",
         [(quantile(0.99, "gather_seconds"), "gather p99"), (quantile(0.99, "apply_seconds"), "apply p99")], {}),
        ("timeseries", 12, "Statements", "Time of Postgres' statements for each second, in batches' transactions.", "s",
         [(rate("statement_seconds_sum", "statement, object"), "{{statement}} {{object}}")], {}),
        ("timeseries", 12, "Rows", "Aggregate rows of batches; unchanged: only looked up, or there and back.", "cps",
         [(rate("rows_total", "result"), "{{result}}")], {}),
    ]),
    ("What is not counted at once", 8, [
        ("timeseries", 8, "Passed over",
         "Records rightly passed over, by reason; duplicate: Debezium sent them again; below a rule's checkpoint: counted, "
         "and nobody is derived again.", "cps",
         [(rate("records_skipped_total", "reason"), "{{reason}}"),
          (rate("below_checkpoint_total"), "below a checkpoint")], {}),
        ("timeseries", 8, "Suspects",
         "Cells and ranges to be recounted; contributions that a recount had counted already.", "cps",
         [(rate("suspects_total"), "suspects"), (rate("fence_skipped_total"), "skipped by fences")], {}),
        ("timeseries", 8, "Suspects waiting", "Suspect cells and ranges that wait for their recount.", "short",
         [(f"max({metric('suspects_waiting')})", "waiting")], {}),
        ("timeseries", 8, "Age of the last pass", "Since the last pass over everything ended.", "s",
         [(f"max({metric('pass_age_seconds')})", "age")], {}),
        ("timeseries", 8, "Parked by code", "Records put aside; the runbook has a heading for each code.", "short",
         [(grown("parked_total", "$__rate_interval", "code"), "{{code}}")], {}),
    ]),
    ("Recounts beside the stream", 8, [
        ("timeseries", 8, "Turn of a slice",
         "How long slices wait for their turn, and hold it while batches wait: goal 50 ms together.", "s",
         [(quantile(0.99, "recount_wait_seconds"), "wait p99"),
          (quantile(0.99, "recount_hold_seconds"), "hold p99")], {}),
        ("timeseries", 8, "Rows recounted",
         "Rows compared; cells that were written; rows left out as another writer held them.", "cps",
         [(rate("recount_rows_total"), "rows"), (rate("recount_corrected_total"), "cells written"),
          (rate("recount_held_rows_total"), "held by others")], {}),
        ("timeseries", 8, "Fences",
         "Recounts of which changes are still on their way. It falls to 0 between passes.", "short",
         [(f"max({metric('fences')})", "outstanding")], {}),
    ]),
    ("Challenges", 8, [
        ("timeseries", 8, "Dirty users", "Users who wait to be derived, by rule, and those whose rule failed.", "short",
         [(f"max by (rule) ({metric('dirty_users')})", "{{rule}}"), (f"max({metric('dirty_failed_users')})", "failed")], {}),
        ("timeseries", 8, "Oldest mark", "Since when the first of them has been waiting, by rule.", "s",
         [(f"max by (rule) ({metric('dirty_oldest_seconds')})", "{{rule}}")], {}),
        ("timeseries", 8, "Completed", "Challenges completed, and rows written, for each second.", "cps",
         [(rate("challenges_completed_total", "rule"), "{{rule}} completed"),
          (rate("challenge_rows_total"), "rows written")], {}),
        ("timeseries", 8, "Duration of rules", "How long a rule takes for the users of one claim.", "s",
         [("histogram_quantile(0.99, sum by (le, rule) "
           f"(rate({metric('rule_seconds_bucket')}[$__rate_interval])))", "{{rule}} p99")], {}),
        ("timeseries", 8, "Users derived", "Users for whom a rule ran, for each second.", "cps",
         [(rate("rule_users_total", "rule"), "{{rule}}")], {}),
        ("timeseries", 8, "Trouble of rules", "Users that a rule failed for, claims tried again, rows that only a sweep found.",
         "cps",
         [(rate("rule_failures_total", "rule, sqlstate"), "{{rule}} fails {{sqlstate}}"),
          (rate("derive_retries_total", "sqlstate"), "claims {{sqlstate}}"),
          (rate("sweep_corrected_total", "rule"), "{{rule}} swept")], {}),
    ]),
    ("Process and Kafka client", 8, [
        ("timeseries", 8, "Memory", "In use by each member, and the least that one may have.", "bytes",
         [('process_resident_memory_bytes{job="$job"}', "{{instance}}"),
          (f"min({metric('memory_budget_bytes')})", "budget")], {}),
        ("timeseries", 8, "Processor", "Processor seconds for each second.", "short",
         [('rate(process_cpu_seconds_total{job="$job"}[$__rate_interval])', "{{instance}}")], {}),
        ("timeseries", 8, "From brokers", "Bytes of records that came from brokers, for each second.", "Bps",
         [(rate("kafka_received_bytes_total", "instance"), "{{instance}}")], {}),
        ("timeseries", 8, "Fetched, not taken", "Records in librdkafka's queues: many while Postgres is waited for.", "short",
         [(f"sum({metric('kafka_queued_records')})", "records")], {}),
        ("timeseries", 8, "Bytes fetched, not taken", "Memory of these records.", "bytes",
         [(f"sum by (instance) ({metric('kafka_queued_bytes')})", "{{instance}}")], {}),
        ("timeseries", 8, "Brokers", "Connections that are up, and that ended; the longest p99 of round trips.", "short",
         [(f"min({metric('kafka_brokers_up')})", "up"),
          (grown("kafka_disconnects_total", "$__rate_interval"), "ended"),
          (f"max({metric('kafka_round_trip_seconds')})", "round trip, s")], {}),
    ]),
    ("Trouble", 8, [
        ("timeseries", 8, "Retries", "Failures that were tried again, by SQLSTATE; none: no answer.", "cps",
         [(rate("retries_total", "sqlstate"), "batches {{sqlstate}}"),
          (rate("recount_retries_total", "sqlstate"), "recounts {{sqlstate}}")], {}),
        ("timeseries", 8, "Owners",
         "Partitions taken and given, and batches refused as another owner had moved on.", "short",
         [(grown("rebalances_total", "$__rate_interval"), "rebalances"),
          (grown("fenced_batches_total", "$__rate_interval"), "fenced batches")], {}),
        ("timeseries", 8, "Unknown commits",
         "Commits whose reply was lost: applied again, found fenced (stored, most often), or left.", "short",
         [(grown("unknown_commits_total", "$__rate_interval", "ended"), "{{ended}}")], {}),
        ("table", 8, "Versions", "Which version with which declaration each member runs.", "none",
         [(f"sum by (instance, version, declaration) ({metric('build_info')})", "")], {}),
    ]),
]

STAT = {"options": {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}}
LINES = {"options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}}
TABLE = {"transformations": [{"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}]}
OF_KIND = {"stat": STAT, "timeseries": LINES, "table": TABLE, "heatmap": {}}
OF_TARGET = {"heatmap": {"format": "heatmap"}, "table": {"format": "table", "instant": True}}


def make_panel(number, place, kind, title, about, unit, queries, colours):
    defaults = {"unit": unit, **colours}
    if kind == "timeseries":
        defaults |= {"min": 0, "custom": {"lineWidth": 2, "fillOpacity": 10}}
    targets = [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": query, "legendFormat": legend,
                **OF_TARGET.get(kind, {})}
               for i, (query, legend) in enumerate(queries)]
    return {"id": number, "type": kind, "title": title, "description": about, "datasource": SOURCE, "gridPos": place,
            "fieldConfig": {"defaults": defaults, "overrides": []}, "targets": targets, **OF_KIND[kind]}


def make_panels():
    made, y = [], 0
    for title, height, panels in ROWS:
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                     "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        x, y = 0, y + 1
        for kind, width, *rest in panels:
            if x + width > 24:
                x, y = 0, y + height
            made.append(make_panel(len(made) + 1, {"x": x, "y": y, "w": width, "h": height}, kind, *rest))
            x += width
        y += height
    return made


def variables():
    groups = "label_values(tidemark_build_info, job)"
    return [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
            {"name": "job", "type": "query", "label": "Group", "datasource": SOURCE, "definition": groups,
             "query": {"query": groups, "refId": "job"}, "refresh": 2, "sort": 1}]


def dashboard():
    drift = {"name": "Drift", "enable": True, "iconColor": "red", "datasource": SOURCE, "step": "60s",
             "titleFormat": "drift", "expr": grown("drift_rows_total", "1m") + " > 0"}
    return {"title": "Tidemark", "uid": "tidemark", "description": ABOUT, "tags": ["tidemark", "kafka", "postgres"],
            "schemaVersion": 39, "editable": True, "graphTooltip": 1, "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"}, "templating": {"list": variables()},
            "annotations": {"list": [drift]}, "panels": make_panels()}


def text():
    """JSON with a panel a line, so that a change of one is a change of one line."""
    whole = dashboard()
    panels = ",\n".join("  " + json.dumps(panel) for panel in whole.pop("panels"))
    head = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in whole.items())
    return f'{{\n{head} "panels": [\n{panels}\n ]\n}}\n'


def main():
    if sys.argv[1:] == ["--write"]:
        with open(OUT, "w", encoding="utf-8") as out:
            out.write(text())
    else:
        print(text(), end="")


if __name__ == "__main__":
    main()
