"""The bundle's configuration, its checks, and the native runner as a process. Needs Python 3.8 and nothing else."""

import base64
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path

BUNDLE = Path(__file__).resolve().parents[1]
# Signatures are over this and the bytes of manifest.json.
DOMAIN = b"edgekit bundle manifest 1\n"
MACHINE_OF_ABI = {"x86_64": "x86_64", "arm64-v8a": "aarch64"}
TIMEOUT_S = 600


class BundleProblem(Exception):
    """What can't be done with this bundle, in words."""


def read_config(bundle=BUNDLE, public_key=None):
    """``config.json`` (see CONFIG.md).

    Args:
        bundle: the bundle's folder.
        public_key: a PEM file with the Ed25519 key that must have signed the bundle; needs the package cryptography.
            What this program takes from the bundle is then compared with what was signed: config.json, the models that
            it names and the runner. Null takes the bundle as it is: its models are then only known to be those of its
            config.json.

    Raises:
        BundleProblem: a file is missing or damaged, or the signature is not that key's.
    """
    data = _bytes(Path(bundle) / "config.json")
    if public_key is not None:
        listed = _signed_files(Path(bundle), Path(public_key))
        if listed.get("config.json") != hashlib.sha256(data).hexdigest():
            raise BundleProblem("config.json is not the one that was signed.")
        for path in sorted(path for path in listed if path.startswith("runner/")):
            if _sha256(Path(bundle) / path) != listed[path]:
                raise BundleProblem(f"{path} is not the one that was signed.")
    config = _json(data, "config.json")
    if config.get("schema") != 1:
        raise BundleProblem("config.json has another schema than this program reads.")
    return config


def find_model(config, name=None):
    """The model of that name or identifier; the first one if ``name`` is null.

    Raises:
        BundleProblem: there is none.
    """
    models = config["models"]
    for model in models:
        if name in (None, model["name"], model["identifier"]):
            return model
    raise BundleProblem(f"There is no model {name}; there are: {', '.join(m['identifier'] for m in models)}.")


def choose_variant(model, variant=None, device=None):
    """The variant to run and its number of threads: the asked one, or the one measured best on this device, or the
    first.

    Args:
        model: one of ``config["models"]``.
        variant: a variant's id, or null.
        device: a device's name or SoC as in the table of devices; null asks /proc/cpuinfo.

    Raises:
        BundleProblem: there is no such variant, or ``device`` was given and is not in the table.
    """
    variants = {row["id"]: row for row in model["variants"]}
    if variant is not None and variant not in variants:
        raise BundleProblem(f"{model['name']} has no variant {variant}; it has: {', '.join(variants)}.")
    here = device if device is not None else device_name()
    rows = [row for row in model["devices"] if here and here in (row["device_name"], row["soc"])]
    if device is not None and not rows:
        known = ", ".join(row["device_name"] for row in model["devices"]) or "none"
        raise BundleProblem(f"{model['name']} was not measured on a device {device}; known are: {known}.")
    fitting = [row for row in rows if variant in (None, row["variant"])]
    if fitting:
        return variants[fitting[0]["variant"]], fitting[0]["threads"]
    found = variants[variant] if variant is not None else model["variants"][0]
    return found, found["threads"]


def device_name(cpuinfo=Path("/proc/cpuinfo")):
    """The processor's name as edgekit records it for a Linux machine, or null if /proc/cpuinfo does not tell."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for key in ("model name", "Hardware", "Processor"):
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return " ".join(value.split())
    return None


def verified_path(bundle, variant):
    """The model's file, after its sha256 was compared. Runtimes open it again by its path: it is what was verified only
    in a folder that nobody else can write.

    Raises:
        BundleProblem: it is missing, or was changed.
    """
    path = Path(bundle) / variant["file"]
    if _sha256(path) != variant["sha256"]:
        raise BundleProblem(f"{path} was changed: its sha256 is not the bundle's.")
    return path


def run_by_runner(config, bundle, variant, inputs, outputs, threads):
    """Run samples in a process of the native runner, which verifies the model's sha256 itself.

    Args:
        config: of :func:`read_config`.
        bundle: the bundle's folder.
        variant: one of a model's variants.
        inputs: one .npy file per input, each with a leading axis over the samples.
        outputs: the folder for ``output_K.npy``, one per output, with the same leading axis.
        threads: of the runtime.

    Raises:
        BundleProblem: this machine or variant can't be run, or the runner refused.
    """
    runner, machine = config["runner"], platform.machine()
    if runner is None or variant["engine"] not in runner["engines"]:
        raise BundleProblem(f"The native runner can't run {variant['id']}: it needs {variant['engine']}.")
    if machine != MACHINE_OF_ABI[config["abi"]]:
        raise BundleProblem(f"This bundle is for {config['abi']}, this machine is {machine}.")
    bundle = Path(bundle).resolve()
    job = {
        "schema": 1, "harness_version": runner["version"], "mode": "outputs", "engine": variant["engine"],
        "artifact": str(bundle / variant["file"]), "artifact_sha256": variant["sha256"],
        "inputs": [os.path.abspath(path) for path in inputs], "outputs_dir": os.path.abspath(outputs),
        "threads": threads,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job))
        command = [
            *(str(bundle / part) for part in runner["command"]),
            str(folder / "job.json"),
            str(folder / "answer"),
        ]
        answer = _answer(command, folder / "answer")
    failure = answer.get("failure")
    if failure:
        raise BundleProblem(f"The runner refused: {failure['message']} ({failure['where']})")


def _answer(command, envelope):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
    except OSError as error:
        raise BundleProblem(f"{command[0]} can't be started: {error.strerror}. Was it copied with its mode?") from error
    except subprocess.TimeoutExpired as error:
        raise BundleProblem(f"The runner gave no answer within {TIMEOUT_S} s.") from error
    if not envelope.is_file():
        tail = done.stderr.decode(errors="replace").strip()[-500:]
        raise BundleProblem(f"The runner ended with code {done.returncode} and no answer. {tail}")
    return _json(envelope.read_bytes(), "the runner's answer")


def _signed_files(bundle, public_key):
    """Path -> sha256 of every file, once the manifest was shown to be signed by that key."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise BundleProblem("A signature can't be checked without the Python package cryptography.") from error
    manifest = _bytes(bundle / "manifest.json")
    if not (bundle / "manifest.json.sig").exists():
        raise BundleProblem("The bundle is not signed: there is no manifest.json.sig.")
    seal = _json(_bytes(bundle / "manifest.json.sig"), "manifest.json.sig")
    try:
        key = load_pem_public_key(_bytes(public_key))
    except ValueError as error:
        raise BundleProblem(f"{public_key} is no public key in PEM.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleProblem(f"{public_key} is no Ed25519 key.")
    try:
        key.verify(base64.b64decode(seal["signature"], validate=True), DOMAIN + manifest)
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise BundleProblem(f"The bundle is not signed by the key in {public_key}.") from error
    return {entry["path"]: entry["sha256"] for entry in _json(manifest, "manifest.json")["files"]}


def _sha256(path):
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while True:
                chunk = stream.read(1 << 20)
                if not chunk:
                    break
                digest.update(chunk)
    except OSError as error:
        raise BundleProblem(f"{path} can't be read: {error.strerror}.") from error
    return digest.hexdigest()


def _bytes(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleProblem(f"{path} can't be read: {error.strerror}.") from error


def _json(data, what):
    try:
        found = json.loads(data)
    except ValueError as error:
        raise BundleProblem(f"{what} is damaged: {error}.") from error
    if not isinstance(found, dict):
        raise BundleProblem(f"{what} is damaged.")
    return found
