"""What the wheel carries to be deployed: the two templates, the functions' code, the user data of a machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from autostop.ports import DeniedError

# Where the controller's template has the code until it is known which bucket holds it.
_CODE = "s3://code/"


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The directory that `make wheel` fills."""

    directory: Traversable

    def template(self, name: str, bucket: str = "") -> str:
        """`controller`, whose code is then in the bucket, or `workstation`."""
        return (self.directory / f"{name}.yaml").read_text("utf-8").replace(_CODE, f"s3://{bucket}/")

    @property
    def code(self) -> Mapping[str, bytes]:
        """The zip files that the controller's template names, by key; a key tells the content."""
        return {each.name: each.read_bytes() for each in self.directory.iterdir() if each.name.endswith(".zip")}

    @property
    def user_data(self) -> bytes:
        """Of a new machine, as RunInstances takes it before base64."""
        return (self.directory / "user-data.gz").read_bytes()


def artefacts() -> Artefacts:
    """The installed wheel's. Raises DeniedError where the command runs from something else than its wheel."""
    directory = files("autostop_cli") / "artefacts"
    if not directory.is_dir():
        raise DeniedError("This copy of the command has nothing to deploy: install it from the wheel (`make wheel`).")
    return Artefacts(directory)
