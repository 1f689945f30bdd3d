"""Published weights from the network, with a quick and clear end where there is none."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import ModelError
from edgekit.model.extras import need
from edgekit.model.source import first_line

# How long a server may take to answer at all; looking up its name is part of it.
ANSWER_SECONDS = 6.0
# What a repository of weights may call them, safest first.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.\w+$")


def hub_file(repository: str, names: Sequence[str], where: str) -> Path:
    """A file of a Hugging Face repository (``owner/name`` or ``owner/name@revision``): the first of ``names`` it has.

    A file that was downloaded before is taken from the hub's own cache, without a network.

    Raises:
        ModelError: there is no network, or the repository has none of the files.
        MissingExtraError: huggingface_hub is not installed.
    """
    need("huggingface_hub", "zoo", where)
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    owner, _, revision = repository.partition("@")
    options: dict[str, Any] = {"revision": revision or None}
    for name in names:
        try:
            return Path(hf_hub_download(owner, name, local_files_only=True, **options))
        except LocalEntryNotFoundError:
            continue
    if constants.is_offline_mode():
        raise _unreachable(constants.ENDPOINT, "HF_HUB_OFFLINE is set", where)
    require_server(constants.ENDPOINT, where)
    for name in names:
        try:
            return Path(hf_hub_download(owner, name, etag_timeout=ANSWER_SECONDS, **options))
        except EntryNotFoundError:
            continue
        except Exception as error:  # the hub's client raises over a dozen unrelated classes
            raise _refused(f"{constants.ENDPOINT}/{owner}", error, where) from error
    raise ModelError(
        f"{repository} on {constants.ENDPOINT} has no weights in a form that can be read safely.",
        where=where,
        next_step=f"It has none of {', '.join(names)}; give weights of your own with --weights FILE.",
    )


def url_file(url: str, folder: Path, where: str) -> Path:
    """The file behind a URL, kept in ``folder`` under its own name.

    Raises:
        ModelError: there is no network, or the server refuses.
    """
    target = folder / url.rpartition("/")[2]
    if target.is_file():
        return target
    require_server(url, where)
    partial = target.with_name(f".{target.name}.partial")
    digest = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # require_server has checked the scheme.
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer, partial.open("wb") as stream:  # noqa: S310
            while chunk := answer.read(1 << 20):
                digest.update(chunk)
                stream.write(chunk)
        # PyTorch's and timm's files end with the first digits of their own sha256.
        stated = _DIGEST.search(target.name)
        if stated is not None and not digest.hexdigest().startswith(stated[1]):
            raise ValueError(f"its sha256 begins with {digest.hexdigest()[:8]}, not with {stated[1]}")
        partial.replace(target)
    except (OSError, ValueError) as error:
        raise _refused(url, error, where) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def require_server(url: str, where: str) -> None:
    """Whether the server behind ``url`` answers, whatever it answers.

    Raises:
        ModelError: it does not, within ANSWER_SECONDS.
    """
    if not url.startswith(("https://", "http://")):
        raise _unreachable(url, "it is no web address", where)
    problem = ["no answer"]
    # A thread, because looking up a name takes as long as the system likes.
    asking = threading.Thread(target=_ask, args=(url, problem), daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    found = problem[-1] if not asking.is_alive() else f"no answer within {ANSWER_SECONDS:g} s"
    if found:
        raise _unreachable(url, found, where)


def _ask(url: str, problem: list[str]) -> None:
    try:
        question = urllib.request.Request(url, method="HEAD")  # noqa: S310 - require_server has checked the scheme
        with urllib.request.urlopen(question, timeout=ANSWER_SECONDS):  # noqa: S310
            problem.append("")
    except urllib.error.HTTPError:  # it answered; what it says to the real request decides
        problem.append("")
    except urllib.error.URLError as error:
        # A certificate that this client does not know may be known to the one that downloads.
        problem.append("" if isinstance(error.reason, ssl.SSLError) else str(error.reason))
    except (OSError, ValueError) as error:
        problem.append(str(error) or type(error).__name__)


def _unreachable(url: str, why: str, where: str) -> ModelError:
    return ModelError(
        f"The published weights can't be fetched: {url} can't be reached ({why}).",
        where=where,
        next_step="Download them elsewhere and give them with --weights FILE, or leave --pretrained out for random "
        "weights.",
        url=url,
    )


def _refused(url: str, error: Exception, where: str) -> ModelError:
    return ModelError(
        f"The published weights can't be fetched from {url}: {first_line(error)}.".replace("..", "."),
        where=where,
        next_step="Download them elsewhere and give them with --weights FILE, or try again later.",
        url=url,
    )
