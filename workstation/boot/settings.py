"""What the user data wrote down for this machine."""

import json
import pwd
from dataclasses import dataclass
from pathlib import Path

from workstation.boot.programs import FailedError

FILE = Path("/etc/autostop/workstation.json")


@dataclass(frozen=True, slots=True)
class Settings:
    """user: owns the data and runs JupyterLab. data_device: what EC2 calls the data volume.

    wait_for_disk, wait_for_network: seconds that each may take to appear. wait_for_certificate: seconds that Let's
    Encrypt may take. metadata: host, and port, of EC2's metadata service. mountpoint,
    mountpoint_key: where Mountpoint for Amazon S3 is released, and the fingerprint of the key that signs it.

    What an owner may change later is not here: the machine reads it from its tags at each boot.
    """

    user: str = "ubuntu"
    data_device: str = "/dev/sdf"
    wait_for_disk: float = 10
    wait_for_network: float = 10
    wait_for_certificate: float = 180
    metadata: str = "169.254.169.254"
    mountpoint: str = "https://s3.amazonaws.com/mountpoint-s3-release"
    mountpoint_key: str = "673FE4061506BB469A0EF857BE397A52B086DA5A"

    @classmethod
    def read(cls) -> "Settings":
        """Raises OSError, ValueError and TypeError (for a name that is unknown)."""
        return cls(**json.loads(FILE.read_text(encoding="utf-8")))

    def owner(self) -> tuple[int, int]:
        """Their uid and gid. Raises FailedError when nobody has that name."""
        entry = self._entry()
        return entry.pw_uid, entry.pw_gid

    def home(self) -> Path:
        """Theirs. Raises FailedError when nobody has that name."""
        return Path(self._entry().pw_dir)

    def _entry(self) -> pwd.struct_passwd:
        try:
            return pwd.getpwnam(self.user)
        except KeyError as error:
            raise FailedError(f"there is no user {self.user}") from error
