"""Who is who in the cluster: one CA, certificates for the servers, bearer tokens for the clients."""

import base64
import json
import secrets
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

API_SERVER = "https://127.0.0.1:6443"
"""As seen from inside the cluster's network namespace, where every client of ours runs."""


def write_certificates(folder: Path, node: str, node_ip: str) -> None:
    """Write the CA, the certificates of the API server and the kubelet, and the key that signs service accounts."""
    authority = trustme.CA(organization_name="modelcar tests")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    _secret(folder / "ca.key", authority.private_key_pem.bytes())
    names = [f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    issued = {
        # 10.96.0.1 is the service "kubernetes": the first address of the service range.
        "apiserver": authority.issue_cert("127.0.0.1", node_ip, "10.96.0.1", "localhost", *names),
        "kubelet-server": authority.issue_cert(node_ip, node),
        # The API server as the kubelet's client: the group lets it read logs and exec.
        "kubelet-client": authority.issue_cert(
            "apiserver.invalid", common_name="kube-apiserver-kubelet-client", organization_name="system:masters"
        ),
    }
    for name, certificate in issued.items():
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        _secret(folder / f"{name}.key", certificate.private_key_pem.bytes())
    _write_signing_key(folder)


def _write_signing_key(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _secret(folder / "sa.key", private)
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "sa.pub").write_bytes(public)


def write_users(folder: Path, node: str, kubeconfigs: dict[str, Path]) -> None:
    """Write the API server's token file and a kubeconfig for each user; `kubeconfigs` adds the people's own."""
    groups = {
        "admin": "system:masters",
        "dev": "devs",  # an ordinary user: what it may do, a test grants it
        "coredns": "system:masters",
        "system:kube-controller-manager": "",
        "system:kube-scheduler": "",
        "system:kube-proxy": "",
        f"system:node:{node}": "system:nodes",
    }
    files = {user: folder / f"{user.removeprefix('system:')}.kubeconfig" for user in groups} | kubeconfigs
    files[f"system:node:{node}"] = folder / "kubelet.kubeconfig"
    authority = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    rows = []
    for number, (user, group) in enumerate(groups.items()):
        token = secrets.token_hex(16)
        rows.append(f"{token},{user},{number},{group}".rstrip(","))
        _secret(files[user], json.dumps(_kubeconfig(user, token, authority), indent=1).encode())
    _secret(folder / "tokens.csv", "".join(f"{row}\n" for row in rows).encode())


def _kubeconfig(user: str, token: str, authority: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": API_SERVER, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
        "current-context": "tests",
    }


def _secret(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)
