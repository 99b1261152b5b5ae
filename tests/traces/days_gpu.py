"""Days with a GPU: the processor is quiet while it works, and its memory is held while nobody does."""

from tests.traces.day import Day
from tests.traces.scenarios import scenario


@scenario()
def gpu_memory_held(day: Day) -> None:
    """After the training the kernel keeps its memory on the GPU and does nothing."""
    day.machine.set(0, day.minutes, gpu=0.0)
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "08:40")
    day.cell(jupyter, "08:40", "10:20", "a cell trains on the GPU", cores=1.1)
    day.machine.set(day.at("08:40"), day.at("10:20"), gpu=93.0)


@scenario(hours=14, vcpus=8)
def gpu_training_with_quiet_processor(day: Day) -> None:
    """A cell trains on the GPU with 0.15 of 8 cores; the laptop woke meanwhile, so the server says `idle`."""
    day.machine.set(0, day.minutes, gpu=0.0)
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "08:40")
    day.cell(jupyter, "08:40", "12:33", "a cell trains on the GPU", cores=0.15)
    day.machine.set(day.at("08:40"), day.at("12:33"), gpu=71.0)
    jupyter.set(day.at("09:00"), day.at("12:33"), busy=0)


@scenario(hours=14, vcpus=8)
def gpu_job_of_nobody(day: Day) -> None:
    """A training that nothing owns (setsid, terminal closed): 0.1 cores, unseen in /proc; the GPU is at 88 %."""
    day.machine.set(0, day.minutes, gpu=0.0)
    day.login("08:00", "08:31")
    day.types("08:05", "08:30", "starts a training")
    day.orphan("08:30", "12:07", "a training on the GPU", cores=0.1)
    day.machine.set(day.at("08:30"), day.at("12:07"), gpu=88.0)


@scenario(hours=14, vcpus=8)
def gpu_in_bursts(day: Day) -> None:
    """A service of the owner uses the GPU for 3 minutes in every 11; the processor stays at 0.15 cores."""
    day.machine.set(0, day.minutes, gpu=0.0)
    day.login("08:00", "08:31")
    day.types("08:05", "08:30", "starts a service")
    day.orphan("08:30", "12:20", "a service on the GPU", cores=0.15)
    for minute in range(30, 258, 11):
        day.machine.set(minute, min(minute + 3, 260), gpu=64.0)
