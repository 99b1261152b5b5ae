"""`autostop adopt`: what is refused, what is shown, and what is tagged in which order."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from autostop import tags
from autostop.aws.owners_url import notice_name
from autostop.model import AttachmentState, InstanceState, SpotKind, instance_of
from autostop.settings import SETTINGS, Policy, Probe
from autostop_cli import consent
from autostop_cli.adopt import Adoption, Change, plan_adoption
from autostop_cli.certificate import NotACertificateError, fingerprint
from autostop_local.world.certificate import certificate_sha256, make_certificate
from tests import build
from tests.cli.desk import Desk, desk

DIGEST = "ab" * 32
HTTPS = {"autostop:probe": "https", tags.JUPYTER_CERTIFICATE: DIGEST}


def plan(
    instance: Any = None, volumes: Any = None, settings: Any = None, policy: Policy | None = None, *, token: bool = True
) -> Adoption:
    return plan_adoption(
        instance or build.instance(tags={"Name": "lab"}),
        build.both() if volumes is None else volumes,
        (),
        settings or {},
        policy or Policy(),
        has_token=token,
    )


# -- the plan


def test_fresh_instance_and_volumes_get_every_tag() -> None:
    fresh = [replace(each, tags={"Project": "genome"}) for each in build.both()]
    adoption = plan(volumes=fresh, settings={"autostop:idle-after": "45m"})
    assert adoption.refusals == ()
    by_resource = {each.resource: {change.key: change.new for change in each.changes} for each in adoption.volumes}
    assert by_resource == {
        "vol-root": {tags.AUTOSTOP: "on", tags.WORKSTATION: build.ID, tags.DEVICE: build.ROOT},
        "vol-data": {tags.AUTOSTOP: "on", tags.WORKSTATION: build.ID, tags.DEVICE: build.DATA},
    }
    assert adoption.instance.changes == (Change("autostop:idle-after", None, "45m"), Change(tags.AUTOSTOP, None, "on"))
    assert adoption.policy.idle_after == timedelta(minutes=45)


def test_what_stops_it_at_work_is_said() -> None:
    settings = {"autostop:stop-at": "0 22 * * * Europe/Berlin", "autostop:max-run": "12h"}
    assert plan(settings=settings).warnings == (
        "Its stop-at is 0 22 * * * Europe/Berlin: it is put to sleep then even if somebody works.",
        "Its max-run is 12 h: it is put to sleep then even if somebody works.",
    )


def test_only_what_differs_is_changed() -> None:
    adopted = build.instance(tags={tags.AUTOSTOP: "on", "autostop:idle-after": "30m"})
    assert not plan(adopted, settings={"autostop:idle-after": "30m"}).changes_tags
    changed = plan(adopted, settings={"autostop:idle-after": "45m"})
    assert changed.instance.changes == (Change("autostop:idle-after", "30m", "45m"),)


def test_volume_that_moved_to_another_device_is_tagged_anew() -> None:
    moved = build.volume(build.DATA, device="/dev/sdg")
    adoption = plan(volumes=[build.volume(), moved])
    assert [each.changes for each in adoption.volumes] == [(Change(tags.DEVICE, build.DATA, "/dev/sdg"),), ()]


def test_shelved_workstation_gets_new_settings() -> None:
    adoption = plan(build.instance(), volumes=[], settings={"autostop:grace": "5m"})
    assert adoption.refusals == ()
    assert [change.key for change in adoption.instance.changes] == ["autostop:grace"]


@pytest.mark.parametrize(("field", "words"), [
    ({"root_is_ebs": False}, "instance store"),
    ({"spot": SpotKind.ONE_TIME}, "one-time Spot"),
    ({"tags": {tags.AUTO_SCALING_GROUP: "fleet"}}, "Auto Scaling group fleet"),
    ({"hibernation": True}, "hibernation"),
    ({"stop_protected": True}, "disableApiStop"),
    ({"instance_store_gb": 250}, "instance-store disks"),
    ({"marketplace": True}, "Marketplace"),
    ({"state": InstanceState.TERMINATED}, "terminated"),
    ({"root_device": "/dev/sda1", "tags": {}}, "no volume at its root device"),
    ({"tags": {f"own-{number}": "" for number in range(50)}}, "has no room"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")  # fmt: skip
def test_instance_is_refused(field: dict[str, Any], words: str) -> None:
    (refusal,) = plan(build.instance(**field)).refusals
    assert words in refusal


@pytest.mark.parametrize(("field", "words"), [
    ({"multi_attach": True}, "several instances"),
    ({"tags": {tags.WORKSTATION: "i-other"}}, "a part of the workstation i-other"),
    ({"attachment": AttachmentState.DETACHING}, "is detaching"),
    ({"tags": {f"own-{number}": "" for number in range(32)}}, "more than 31 tags"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")  # fmt: skip
def test_volume_is_refused(field: dict[str, Any], words: str) -> None:
    (refusal,) = plan(volumes=[build.volume(), build.volume(build.DATA, **field)]).refusals
    assert "vol-data" in refusal
    assert words in refusal


@pytest.mark.parametrize("settings", [{"autostop:shelve-after": "off"}, {}], ids=["never shelved", "spot"])
def test_what_is_only_stopped_may_have_volumes_that_are_never_shelved(settings: dict[str, str]) -> None:
    instance = build.instance(tags={}, spot=None if settings else SpotKind.PERSISTENT)
    adoption = plan(instance, [build.volume(), build.volume(build.DATA, multi_attach=True)], settings)
    assert adoption.refusals == ()


@pytest.mark.parametrize(("settings", "policy", "token", "words"), [
    (HTTPS, Policy(), False, ["holds no token"]),
    ({"autostop:probe": "https"}, Policy(), True, ["no certificate is pinned"]),
    ({}, Policy(probe=Probe.HTTPS), False, ["no certificate is pinned", "holds no token"]),
    (HTTPS, Policy(), True, []),
    ({}, Policy(), False, []),
])  # fmt: skip
def test_https_needs_certificate_and_token(
    settings: dict[str, str], policy: Policy, token: bool, words: list[str]
) -> None:
    refusals = plan(settings=settings, policy=policy, token=token).refusals
    assert len(refusals) == len(words)
    assert all(word in refusal for word, refusal in zip(words, refusals, strict=True))


def test_bad_tag_that_is_already_there_is_told() -> None:
    adoption = plan(build.instance(tags={"autostop:grace": "soon"}))
    assert adoption.refusals == ()
    assert "autostop:grace = 'soon'" in adoption.warnings[0]


# -- the certificate


def test_fingerprint_of_files_and_hex(tmp_path: Path) -> None:
    pem = tmp_path / "cert.pem"
    make_certificate(pem, tmp_path / "key.pem", name="lab")
    expected = certificate_sha256(pem)
    assert fingerprint(str(pem)) == expected
    colons = ":".join(expected.upper()[at : at + 2] for at in range(0, 64, 2))
    assert fingerprint(colons) == expected
    chain = tmp_path / "chain.pem"
    chain.write_text((tmp_path / "key.pem").read_text() + pem.read_text() * 2)
    assert fingerprint(str(chain)) == expected


@pytest.mark.parametrize("content", [None, b"no certificate", b"\xff\x00"])
def test_what_is_no_certificate(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cert"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotACertificateError):
        fingerprint(str(path))


# -- the command


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_adopts_volumes_first_and_the_instance_last(at: Desk, stopped: bool) -> None:
    lab = at.launch()
    at.clock.advance(timedelta(minutes=5))
    if stopped:
        at.account.instances.stop(instance_of(lab))
        at.clock.advance(timedelta(minutes=5))
    result = at.run("adopt", lab, "--yes", "--idle-after", "45m")
    assert result.exit_code == 0, result.output
    assert [call["Resources"] for call in at.calls("CreateTags")][-1] == [lab]
    assert at.tags(lab) == {"Name": "lab", "autostop": "on", "autostop:idle-after": "45m"}
    for device in ("/dev/sda1", "/dev/sdf"):
        volume = at.tags(at.volume_at(lab, device))
        assert volume == {"autostop": "on", "autostop:workstation": lab, "autostop:device": device}
    assert "/dev/sdf, gp3, 100 GiB" in result.output
    assert "$8.64 a month" in result.output
    assert "It stops when idle for 45 min" in result.output

    again = at.run("adopt", lab, "--yes")
    assert again.exit_code == 0
    assert "Nothing is to be changed" in again.output
    assert len(at.calls("CreateTags")) == 3


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_stop_protection_is_seen_in_every_state(at: Desk, stopped: bool) -> None:
    lab = at.launch()
    at.clock.advance(timedelta(minutes=5))
    if stopped:
        at.account.instances.stop(instance_of(lab))
        at.clock.advance(timedelta(minutes=5))
    at.account.ec2.modify_instance_attribute(InstanceId=lab, DisableApiStop={"Value": True})
    result = at.run("adopt", lab, "--yes")
    assert result.exit_code == 1
    assert "disableApiStop" in result.output
    assert at.calls("CreateTags") == []


def test_a_machine_with_a_gpu_is_refused_with_the_word_to_give_and_sleeps_and_wakes_with_it(at: Desk) -> None:
    lab = at.lab.neighbour(type="g5.xlarge")
    at.clock.advance(timedelta(minutes=5))
    refused = at.run("adopt", lab, "--yes")
    assert refused.exit_code == 1
    assert "type g5.xlarge has instance-store disks (250 GB), and a stop empties them" in refused.output
    assert f"`autostop adopt {lab} --instance-store-is-scratch`" in refused.output
    assert at.calls("CreateTags") == []

    adopted = at.run("adopt", lab, "--yes", "--instance-store-is-scratch")
    assert adopted.exit_code == 0, adopted.output
    assert at.tags(lab)[tags.INSTANCE_STORE_IS_SCRATCH] == "yes"
    assert "instance-store disks (250 GB) are scratch by your word: each stop empties them" in adopted.output
    # The word stays, so that other settings can be given without it.
    assert at.run("adopt", lab, "--yes", "--grace", "5m").exit_code == 0

    at.lab.asleep(lab)
    assert at.account.disks.volumes(lab) == []
    at.account.owner.start(lab, "the test")
    at.lab.awake(lab)
    assert [volume.device for volume in at.account.disks.volumes(lab)] == ["/dev/sda1"]


def test_where_every_new_volume_is_encrypted_the_key_is_named_before(at: Desk) -> None:
    at.account.session.client("ec2").enable_ebs_encryption_by_default()
    result = at.run("adopt", at.launch(), "--yes")
    assert result.exit_code == 0, result.output
    assert "Note: This account encrypts every new volume: its disks come back encrypted" in result.output
    only_stopped = at.run("adopt", at.launch(), "--yes", "--shelve-after", "off")
    assert "encrypts" not in only_stopped.output


def test_an_account_without_a_default_vpc_is_as_good(at: Desk) -> None:
    for subnet in at.account.ec2.describe_subnets()["Subnets"]:
        at.account.ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for vpc in at.account.ec2.describe_vpcs()["Vpcs"]:
        at.account.ec2.delete_vpc(VpcId=vpc["VpcId"])
    assert at.run("adopt", at.launch(), "--yes").exit_code == 0


def test_nobody_needs_to_know_how_the_account_encrypts(at: Desk) -> None:
    at.world.fail_next("GetEbsEncryptionByDefault", "UnauthorizedOperation", times=9)
    assert at.run("adopt", at.launch(), "--yes").exit_code == 0


def test_a_disk_that_is_encrypted_already_needs_no_note() -> None:
    encrypted = [replace(each, encrypted=True) for each in build.both()]
    instance = build.instance(tags={"Name": "lab"})
    assert plan_adoption(instance, encrypted, (), {}, Policy(), has_token=True, encrypts=True).warnings == ()


def test_nobody_to_ask_changes_nothing(at: Desk) -> None:
    result = at.run("adopt", at.launch())
    assert result.exit_code == 1
    assert "Give --yes" in result.output
    assert at.calls("CreateTags") == []


def test_dry_run_changes_nothing(at: Desk) -> None:
    result = at.run("adopt", at.launch(), "--dry-run", "--yes")
    assert result.exit_code == 0
    assert "dry run" in result.output
    assert at.calls("CreateTags") == []


def test_what_changes_while_the_owner_reads_is_not_done(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = at.launch()
    volume = at.volume_at(lab, "/dev/sdf")
    monkeypatch.setattr(consent, "confirm", lambda _: at.world.tag(volume, {tags.DEVICE: "/dev/sdx"}))
    result = at.run("adopt", lab)
    assert result.exit_code == 1
    assert "changed meanwhile" in result.output
    assert at.calls("CreateTags") == []


def test_owner_says_no(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_question: str) -> None:
        raise click.Abort

    monkeypatch.setattr(consent, "confirm", no)
    result = at.run("adopt", at.launch())
    assert (result.exit_code, "Aborted!" in result.output) == (1, True)
    assert at.calls("CreateTags") == []


@pytest.mark.parametrize(("option", "value", "words"), [
    ("--idle-after", "0", "longer than 0"),
    ("--grace", "soon", "not a duration"),
    ("--cpu-cores", "nan", "number of processor cores"),
    ("--jupyter-port", "70000", "not a port"),
    ("--shelve-after", "x", "not a duration"),
    ("--gpu-percent", "100", "above 0 and below 100"),
    ("--network-rate", "fast", "write it like 100k or 1M"),
    ("--weak-signals", "no", "not a duration"),
    ("--ignore-kernels-older-than", "0", "longer than 0"),
    ("--protected-hours", "* 9-17 * * sat-sun UTC", "ranges go upwards"),
    ("--stop-at", "0 22 * * * Berlin", "write an IANA name, like Europe/Berlin"),
    ("--max-run", "0", "longer than 0"),
    ("--warn-before", "soon", "not a duration"),
    ("--report-unknown-after", "0", "longer than 0"),
    ("--probe", "telnet", "telnet"),
    ("--certificate", "/nowhere", "neither a SHA-256"),
    ("--jupyter-runtime", "run", "absolute path"),
])  # fmt: skip
def test_bad_setting_is_a_usage_error_before_anything(at: Desk, option: str, value: str, words: str) -> None:
    result = at.run("adopt", "i-0123456789abcdef0", "--yes", option, value)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert option in result.output
    assert at.world.journal.calls() == []


def test_schedules_become_tags(at: Desk) -> None:
    lab = at.launch()
    result = at.run("adopt", lab, "--yes", "--protected-hours", "* 9-17 * * mon-fri Europe/Berlin", "--stop-at", "off")
    assert result.exit_code == 0, result.output
    assert at.tags(lab)["autostop:protected-hours"] == "* 9-17 * * mon-fri Europe/Berlin"
    assert at.tags(lab)["autostop:stop-at"] == "off"


def test_a_tag_that_is_no_setting_is_told_before_anything_is_changed(at: Desk) -> None:
    lab = at.launch()
    at.world.tag(lab, {"autostop:shelve_after": "never", "autostop:owner": "me\u202e"})
    result = at.run("adopt", lab, "--dry-run")
    assert (
        "Note: tag 'autostop:shelve_after' = 'never' is no setting; did you mean autostop:shelve-after?"
        in result.output
    )
    assert "tag 'autostop:owner' = 'me\\u202e' is no setting. Remove it" in result.output
    assert "its disks are never shelved" in result.output


def test_every_setting_is_an_option_of_adopt(at: Desk) -> None:
    options = at.run("adopt", "--help").output
    assert [setting.name for setting in SETTINGS if f"--{setting.name} " not in options] == []


@pytest.mark.parametrize("how", ["stdin", "environment"])
def test_https_stores_token_and_fingerprint(at: Desk, how: str) -> None:
    lab = at.launch()
    words = ["adopt", lab, "--yes", "--probe", "https", "--certificate", DIGEST.upper()]
    if how == "stdin":
        result = at.run(*words, "--token-from-stdin", stdin="s3cret\n")
    else:
        result = at.run(*words, environment={"AUTOSTOP_JUPYTER_TOKEN": "s3cret"})
    assert result.exit_code == 0, result.output
    assert "s3cret" not in result.output
    name = f"/autostop/{lab}/jupyter-token"
    stored = at.account.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert (stored["Value"], stored["Type"]) == ("s3cret", "SecureString")
    assert at.tags(lab)[tags.JUPYTER_CERTIFICATE] == DIGEST
    # Once stored, it need not be given again.
    assert at.run("adopt", lab, "--yes", "--jupyter-port", "9999").exit_code == 0
    assert at.tags(lab)["autostop:jupyter-port"] == "9999"


def test_a_url_for_its_notices_is_kept_as_a_secret_and_may_be_taken_back(at: Desk) -> None:
    lab, ssm = at.launch(), at.account.ssm
    adopted = at.run("adopt", lab, "--yes", "--notify", "https://ntfy.sh/topic")
    assert f"/autostop/{lab}/notice-url, encrypted" in adopted.output
    assert "topic" not in adopted.output
    assert ssm.get_parameter(Name=notice_name(lab), WithDecryption=True)["Parameter"]["Value"].endswith("/topic")
    assert at.run("adopt", lab, "--yes", "--notify", "stack").exit_code == 0
    assert ssm.describe_parameters()["Parameters"] == []


def test_token_that_nobody_needs_is_not_kept(at: Desk) -> None:
    result = at.run("adopt", at.launch(), "--yes", "--token-from-stdin", stdin="s3cret\n")
    assert result.exit_code == 0
    assert "the token is not kept" in result.output
    assert at.account.ssm.describe_parameters()["Parameters"] == []


def test_https_without_token_is_refused(at: Desk) -> None:
    result = at.run("adopt", at.launch(), "--yes", "--probe", "https", "--certificate", DIGEST)
    assert result.exit_code == 1
    assert "holds no token" in result.output
    assert at.calls("CreateTags") == []


def test_volume_of_another_workstation_is_refused(at: Desk) -> None:
    lab = at.launch()
    at.world.tag(at.volume_at(lab, "/dev/sdf"), {tags.WORKSTATION: "i-0000000000000000f"})
    result = at.run("adopt", lab, "--yes")
    assert result.exit_code == 1
    assert "i-0000000000000000f" in result.output
    assert at.calls("CreateTags") == []


def test_failure_halfway_leaves_no_workstation_and_can_be_repeated(at: Desk) -> None:
    lab = at.launch()
    at.world.fail_next(
        "CreateTags", "UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: xyz"
    )
    result = at.run("adopt", lab, "--yes")
    assert result.exit_code == 1
    assert "permission for CreateTags" in result.output
    assert "xyz" not in result.output
    assert "autostop" not in at.tags(lab)
    assert at.run("adopt", lab, "--yes").exit_code == 0
    assert at.tags(lab)["autostop"] == "on"


def test_unknown_instance_and_missing_stack_are_one_sentence(at: Desk) -> None:
    unknown = at.run("adopt", "i-0123456789abcdef0", "--yes")
    assert unknown.exit_code == 1
    assert unknown.output.startswith("Error: EC2 knows no instance i-0123456789abcdef0 in us-east-1.")
    lab = at.launch()
    at.account.session.client("cloudformation").delete_stack(StackName="autostop")
    missing = at.run("adopt", lab, "--yes")
    assert missing.exit_code == 1
    assert "There is no stack autostop in us-east-1." in missing.output


def test_stack_that_asks_by_https_needs_a_certificate(tmp_path: Path) -> None:
    with desk(tmp_path / "world", Probe="https") as at:
        result = at.run("adopt", at.launch(), "--yes")
    assert result.exit_code == 1
    assert "--certificate" in result.output
