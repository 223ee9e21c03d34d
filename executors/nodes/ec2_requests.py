"""Settings → what AWS is asked for: a launch template and an Auto Scaling group, as its API words them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from broker.model.errors import Misconfigured

if TYPE_CHECKING:
    from executors.nodes.ec2 import Ec2Settings

USER_DATA_LIMIT: Final = 16_384  # bytes, before they are encoded


def template_request(settings: Ec2Settings, machine: str, text: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """The data of a launch template. Raises `Misconfigured` when the script is longer than AWS takes."""
    data = text.encode()
    if len(data) > USER_DATA_LIMIT:
        raise Misconfigured(
            f"the start-up script is {len(data)} bytes, AWS takes {USER_DATA_LIMIT}: shorten nodes.setup, or put it "
            "into the image"
        )
    network: dict[str, Any] = {"DeviceIndex": 0, "Groups": list(settings.security_groups), "DeleteOnTermination": True}
    request: dict[str, Any] = {
        "ImageId": settings.image,
        "InstanceType": machine or settings.instance_type,
        "UserData": base64.b64encode(data).decode(),
        # A machine that is shut down from within is gone, and paid no more.
        "InstanceInitiatedShutdownBehavior": "terminate",
        "NetworkInterfaces": [network | {"AssociatePublicIpAddress": settings.public_ip}],
        "BlockDeviceMappings": [
            {
                "DeviceName": settings.root_device,
                "Ebs": {
                    "VolumeSize": settings.disk_gib,
                    "VolumeType": "gp3",
                    "DeleteOnTermination": True,
                    "Encrypted": True,
                },
            }
        ],
        # Only programs of the machine itself are told about it, and none in a container.
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tag_list(tags)} for kind in ("instance", "volume")],
    }
    return request | ({"KeyName": settings.key_name} if settings.key_name else {})


def group_request(settings: Ec2Settings, name: str, *, head: bool, most: int) -> dict[str, Any]:
    """An Auto Scaling group that begins empty."""
    template = {"LaunchTemplateName": name, "Version": "$Latest"}
    request: dict[str, Any] = {
        "AutoScalingGroupName": name,
        "MinSize": 0,
        "MaxSize": most,
        "VPCZoneIdentifier": ",".join(settings.subnets),
        "NewInstancesProtectedFromScaleIn": True,
    }
    if head or settings.buy == "on_demand":
        return request | {"LaunchTemplate": template}
    base, share = (settings.on_demand_base, settings.spot_share) if settings.buy == "mixed" else (0, 1.0)
    distribution = {
        "OnDemandBaseCapacity": base,
        "OnDemandPercentageAboveBaseCapacity": round(100 * (1 - share)),
        "SpotAllocationStrategy": "price-capacity-optimized",
    }
    return request | {
        "MixedInstancesPolicy": {
            "LaunchTemplate": {"LaunchTemplateSpecification": template},
            "InstancesDistribution": distribution,
        }
    }


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as AWS writes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
