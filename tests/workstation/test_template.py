"""The stack beside the machine: nothing in it can be replaced, and a machine that came from it does not notice."""

import itertools
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from autostop import tags
from autostop.settings import SETTINGS, InvalidSettingError
from autostop_local.emulator import REGION, Emulator, emulator
from tests.build import row
from tests.handlers.template import load
from workstation.boot import metadata, public_certificate
from workstation.boot.settings import Settings

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "workstation" / "template.yaml"
_SOON = {"Delay": 1, "MaxAttempts": 120}
_NUMBERS = itertools.count()
RATE = next(setting for setting in SETTINGS if setting.field == "initialization_rate")
CHANGES = [
    row("another type", {"InstanceType": "c5.2xlarge"}),
    row("Spot", {"Market": "spot"}),
    row("larger volumes", {"RootSize": "60", "DataSize": "500"}),
    row("another root device", {"RootDevice": "/dev/xvda"}),
    row("disks that are filled", {"InitializationRate": "300"}),
    row("another certificate", {"Certificate": "letsencrypt"}),
    row("old versions for longer", {"OldVersionsFor": "365"}),
]


def resources() -> Mapping[str, Any]:
    return load(TEMPLATE).resources


def test_it_holds_what_an_update_changes_in_place_and_no_machine() -> None:
    assert {resource["Type"] for resource in resources().values()} == {
        "AWS::EC2::LaunchTemplate", "AWS::IAM::InstanceProfile", "AWS::IAM::Role", "AWS::S3::Bucket",
    }  # fmt: skip


