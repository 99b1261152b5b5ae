"""What AWS answers when it refuses."""


class AwsError(Exception):
    """An error as the client reads it.

    code: AWS's error code, such as `IncorrectState`; message: AWS's sentence; status: of HTTP; reason: the second code
    that the EBS direct APIs add.
    """

    def __init__(self, code: str, message: str, status: int = 400, *, reason: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.reason = reason


def invalid_value(value: object, parameter: str, why: str) -> AwsError:
    """InvalidParameterValue in the words that EC2 has for most of its parameters."""
    return AwsError("InvalidParameterValue", f"Value ({value}) for parameter {parameter} is invalid. {why}")
