"""`python -m tests.traces.generate` writes the generated traces anew; the same bytes each time."""

from tests.traces import days_gpu, days_machines, days_notebooks, days_terminals
from tests.traces.files import DATA, text_of
from tests.traces.scenarios import SCENARIOS

# The modules put their days on the list when they are imported.
PAINTERS = (days_gpu, days_machines, days_notebooks, days_terminals)


def generated() -> dict[str, str]:
    """The text of every generated trace, by its name."""
    return {name: text_of(make().trace()) for name, make in SCENARIOS.items()}


def main() -> None:
    for name, text in generated().items():
        (DATA / f"{name}.jsonl").write_text(text)


if __name__ == "__main__":
    main()
