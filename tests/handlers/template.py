"""A template, read as CloudFormation reads it: short functions become their long forms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parents[2] / "template.yaml"

Statement = Mapping[str, Any]


class _Loader(yaml.CSafeLoader):
    pass


def _function(loader: yaml.Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
        case _:
            raise TypeError(f"{node.tag} is neither scalar, sequence nor mapping")
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name: value}


_Loader.add_multi_constructor("!", _function)


@dataclass(frozen=True, slots=True)
class Template:
    """The parsed template."""

    body: Mapping[str, Any]

    @property
    def parameters(self) -> Mapping[str, Any]:
        parameters: Mapping[str, Any] = self.body["Parameters"]
        return parameters

    @property
    def resources(self) -> Mapping[str, Any]:
        resources: Mapping[str, Any] = self.body["Resources"]
        return resources

    def of_type(self, kind: str) -> Mapping[str, Any]:
        """Resources of one CloudFormation type, by logical id."""
        return {name: resource for name, resource in self.resources.items() if resource["Type"] == kind}

    def statements(self) -> Iterator[tuple[str, Statement]]:
        """Every statement of every role and managed policy, with a name to tell it by."""
        for name, resource in self.resources.items():
            match resource["Type"]:
                case "AWS::IAM::Role":
                    documents = [policy["PolicyDocument"] for policy in resource["Properties"].get("Policies", [])]
                case "AWS::IAM::ManagedPolicy":
                    documents = [resource["Properties"]["PolicyDocument"]]
                case _:
                    continue
            for document in documents:
                for statement in document["Statement"]:
                    yield f"{name}.{statement['Sid']}", statement


def load(path: Path = PATH) -> Template:
    """The controller's template, unless another is named."""
    return Template(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))  # noqa: S506  # a SafeLoader of our own


@cache
def table_properties() -> Mapping[str, Any]:
    """What CreateTable needs to make the template's table."""
    properties = load().resources["Table"]["Properties"]
    taken = ("BillingMode", "AttributeDefinitions", "KeySchema")
    return {name: properties[name] for name in taken}


def as_list(value: Any) -> list[Any]:
    """IAM takes one value where it takes a list of one."""
    return value if isinstance(value, list) else [value]
