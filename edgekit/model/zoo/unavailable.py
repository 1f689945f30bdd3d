"""Models that are known but can't be built, each with its reason."""

from __future__ import annotations

_LATER = "not written yet"

# Name -> (family, licence or "" for the family's, reason).
UNAVAILABLE: dict[str, tuple[str, str, str]] = {
    "fbnet_a": ("fbnet", "CC-BY-NC-4.0", "the only public definition is CC BY-NC 4.0 code, which is not ported"),
    "fbnet_b": ("fbnet", "CC-BY-NC-4.0", "the only public definition is CC BY-NC 4.0 code, which is not ported"),
    "emov2_5m": ("emov2", "", _LATER),
    "fmvit": ("fmvit", "", "the authors' repository is an empty placeholder: there is no public description to build"),
    "leyolo_n": ("leyolo", "", "the only public definition is AGPL-3.0 code, which is not ported"),
    "vcmamba_s": ("vcmamba", "", _LATER),
    "greedyvig_s": ("greedyvig", "", _LATER),
    "slab_swin_small": ("slab", "", _LATER),
    "elasticvit_s1": ("elasticvit", "", _LATER),
    "skipnet_m": ("skipnet", "", _LATER),
    "turbovit": ("turbovit", "", _LATER),
    "mcunetv2": ("mcunetv2", "", "the 71.8% network of the paper is not among the published configurations"),
    "ofa_595m": ("ofa", "", "its configuration was not found in the authors' repositories, which download it"),
    "mcunet_vww0": ("mcunet", "", "its configuration was not found in the authors' repositories, which download it"),
    "mcunet_vww1": ("mcunet", "", "its configuration was not found in the authors' repositories, which download it"),
    "mcunet_vww2": ("mcunet", "", "its configuration was not found in the authors' repositories, which download it"),
}