def replacing(kind: str) -> set[str]:
    """Properties of a type whose change replaces the resource, always or under conditions."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415 # half a second in every process else

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    paths = [*schema.get("createOnlyProperties", []), *schema.get("conditionalCreateOnlyProperties", [])]
    return {path.removeprefix("/properties/").partition("/")[0] for path in paths}


@pytest.mark.parametrize("name", resources())
def test_no_property_is_set_whose_change_replaces_the_resource(name: str) -> None:
    resource = resources()[name]

    assert replacing(resource["Type"])
    assert not replacing(resource["Type"]) & resource["Properties"].keys()


def test_what_holds_the_owners_files_stays_when_the_stack_goes() -> None:
    bucket = resources()["Bucket"]

    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_disk_of_the_template_is_the_one_that_the_boot_script_formats() -> None:
    disks = resources()["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["BlockDeviceMappings"]

    assert [disk["DeviceName"] for disk in disks][1] == Settings().data_device


def test_spot_is_asked_for_so_that_it_can_be_stopped() -> None:
    data = resources()["LaunchTemplate"]["Properties"]["LaunchTemplateData"]

    condition, spot, otherwise = data["InstanceMarketOptions"]["Fn::If"]
    assert (condition, otherwise) == ("Spot", {"Ref": "AWS::NoValue"})
    assert spot == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
    }


# -- in the emulator ---------------------------------------------------------------------------------------------------


@dataclass
class Deployed:
    emulator: Emulator
    stack: str
    parameters: dict[str, str] = field(default_factory=dict)

    def client(self, service: Any) -> Any:
        return self.emulator.session.client(service, **self.emulator.reach)

    def change(self, kind: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """What a change set would do; it is executed."""
        self.parameters |= parameters
        cloudformation = self.client("cloudformation")
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()]
        made = cloudformation.create_change_set(
            StackName=self.stack, ChangeSetName=f"to-{kind.lower()}", ChangeSetType=kind, Parameters=given,
            TemplateBody=TEMPLATE.read_text(encoding="utf-8"), Capabilities=["CAPABILITY_IAM"],
        )  # fmt: skip
        cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=made["Id"], WaiterConfig=_SOON)
        told = cloudformation.describe_change_set(ChangeSetName=made["Id"])
        cloudformation.execute_change_set(ChangeSetName=made["Id"])
        cloudformation.get_waiter(f"stack_{kind.lower()}_complete").wait(StackName=self.stack, WaiterConfig=_SOON)
        return [change["ResourceChange"] for change in told["Changes"]]

    def resources(self) -> dict[str, str]:
        found = self.client("cloudformation").describe_stack_resources(StackName=self.stack)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}

    def outputs(self) -> dict[str, str]:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def launch_data(self) -> dict[str, Any]:
        outputs = self.outputs()
        (version,) = self.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=outputs["LaunchTemplateId"], Versions=[outputs["LaunchTemplateVersion"]]
        )["LaunchTemplateVersions"]
        return dict(version["LaunchTemplateData"])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture
def deploy(cloud: Emulator) -> Callable[..., Deployed]:
    """A stack of its own, with these parameters."""

    def made(**parameters: str) -> Deployed:
        stack = Deployed(cloud, f"workstation-{next(_NUMBERS)}")
        stack.change("CREATE", parameters)
        return stack

    return made


def test_a_machine_is_launched_as_it_has_to_be(deploy: Callable[..., Deployed]) -> None:
    deployed = deploy()

    data = deployed.launch_data()
    asked = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "InstanceMetadataTags": "enabled"}
    assert data["MetadataOptions"].items() >= asked.items()
    assert data["InstanceInitiatedShutdownBehavior"] == "stop"
    assert "InstanceMarketOptions" not in data
    assert {disk["Ebs"]["VolumeType"] for disk in data["BlockDeviceMappings"]} == {"gp3"}
    assert all(disk["Ebs"]["Encrypted"] for disk in data["BlockDeviceMappings"])
    adopted = {spec["ResourceType"]: spec["Tags"] for spec in data["TagSpecifications"]}
    on = {"Key": tags.AUTOSTOP, "Value": tags.ON}
    told = {tags.CERTIFICATE: "self-signed", tags.BUCKET: deployed.outputs()["BucketName"]}
    assert adopted == {"instance": [on, *({"Key": key, "Value": told[key]} for key in told)], "volume": [on]}


def test_what_is_chosen_for_machines_is_told_to_who_launches_and_wakes_them(deploy: Callable[..., Deployed]) -> None:
    deployed = deploy()
    assert deployed.outputs()["VpcId"] == "default"

    deployed.change("UPDATE", {"Vpc": "vpc-0a1b2c", "InitializationRate": "300"})

    assert deployed.outputs()["VpcId"] == "vpc-0a1b2c"
    (of_instance, _) = deployed.launch_data()["TagSpecifications"]
    told = {tag["Key"]: tag["Value"] for tag in of_instance["Tags"]}
    assert told[RATE.tag] == "300"


@pytest.mark.parametrize(("rate", "expected"), [
    row("off", "off", True),
    row("as slow as can be", "100", True),
    row("slower", "99", False),
    row("as fast as can be", "300", True),
    row("faster", "301", False),
    row("not a number", "fast", False),
])  # fmt: skip
def test_the_rates_that_it_takes_are_those_of_the_setting(rate: str, expected: bool) -> None:
    pattern = load(TEMPLATE).parameters["InitializationRate"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, rate)) is expected
    if expected:
        RATE.parse(rate)
    else:
        with pytest.raises(InvalidSettingError):
            RATE.parse(rate)


def test_the_machine_reads_the_tags_that_it_is_given() -> None:
    read = {key.removeprefix("tags/instance/") for key in (metadata.CERTIFICATE, metadata.BUCKET)}

    assert read == {tags.CERTIFICATE, tags.BUCKET}
    assert public_certificate.CHOSEN in load(TEMPLATE).parameters["Certificate"]["AllowedValues"]


@pytest.mark.parametrize("parameters", CHANGES)
def test_a_likely_update_replaces_nothing(deploy: Callable[..., Deployed], parameters: dict[str, str]) -> None:
    deployed = deploy()
    before = deployed.resources()

    changes = deployed.change("UPDATE", parameters)

    assert changes
    for change in changes:
        # The emulator does not know all types: "Conditional" is what it says then.
        assert (change["Action"], change["Replacement"]) in {("Modify", "False"), ("Modify", "Conditional")}
        assert not replacing(change["ResourceType"]) & {detail["Target"].get("Name") for detail in change["Details"]}
    assert deployed.resources() == before


def test_the_role_may_use_its_bucket_and_no_other(deploy: Callable[..., Deployed]) -> None:
    deployed = deploy()
    deployed.client("s3").create_bucket(
        Bucket="anothers-bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    given = deployed.client("sts").assume_role(RoleArn=deployed.outputs()["RoleArn"], RoleSessionName="i-0abc")
    keys = given["Credentials"]
    s3 = deployed.emulator.session.client(
        "s3", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"], **deployed.emulator.reach,
    )  # fmt: skip
    own = deployed.outputs()["BucketName"]

    s3.put_object(Bucket=own, Key="thought.csv", Body=b"a thought")
    assert s3.get_object(Bucket=own, Key="thought.csv")["Body"].read() == b"a thought"
    assert s3.list_objects_v2(Bucket=own)["KeyCount"] == 1
    s3.delete_object(Bucket=own, Key="thought.csv")
    refused: list[Callable[[], object]] = [
        lambda: s3.put_object(Bucket="anothers-bucket", Key="thought.csv", Body=b""),
        lambda: s3.list_objects_v2(Bucket="anothers-bucket"),
        lambda: s3.delete_bucket(Bucket=own),
        lambda: s3.put_bucket_versioning(Bucket=own, VersioningConfiguration={"Status": "Suspended"}),
    ]
    for call in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()


def test_sam_deploys_it_by_the_name_of_its_environment_and_the_bucket_outlives_it(cloud: Emulator) -> None:
    command = [str(ROOT / ".venv-sam/bin/sam"), "deploy", "--config-env", "workstation"]
    environment = cloud.environment() | {"SAM_CLI_TELEMETRY": "0", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    deployed = Deployed(cloud, "autostop-workstation")
    bucket = deployed.outputs()["BucketName"]

    deployed.client("cloudformation").delete_stack(StackName=deployed.stack)

    gone = deployed.client("cloudformation").get_waiter("stack_delete_complete")
    gone.wait(StackName=deployed.stack, WaiterConfig=_SOON)
    assert bucket in [found["Name"] for found in deployed.client("s3").list_buckets()["Buckets"]]
