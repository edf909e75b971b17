"""Abuse checks about use: sham jobs, inflated capacity, reports with gaps. Integers and exact comparisons throughout."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, groupby, pairwise

from metering.capacity import Card
from voucher.finding import Evidence, Suspicion, Thresholds


@dataclass(frozen=True, slots=True)
class Job:
    """One closed interval of use: when (UTC microseconds, half-open), on which cards (empty where unknown), how much.

    `fingerprint` is what the job ran (image and command, hashed); `gpu_ms` card-milliseconds.
    """

    id: str
    centre: str
    account: str
    start_us: int
    end_us: int
    gpu_ms: int
    cards: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Plant:
    """What a centre can do in a period: cards, and the electricity that was measured and that its use would rate."""

    centre: str
    period: str
    cards: int
    period_ms: int
    kwh_measured: int | None
    kwh_rated: int


def sham_use(jobs: Iterable[Job], plants: Iterable[Plant], limits: Thresholds) -> Iterator[Suspicion]:
    """A3: more than the plant can do, electricity out of its band, one card in two jobs, one job again and again, flat lines."""
    by_centre: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_centre[job.centre].append(job)
    for plant in plants:
        used_ms = sum(job.gpu_ms for job in by_centre[plant.centre])
        yield from _beyond_capacity(plant, used_ms)
        yield from _electricity(plant, limits)
    for centre, own in sorted(by_centre.items()):
        yield from _overlaps(centre, own)
        yield from _repeats(own, limits)
        yield from _flat_lines(own, limits)


def _beyond_capacity(plant: Plant, used_ms: int) -> Iterator[Suspicion]:
    possible_ms = plant.cards * plant.period_ms
    if used_ms > possible_ms:
        evidence = (
            Evidence("gpu_ms", str(used_ms), plant.period),
            Evidence("possible_gpu_ms", str(possible_ms), plant.centre),
        )
        zh, en = "用量超过全部卡的可用时间", "more use than all cards have time for"
        question = "核对卡数与上报 / check the cards and the reports"
        yield Suspicion("A3", plant.centre, zh, en, question, evidence, f"capacity {plant.period}")


def _electricity(plant: Plant, limits: Thresholds) -> Iterator[Suspicion]:
    if plant.kwh_measured is None or not plant.kwh_rated:
        return
    if abs(plant.kwh_measured - plant.kwh_rated) * 100 > plant.kwh_rated * limits.kwh_band_percent:
        evidence = (
            Evidence("kwh_measured", str(plant.kwh_measured), plant.period),
            Evidence("kwh_rated", str(plant.kwh_rated), plant.period),
        )
        zh, en = "用电与用量不相称", "electricity does not fit the use"
        question = "用电明细与抽查 / the meter, and a visit"
        yield Suspicion("A3", plant.centre, zh, en, question, evidence, f"electricity {plant.period}")


def _overlaps(centre: str, jobs: list[Job]) -> Iterator[Suspicion]:
    """One whole card in two jobs at once."""
    on_card: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        for card in job.cards:
            on_card[card].append(job)
    for card, own in sorted(on_card.items()):
        last: Job | None = None
        for job in sorted(own, key=lambda job: (job.start_us, job.end_us, job.id)):
            if last is not None and job.start_us < last.end_us:
                evidence = (Evidence("job", last.id, card), Evidence("job", job.id, card))
                zh, en = f"卡 {card} 同时在两个作业中", f"the card {card} is in two jobs at once"
                key = f"card {card} {last.id} {job.id}"
                yield Suspicion("A3", centre, zh, en, "调度记录 / the scheduler's records", evidence, key)
            if last is None or job.end_us > last.end_us:
                last = job


def _repeats(jobs: list[Job], limits: Thresholds) -> Iterator[Suspicion]:
    same = Counter((job.account, job.fingerprint) for job in jobs if job.fingerprint)
    for (account, fingerprint), times in sorted(same.items()):
        if times >= limits.same_job_repeats:
            records = tuple(
                Evidence("job", job.id, fingerprint)
                for job in jobs
                if (job.account, job.fingerprint) == (account, fingerprint)
            )
            zh, en = f"同一作业运行 {times} 次", f"one job ran {times} times"
            question = "是否为刷券而跑 / whether it runs only to spend"
            yield Suspicion("A3", account, zh, en, question, records, f"repeated {fingerprint}")


def _flat_lines(jobs: list[Job], limits: Thresholds) -> Iterator[Suspicion]:
    """Many jobs in a row of one account with exactly the same use: people and schedulers are never that even."""
    ordered = sorted(jobs, key=lambda job: (job.account, job.start_us, job.id))
    for (account, gpu_ms), run in groupby(ordered, key=lambda job: (job.account, job.gpu_ms)):
        alike = list(run)
        if len(alike) >= limits.flat_jobs:
            evidence = (
                Evidence("jobs", str(len(alike)), f"{alike[0].id} – {alike[-1].id}"),
                Evidence("gpu_ms", str(gpu_ms), account),
            )
            zh, en = f"连续 {len(alike)} 个作业用量完全相同", f"{len(alike)} jobs in a row of exactly equal use"
            question = "是否虚构 / whether they are invented"
            yield Suspicion("A3", account, zh, en, question, evidence, f"flat {gpu_ms}")


@dataclass(frozen=True, slots=True)
class Declared:
    """What a centre says it can do, in dense FP16 TFLOPS, and of which kind the number is."""

    centre: str
    tflops: int
    sparse: bool


def inflated_capacity(
    declared: Iterable[Declared],
    inventory: Mapping[str, Mapping[str, int]],
    dense_gflops: Mapping[str, int],
    limits: Thresholds,
) -> Iterator[Suspicion]:
    """A10: a declared capacity that is sparse, or more than the inventory of cards gives at their dense rates."""
    for item in declared:
        cards = inventory.get(item.centre, {})
        known = {model: count for model, count in cards.items() if model in dense_gflops}
        tflops = sum(count * dense_gflops[model] for model, count in known.items()) // 1000
        evidence = [Evidence("sparse", "true", item.centre)] if item.sparse else []
        if item.tflops * 100 > tflops * (100 + limits.capacity_difference_percent):
            evidence += [
                Evidence("declared_tflops", str(item.tflops), item.centre),
                Evidence(
                    "inventory_tflops",
                    str(tflops),
                    ", ".join(f"{model} x {count}" for model, count in sorted(known.items())),
                ),
            ]
        if evidence:
            yield Suspicion(
                "A10",
                item.centre,
                f"申报算力 {item.tflops} TFLOPS，清单为 {tflops}",
                f"declares {item.tflops} TFLOPS; its inventory gives {tflops}",
                "按卡清点，抽测基准 / count the cards, run a benchmark",
                (
                    *evidence,
                    *(Evidence("model_unknown", model, item.centre) for model in sorted(cards.keys() - known.keys())),
                ),
                f"{item.tflops} {item.sparse}",
            )


def counted_twice(inventories: Mapping[str, Iterable[Card]]) -> Iterator[Suspicion]:
    """A10: one serial number in the inventories of two centres at the same time counts in both capacities."""
    places: dict[str, list[tuple[str, Card]]] = defaultdict(list)
    for centre, cards in sorted(inventories.items()):
        for card in cards:
            places[card.serial].append((centre, card))
    shared: dict[tuple[str, str], set[str]] = defaultdict(set)
    for serial, entries in places.items():
        for (first, one), (second, other) in combinations(entries, 2):
            if first != second and one.from_us < other.to_us and other.from_us < one.to_us:
                shared[first, second].add(serial)
    for (first, second), serials in sorted(shared.items()):
        yield Suspicion(
            "A10",
            first,
            f"{len(serials)} 张卡的序列号同时在 {second} 的清单中",
            f"{len(serials)} serial number(s) are in the inventory of {second} at the same time",
            "到场清点 / count the cards on the spot",
            tuple(Evidence("serial", second, serial) for serial in sorted(serials)),
            f"shared {second}",
        )


@dataclass(frozen=True, slots=True)
class Period:
    """What a centre declared for a period and what arrived: segments, card-milliseconds, and the sequence numbers seen.

    `numbers_missing` is how many numbers below the highest never came, where it is not known which.
    """

    centre: str
    period: str
    segments_declared: int | None
    segments_arrived: int
    gpu_ms_declared: int | None
    gpu_ms_arrived: int
    sequences: tuple[int, ...] = ()
    numbers_missing: int = 0


def incomplete_reports(periods: Iterable[Period]) -> Iterator[Suspicion]:
    """A13: no declaration, other sums than declared, or a gap in the sequence numbers."""
    for item in periods:
        evidence = []
        if item.segments_declared is None or item.gpu_ms_declared is None:
            evidence.append(Evidence("declaration_missing", "true", item.period))
        else:
            sums = (
                ("segments", item.segments_declared, item.segments_arrived),
                ("gpu_ms", item.gpu_ms_declared, item.gpu_ms_arrived),
            )
            evidence += [
                Evidence(f"{name}_declared_and_arrived", f"{said} / {came}", item.period)
                for name, said, came in sums
                if said != came
            ]
        if item.numbers_missing:
            evidence.append(Evidence("sequence_numbers_missing", str(item.numbers_missing), item.period))
        seen = sorted(set(item.sequences))
        evidence += [
            Evidence("sequence_gap", f"{low + 1} – {high - 1}", item.period)
            for low, high in pairwise(seen)
            if high - low > 1
        ]
        if evidence:
            yield Suspicion(
                "A13",
                item.centre,
                f"{item.period} 的上报不完整或不相符",
                f"the reports of {item.period} are incomplete or do not agree",
                "请中心补报或更正 / have the centre supply or correct",
                tuple(evidence),
                item.period,
            )
