"""The images by which instances are built anew, as EC2 lists them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autostop import tags
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import WorkstationId

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

OURS: list["FilterTypeDef"] = [{"Name": f"tag:{tags.AUTOSTOP}", "Values": [tags.ON]}]


def images_where(client: "EC2Client", filters: list["FilterTypeDef"]) -> Mapping[str, Mapping[str, Any]]:
    """The account's images by id, as DescribeImages shows them. Raises TransientError, DeniedError."""
    with aws_errors():
        pages = client.get_paginator("describe_images").paginate(Owners=["self"], Filters=filters)
        return {shape.get("ImageId", ""): dict(shape) for page in pages for shape in page["Images"]}


def images_of(client: "EC2Client", workstation: WorkstationId) -> Mapping[str, str]:
    """The names of the images that were made for a workstation, by id."""
    own: FilterTypeDef = {"Name": f"tag:{tags.WORKSTATION}", "Values": [workstation]}
    return {image: shape.get("Name", "") for image, shape in images_where(client, [own, *OURS]).items()}


def deregister(client: "EC2Client", image: str) -> None:
    """DeregisterImage; its snapshots stay."""
    with aws_errors(), AlreadySo("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"):
        client.deregister_image(ImageId=image)
