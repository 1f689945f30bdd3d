"""The licence of a model's code and weights, from the zoo or the user, and whether a bundle may carry the model."""

from __future__ import annotations

import re

from edgekit.bundle.records import Licence
from edgekit.errors import BundleError, UsageError
from edgekit.model import zoo
from edgekit.model.zoo.entry import LICENCES, Entry
from edgekit.records import Exported

NONE_STATED = "none stated"
# Further licences that users name: whether the model may be passed on in a product. An unknown one is to be looked up.
_MORE: dict[str, bool] = {
    "0BSD": True, "BSD-2-Clause": True, "BSL-1.0": True, "CC-BY-4.0": True, "CC0-1.0": True, "ISC": True, "MIT-0": True,
    "MPL-2.0": True, "Unlicense": True, "Zlib": True, "fair-noncommercial-research-license": False,
}  # fmt: skip
# Creative Commons' non-commercial licences, of every version and country.
_NON_COMMERCIAL = "CC-BY-NC-"
# An SPDX expression: identifiers with AND, OR, WITH and parentheses between them.
_SPDX = re.compile(r"\(*[A-Za-z0-9][A-Za-z0-9.+:-]*\)*( (AND|OR|WITH) \(*[A-Za-z0-9][A-Za-z0-9.+:-]*\)*)*")
_MAX_SPDX = 200


def licence_of(exported: Exported | None, given: str | None) -> Licence:
    """The licence that ``--licence`` gives, else that of the zoo's model, else "none stated".

    Where the weights are a file's, the zoo knows the licence of the code only, and what may be done with the weights
    has to be looked up.

    Raises:
        UsageError: ``given`` is no SPDX expression.
    """
    if given is not None:
        if len(given) > _MAX_SPDX or not _SPDX.fullmatch(given):
            raise UsageError(
                f"{given[:_MAX_SPDX]!r} is no SPDX licence expression.", where="--licence",
                next_step="For example Apache-2.0, or LicenseRef-NAME for a licence of your own.",
            )  # fmt: skip
        return Licence(name=given, source="command line", redistributable=redistributable(given))
    if exported is not None and (published := _of_published_weights(exported)) is not None:
        return published
    entry = _entry(exported) if exported is not None else None
    if exported is None or entry is None:
        return Licence(name=NONE_STATED, source="the model's source states none")
    if entry.redistributable is not False and exported.weights.startswith("file "):
        source = f"edgekit's zoo, of the code of {entry.name}; the weights are a file's"
        return Licence(name=entry.licence, source=source)
    return Licence(name=entry.licence, source=f"edgekit's zoo, {entry.name}", redistributable=entry.redistributable)


def redistributable(spdx: str) -> bool | None:
    """Whether the licence lets a model be passed on; null where that has to be looked up."""
    if spdx.startswith(_NON_COMMERCIAL):
        return False
    return LICENCES.get(spdx, _MORE.get(spdx))


def settled(licence: Licence, model: str, accept: bool) -> tuple[Licence, tuple[str, ...]]:
    """The licence as the manifest has it, with what is to be said of it.

    Raises:
        BundleError: it forbids redistribution, and that was not accepted.
    """
    if licence.redistributable is False and not accept:
        raise BundleError(
            f"The licence of {model} ({licence.name}, by {licence.source}) does not let it be passed on in a product.",
            where=model, next_step="If you have another licence for it, name that with --licence; to bundle it all the "
            "same, give --accept-licence.", licence=licence.name,
        )  # fmt: skip
    if licence.redistributable is False:
        accepted = Licence(name=licence.name, source=licence.source, redistributable=False, accepted=True)
        what = f"The licence of {model} ({licence.name}) forbids redistribution; --accept-licence was given."
        return accepted, (what,)
    if licence.name == NONE_STATED:
        what = (
            f"Nothing states the licence of {model}: look up whether it may be passed on, and name it with --licence."
        )
        return licence, (what,)
    if licence.redistributable is None:
        what = f"Look up whether {model} may be passed on: its licence is {licence.name} ({licence.source})."
        return licence, (what,)
    return licence, ()


def _of_published_weights(exported: Exported) -> Licence | None:
    """What timm states for the weights that were fetched for a ``timm:`` model: it differs by the tag in the name."""
    if not (exported.spec.startswith("timm:") and exported.weights.startswith("pretrained, ")):
        return None
    from edgekit.model.torchvision_ops import make_importable

    make_importable()
    import timm

    name = exported.spec.removeprefix("timm:").partition("?")[0]
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.license:
        return None
    known = {one.lower(): one for one in (*LICENCES, *_MORE)}
    stated = str(config.license)
    spdx = known.get(stated, stated.upper() if stated.startswith(_NON_COMMERCIAL.lower()) else stated)
    return Licence(name=spdx, source=f"timm, of the weights of {name}", redistributable=redistributable(spdx))


def _entry(exported: Exported) -> Entry | None:
    """The zoo's entry of a ``zoo:`` or ``timm:`` model; null for other models and those that the zoo does not list."""
    # A state dict's architecture is at the end of the text on its weights.
    spec = exported.spec if exported.spec.startswith(("zoo:", "timm:")) else exported.weights.rpartition(", arch ")[2]
    kind, _, rest = spec.partition(":")
    name = rest.partition("?")[0]
    for entry in zoo.entries():
        # timm's names may end with the tag of the weights: mobilenetv3_small_100.lamb_in1k
        timm = entry.source == "timm" and name.partition(".")[0] == entry.builder
        if (kind == "zoo" and entry.name == name) or (kind == "timm" and timm):
            return entry
    return None
