"""Google's catalogue over gRPC with TLS, machine types and tokens over HTTP; strict about what they are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from pricing.sources.gcp.calls import Clients
from tests.pricing.sources.listening import Request, Response, listening

if TYPE_CHECKING:  # else imported where they are used: they take seconds
    from google.cloud.billing_v1 import CloudCatalogClient, Sku
    from google.cloud.compute_v1 import MachineTypesClient

PROJECT = "our-project"
TOKEN = "ya29.of-a-test"
PER_PAGE = 7


def sku(description: str, usd: str, region: str = "us-central1", **changed: Any) -> Sku:
    """One SKU, by its documented form."""
    from google.cloud.billing_v1 import Sku

    units, _, nanos = usd.partition(".")
    money = {"currency_code": changed.get("currency", "USD"), "units": int(units), "nanos": int(nanos.ljust(9, "0"))}
    unit = changed.get("unit") or ("GiBy.h" if " Ram " in description else "h")
    expression = {"usage_unit": unit, "tiered_rates": [{"start_usage_amount": 0, "unit_price": money}]}
    return Sku(
        sku_id=changed.get("sku_id", f"{abs(hash((description, usd))) % 10**8:08d}"),
        description=description,
        category={"resource_family": "Compute", "usage_type": changed.get("usage_type", "OnDemand")},
        service_regions=[region],
        pricing_info=[{"pricing_expression": expression, "currency_conversion_rate": 1.0}],
    )


def machine_type(name: str, cpus: int, gib: float, gpu: str = "", count: int = 0, disks: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "guestCpus": cpus,
        "memoryMb": round(gib * 1024),
        "isSharedCpu": False,
        **({"accelerators": [{"guestAcceleratorType": gpu, "guestAcceleratorCount": count}]} if gpu else {}),
        **({"bundledLocalSsds": {"partitionCount": disks, "defaultInterface": "NVME"}} if disks else {}),
    }


@dataclass(slots=True)
class GcpServer:
    skus: list[Sku] = field(default_factory=list)
    machine_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by zone
    catalogue_faults: list[grpc.StatusCode] = field(default_factory=list)
    http_faults: list[Response] = field(default_factory=list)  # of machine types
    token_faults: list[Response] = field(default_factory=list)
    pages: int = 0  # of the catalogue that were given
    filters: list[str] = field(default_factory=list)

    def list_skus(self, request: Any, context: Any) -> Any:
        from google.cloud.billing_v1 import ListSkusResponse

        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {TOKEN}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token, or none that is known")
        if self.catalogue_faults:
            context.abort(self.catalogue_faults.pop(0), "for a test")
        if (request.parent, request.currency_code) != ("services/6F81-5844-456A", "USD"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "another service or currency")
        self.pages += 1
        begin = int(request.page_token or 0)
        more = begin + PER_PAGE < len(self.skus)
        page = ListSkusResponse(
            skus=self.skus[begin : begin + PER_PAGE], next_page_token=str(begin + PER_PAGE) if more else ""
        )
        return ListSkusResponse.pb(page)

    def __call__(self, request: Request) -> Response:
        if request.path == "/token":
            if self.token_faults:
                return self.token_faults.pop(0)
            return _json({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.path == f"/compute/v1/projects/{PROJECT}/aggregated/machineTypes", request.path
        if self.http_faults:
            return self.http_faults.pop(0)
        self.filters.append(request.query["filter"])
        zones = sorted(self.machine_types)
        at = int(request.query.get("pageToken", 0))
        items = {f"zones/{zone}": {"machineTypes": self.machine_types[zone]} for zone in zones[at : at + 1]}
        return _json({"items": items, **({"nextPageToken": str(at + 1)} if at + 1 < len(zones) else {})})


@contextmanager
def gcp_serving(server: GcpServer, folder: Path) -> Iterator[tuple[Clients, Path]]:
    """Serves until the end of the block; gives clients that ask it, and a service account's file."""
    from google.cloud.billing_v1 import CloudCatalogClient
    from google.cloud.billing_v1.services.cloud_catalog.transports import CloudCatalogGrpcTransport
    from google.cloud.compute_v1 import MachineTypesClient
    from google.cloud.compute_v1.services.machine_types.transports import MachineTypesRestTransport

    key, certificate = _certificate()
    with listening(server) as url, _catalogue(server, key, certificate) as address:
        root = grpc.ssl_channel_credentials(certificate)

        def catalogue(credentials: Any) -> CloudCatalogClient:
            transport = CloudCatalogGrpcTransport(host=address, credentials=credentials, ssl_channel_credentials=root)
            return CloudCatalogClient(transport=transport)

        def machine_types(credentials: Any) -> MachineTypesClient:
            host = url.removeprefix("http://")
            transport = MachineTypesRestTransport(host=host, credentials=credentials, url_scheme="http")
            return MachineTypesClient(transport=transport)

        account = folder / "account.json"
        account.write_text(json.dumps(_account(key, f"{url}/token")))
        yield Clients(catalogue=catalogue, machine_types=machine_types), account


@contextmanager
def _catalogue(server: GcpServer, key: bytes, certificate: bytes) -> Iterator[str]:
    from google.cloud.billing_v1 import ListSkusRequest, ListSkusResponse

    handler = grpc.unary_unary_rpc_method_handler(
        server.list_skus,
        request_deserializer=ListSkusRequest.pb().FromString,
        response_serializer=ListSkusResponse.pb().SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("google.cloud.billing.v1.CloudCatalog", {"ListSkus": handler})
    serving = grpc.server(ThreadPoolExecutor(max_workers=2))
    serving.add_generic_rpc_handlers((service,))
    port = serving.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    serving.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        serving.stop(None).wait()


@cache
def _certificate() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return (
        key.private_bytes(serialization.Encoding.PEM, *form),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


def _account(key: bytes, token_uri: str) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "broker@our-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
    }


def _json(document: dict[str, Any]) -> Response:
    return Response(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"})
