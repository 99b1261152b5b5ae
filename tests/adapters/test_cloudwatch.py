"""The processor metric, in the world."""

from dataclasses import replace
from datetime import timedelta

import pytest

from autostop.domain.idle import Sample
from autostop.domain.workstation import Instance, WorkstationId
from autostop.ports import TransientError
from tests.usecases.autostop_at_work import START, AtWork

PERIOD = timedelta(minutes=5)


def instance(lab: AtWork, workstation: WorkstationId) -> Instance:
    found = lab.instances.find(workstation)
    assert found is not None
    return found


def test_percent_becomes_cores_oldest_first(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_cores(workstation, None)
    for number, percent in enumerate((5.0, 50.0, 100.0)):
        lab.world.put_cpu(workstation, START + number * PERIOD, percent)
    lab.clock.advance(timedelta(minutes=30))
    samples = lab.metrics.processor([instance(lab, workstation)], {workstation: START}, PERIOD, lab.clock())
    assert samples == {workstation: [Sample(START + n * PERIOD, cores) for n, cores in enumerate((0.2, 2.0, 4.0))]}


def test_no_data_is_no_sample_and_never_zero(lab: AtWork) -> None:
    workstation, other = lab.workstation(disks={}), lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    lab.world.lose_metrics(workstation)
    both = [instance(lab, workstation), instance(lab, other)]
    samples = lab.metrics.processor(both, {workstation: START, other: START}, PERIOD, lab.clock())
    assert samples[workstation] == []
    assert len(samples[other]) > 3


def test_five_hundred_and_one_workstations_take_two_calls(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = instance(lab, workstation)
    many = [replace(one, id=WorkstationId(f"i-{number:017x}")) for number in range(500)] + [one]
    lab.world.journal.clear()
    samples = lab.metrics.processor(many, {each.id: START for each in many}, PERIOD, lab.clock())
    assert len(samples) == 501
    assert samples[workstation]
    assert [len(call.parameters["MetricDataQueries"]) for call in lab.world.journal.calls("GetMetricData")] == [500, 1]


def test_a_refusal_is_an_error_and_no_empty_answer(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = instance(lab, workstation)
    lab.world.fail_next("GetMetricData", "Throttling", times=10)
    with pytest.raises(TransientError):
        lab.metrics.processor([one], {workstation: START}, PERIOD, lab.clock())


def test_of_an_unknown_number_of_cores_a_percentage_says_nothing(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    unknown = replace(instance(lab, workstation), vcpus=0)
    samples = lab.metrics.processor([unknown], {workstation: START}, PERIOD, lab.clock())
    assert samples == {workstation: []}
