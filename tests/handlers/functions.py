"""The handlers as Lambda loads them, and requests as API Gateway sends them."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLE = "i-0123456789abcdef0"
EXAMPLE_SECRET = "bWFkZS11cC1zZWNyZXQtZm9yLWV4YW1wbGVzLW9ubHk"
# What is used of Lambda's context, by the handlers and by their logger.
CONTEXT = SimpleNamespace(
    aws_request_id="request",
    function_name="autostop",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:autostop",
    get_remaining_time_in_millis=lambda: 60_000,
)


def load(name: str) -> ModuleType:
    """functions/<name>/app.py, fresh: its clients are made anew."""
    path = ROOT / "functions" / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"{name}_app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def event(name: str, **instead: str) -> Any:
    """An example event, with other ids or secrets in place of the example's."""
    text = (ROOT / "events" / f"{name}.json").read_text(encoding="utf-8")
    for example, other in instead.items():
        text = text.replace(example.replace("_", "-"), other)
    return json.loads(text)


def request(method: str, path: str, secret: str | None = None, source: str = "192.0.2.7") -> dict[str, Any]:
    """A request by API Gateway's payload 2.0."""
    asked: dict[str, Any] = event("api-status")
    asked["rawPath"] = path
    asked["requestContext"]["http"] |= {"method": method, "path": path, "sourceIp": source}
    if secret is None:
        del asked["headers"]["authorization"]
    else:
        asked["headers"]["authorization"] = f"Bearer {secret}"
    return asked
