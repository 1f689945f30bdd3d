"""Published weights: from a hub on this machine, and the quick end where there is none."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save

from edgekit.errors import ModelError
from edgekit.model import hub, pretrained
from edgekit.model.load import load
from edgekit.model.request import LoadRequest

ROOT = Path(__file__).parents[3]
TIMM = "timm:mobilenetv3_small_050.lamb_in1k"
REPOSITORY = "timm/mobilenetv3_small_050.lamb_in1k"
SHAPE = ((1, 3, 32, 32),)


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as downloading one file takes. ``files`` are by path, ``asked`` the requests in order."""

    files: ClassVar[dict[str, bytes]]
    asked: ClassVar[list[str]]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.asked.append(self.path)
        content = self.files.get(self.path)
        if content is None and self.path != "/":
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = content or b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (_Hub,), {"files": files, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
    finally:
        server.shutdown()
        server.server_close()


def loaded(spec: str, endpoint: str, home: Path, **extra: str) -> dict[str, Any]:
    """Load with --pretrained in a process of its own: the hub's library reads its settings once."""
    code = (
        "import json, sys, torch\n"
        "from edgekit.errors import EdgekitError\n"
        "from edgekit.model.load import load\n"
        "from edgekit.model.request import LoadRequest\n"
        "from edgekit.model.torchvision_ops import make_importable\n"
        "make_importable()\n"
        "import timm, huggingface_hub\n"
        "request = LoadRequest(spec=sys.argv[1], pretrained=True, input_shape=((1, 3, 32, 32),))\n"
        "try:\n"
        "    model = load(request)\n"
        "except EdgekitError as error:\n"
        "    found = {'error': error.to_dict()}\n"
        "else:\n"
        "    x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)\n"
        "    found = {'weights': model.weights, 'warnings': model.warnings, 'output': model.module(x).tolist()}\n"
        "print(json.dumps(found))\n"
    )
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "TORCH_HOME": str(home / "torch"),
           "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", **extra}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, spec], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def published() -> tuple[dict[str, torch.Tensor], list[list[float]]]:
    """Weights as a hub might have them, and what the model computes with them."""
    module = load(LoadRequest(spec="timm:mobilenetv3_small_050", input_shape=SHAPE, seed=3)).module
    assert module is not None
    x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    with torch.no_grad():
        output: list[list[float]] = module(x).tolist()
    return {key: value.contiguous() for key, value in module.state_dict().items()}, output


def test_published_weights_are_fetched_loaded_and_kept(published: Any, tmp_path: Path) -> None:
    tensors, output = published
    with serving({f"/{REPOSITORY}/resolve/main/model.safetensors": save(tensors)}) as (endpoint, asked):
        found = loaded(TIMM, endpoint, tmp_path)
    assert asked
    assert found["output"] == output
    assert found["weights"] == f"pretrained, hub {REPOSITORY}"
    assert found["warnings"] == []
    # The server is gone; what was fetched is still there.
    again = loaded(TIMM, endpoint, tmp_path)
    assert again["output"] == output
    by_zoo = loaded("zoo:mobilenetv3_small_050", endpoint, tmp_path, HF_HUB_OFFLINE="1")
    assert by_zoo["output"] == output


def refused(found: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = found["error"]
    assert error["code"] == 10 and "--weights FILE" in error["next_step"]
    return error


def test_without_a_network_the_end_is_clear_and_quick(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens: the connection is refused
        taken.bind(("127.0.0.1", 0))
        found = loaded(TIMM, f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path)
    error = refused(found)
    assert "can't be reached (" in error["message"] and "refused" in error["message"]


def test_a_server_that_never_answers_does_not_hold_things_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ModelError, match="can't be reached"):
            hub.require_server(f"http://127.0.0.1:{silent.getsockname()[1]}", "here")


def test_the_hubs_offline_setting_is_heeded(tmp_path: Path) -> None:
    with serving({}) as (endpoint, asked):
        error = refused(loaded(TIMM, endpoint, tmp_path, HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE is set" in error["message"] and asked == []


def test_a_repository_without_weights_is_told(tmp_path: Path) -> None:
    with serving({}) as (endpoint, _):
        error = refused(loaded(TIMM, endpoint, tmp_path))
    assert "has no weights in a form that can be read safely" in error["message"]


def test_own_models_have_no_published_weights() -> None:
    with pytest.raises(ModelError, match="No weights are published for zoo:mobilevig_ti") as caught:
        load(LoadRequest(spec="zoo:mobilevig_ti", pretrained=True))
    assert caught.value.code == 10 and "--weights FILE" in caught.value.next_step


def test_another_number_of_classes_would_leave_the_head_random_and_is_refused() -> None:
    with pytest.raises(ModelError, match="are for 1000 classes, not 10"):
        load(LoadRequest(spec="timm:mobilenetv3_small_050?num_classes=10", pretrained=True))


def test_the_zoo_takes_the_tag_with_its_number_of_classes() -> None:
    assert pretrained._with_classes("tiny_vit_5m_224", 1000) == "tiny_vit_5m_224.dist_in22k_ft_in1k"
    assert pretrained._with_classes("mobilenetv3_small_050", 1000) == "mobilenetv3_small_050"


def test_a_model_without_published_weights_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    bare = [n for n in timm.list_models("mobilenetv3*") if not timm.list_pretrained(n + "*")]
    assert bare
    with pytest.raises(ModelError, match=f"timm knows no published weights for {bare[0]}") as caught:
        load(LoadRequest(spec=f"timm:{bare[0]}", pretrained=True))
    assert "--weights FILE" in caught.value.next_step


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("apache-2.0", None),
        ("cc-by-nc-4.0", "may not be passed on in a product: their licence is cc-by-nc-4.0"),
        ("apple-amlr", "Check the licence of net's published weights before passing them on: apple-amlr"),
        (None, "before passing them on: none stated"),
    ],
)
def test_the_licence_of_published_weights_is_a_warning_unless_it_is_free(
    licence: str | None, words: str | None
) -> None:
    found = pretrained._licence("net", licence)
    assert (found == ()) if words is None else (len(found) == 1 and words in found[0])


def test_a_file_by_address_is_kept_only_if_its_digest_is_its_own(tmp_path: Path) -> None:
    content = b"weights" * 1000
    digest = hashlib.sha256(content).hexdigest()[:8]
    files = {f"/net-{digest}.pth": content, "/net-00000000.pth": content}
    with serving(files) as (endpoint, asked):
        path = hub.url_file(f"{endpoint}/net-{digest}.pth", tmp_path, "here")
        assert path.read_bytes() == content
        asked.clear()
        assert hub.url_file(f"{endpoint}/net-{digest}.pth", tmp_path, "here") == path and asked == []
        with pytest.raises(ModelError, match="its sha256 begins with"):
            hub.url_file(f"{endpoint}/net-00000000.pth", tmp_path, "here")
        with pytest.raises(ModelError, match="404"):
            hub.url_file(f"{endpoint}/gone-{digest}.pth", tmp_path, "here")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ModelError, match="it is no web address"):
        hub.url_file("file:///etc/passwd", tmp_path, "here")
